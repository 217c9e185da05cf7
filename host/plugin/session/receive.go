package session

import (
	"context"
	"errors"
	"time"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/sdk/wire"
)

// receive takes the guest's frames until the guest ends, then ends everything else and closes done.
func (s *Session) receive(ctx context.Context) {
	defer close(s.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	for err == nil {
		var f wire.Frame
		if f, err = s.recv(ctx); err == nil {
			err = s.handle(ctx, f)
		}
	}
	s.finish(err, cancel)
}

func (s *Session) finish(err error, cancel context.CancelFunc) {
	s.mu.Lock()
	s.over = true
	orderly := s.stopping && s.finished
	if s.err == nil && !orderly {
		s.err = err
	}
	s.mu.Unlock()
	s.beginEnd()
	cancel()
	closeErr := s.transport.Close()
	s.work.Wait()
	if closeErr != nil {
		s.logger.Debug("closing a plugin's transport failed", "err", closeErr)
	}
	if g := s.grants.HTTP; g != nil {
		g.CloseIdle()
	}
}

// handle acts on one frame. An error ends the guest.
func (s *Session) handle(ctx context.Context, f wire.Frame) error {
	switch f.Type {
	case wire.Groups:
		return s.groups(f)
	case wire.Result:
		return s.answer(f, nil)
	case wire.Error:
		if f.ID == 0 {
			return &EndError{Reason: ReasonError, Detail: clip(f.Payload)}
		}
		return s.answer(f, guestError(s.manifest.Name, clip(f.Payload)))
	case wire.Done:
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.stopping {
			return protocolError("DONE without STOP")
		}
		s.finished = true
		return nil
	case wire.HTTPRequest:
		return s.serveHTTP(ctx, f)
	case wire.HTTPRead:
		return s.pullHTTP(f.ID)
	case wire.HTTPClose, wire.FileClose, wire.DialClose:
		s.drop(f.ID)
		return nil
	case wire.FileRead, wire.FileGlob, wire.FileStat:
		return s.serveFile(ctx, f)
	case wire.DNSLookup:
		return s.serveDNS(ctx, f)
	case wire.Dial:
		return s.serveDial(ctx, f)
	case wire.DialRead:
		return s.pullDial(f)
	case wire.DialWrite:
		return s.writeDial(f)
	case wire.FileWatch:
		return s.serveWatch(ctx, f)
	}
	return protocolError("unexpected %v", f.Type)
}

// groups passes an update on and waits for its consumer: the back-pressure.
func (s *Session) groups(f wire.Frame) error {
	c := s.pending(f.ID)
	if c == nil || c.updates == nil {
		return protocolError("GROUPS for call %d, which is not a running discovery", f.ID)
	}
	groups, err := decodeUpdate(f.Payload)
	if err != nil {
		return err
	}
	s.stats.updates.Add(1)
	s.stats.lastUpdate.Store(time.Now().UnixNano())
	select {
	case c.updates <- groups:
	case <-c.gone:
	case <-s.ended:
	}
	return nil
}

func (s *Session) pending(id uint32) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[id]
}

func (s *Session) answer(f wire.Frame, err error) error {
	s.mu.Lock()
	c := s.calls[f.ID]
	delete(s.calls, f.ID)
	s.mu.Unlock()
	if c == nil {
		return protocolError("%v for call %d, which is not open", f.Type, f.ID)
	}
	c.answer <- answer{f.Payload, err} // holds one
	return nil
}

// countRefusal counts err when it is a refusal.
func (s *Session) countRefusal(err error) {
	if errors.Is(err, grant.ErrNotGranted) {
		s.stats.refused.Add(1)
		s.grants.Usage.Refuse(err)
	}
}
