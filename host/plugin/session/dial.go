package session

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/narthex-io/narthex/sdk/wire"
)

// serveDial connects, and then reads and writes as the guest asks, until one of both fails or the guest closes.
func (s *Session) serveDial(ctx context.Context, f wire.Frame) error {
	s.stats.dials.Add(1)
	return s.serve(ctx, f.ID, requestDial, func(ctx context.Context, r *request) {
		if err := s.dial(ctx, f, r); err != nil && s.release(f.ID, r) {
			s.countRefusal(err)
			s.reply(ctx, wire.DialError, f.ID, []byte(err.Error()))
		}
	})
}

// dial returns why the connection is over.
func (s *Session) dial(ctx context.Context, f wire.Frame, r *request) error {
	conn, err := s.grants.TCP.Dial(ctx, string(f.Payload))
	if err != nil {
		return err
	}
	live, end := context.WithCancelCause(ctx)
	defer end(nil)
	stop := context.AfterFunc(live, func() { _ = conn.Close() }) // wakes both directions
	defer func() {
		stop()
		_ = conn.Close() // again is fine
	}()
	if !s.reply(ctx, wire.DialOpen, f.ID, []byte(conn.RemoteAddr().String())) {
		return nil
	}
	var both sync.WaitGroup
	both.Go(func() { end(s.readConn(live, conn, f.ID, r)) })
	both.Go(func() { end(s.writeConn(live, conn, f.ID, r)) })
	both.Wait()
	return context.Cause(live)
}

// readConn sends a part of what comes for each time that the guest asks.
func (s *Session) readConn(ctx context.Context, conn net.Conn, id uint32, r *request) error {
	for {
		select {
		case <-r.pulls:
		case <-ctx.Done():
			return ctx.Err()
		}
		chunk := make([]byte, chunkBytes)
		n, err := readSome(conn, chunk)
		switch {
		case n > 0:
			s.reply(ctx, wire.DialData, id, chunk[:n])
		case errors.Is(err, io.EOF):
			s.reply(ctx, wire.DialEOF, id, nil)
		default:
			return err
		}
	}
}

// writeConn writes what the guest sends, and says each time when that is done.
func (s *Session) writeConn(ctx context.Context, conn net.Conn, id uint32, r *request) error {
	for {
		var err error
		select {
		case part := <-r.writes:
			if len(part) > 0 {
				_, err = conn.Write(part)
			} else if half, ok := conn.(interface{ CloseWrite() error }); ok {
				err = half.CloseWrite()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		s.reply(ctx, wire.DialWritten, id, nil)
	}
}

// pullDial asks the connection with an id for its next part.
func (s *Session) pullDial(f wire.Frame) error {
	r := s.connection(f.ID)
	if r == nil {
		return nil // its last frame is on the way
	}
	select {
	case r.pulls <- struct{}{}:
		return nil
	default:
		return protocolError("%v for connection %d before the last one was answered", f.Type, f.ID)
	}
}

// writeDial hands the connection with an id what the guest writes.
func (s *Session) writeDial(f wire.Frame) error {
	r := s.connection(f.ID)
	if r == nil {
		return nil // its last frame is on the way
	}
	select {
	case r.writes <- f.Payload:
		return nil
	default:
		return protocolError("%v for connection %d before the last one was answered", f.Type, f.ID)
	}
}

func (s *Session) connection(id uint32) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.requests[id]; r != nil && r.kind == requestDial {
		return r
	}
	return nil
}
