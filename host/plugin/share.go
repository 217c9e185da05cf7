package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/session"
)

// shares are the processes of plugins that serve several sections each. A process starts with its first guest and ends with its last.
type shares struct {
	mu      sync.Mutex
	running map[string]*share // by what has to be equal
	leaving sync.WaitGroup    // of those who did not wait for a start
}

// share is one such process.
type share struct {
	key   string
	log   *session.Log
	ready chan struct{} // closed when it runs, or did not start: then err is set
	child *process.Shared
	err   error

	mu      sync.Mutex
	users   int            // who is in it, or on the way
	members []*sharedGuest // the first tells what the process as a whole costs
	dropped uint64         // log lines of which members that have left have told
}

// shareKey is what sections that share a process have in common.
func shareKey(f *file, s Settings) (string, error) {
	text, err := json.Marshal(struct {
		Path, Digest string
		Settings     Settings
	}{f.path, f.digest, s})
	return string(text), err
}

// enter returns the process for a key, which start starts if there is none that can be used. The caller leaves it.
func (s *shares) enter(ctx context.Context, key string, log *session.Log, start func() (*process.Shared, error)) (*share, error) {
	for {
		sh, mine := s.join(key, log)
		if mine {
			sh.child, sh.err = start()
			close(sh.ready)
		}
		err := s.await(ctx, sh)
		if err == nil {
			return sh, nil
		}
		wasOthers := !mine && ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
		if !wasOthers {
			return nil, err
		} // else it was the context of another one who had begun to start it
	}
}

// join makes a user of a process; one that is mine is to be started.
func (s *shares) join(key string, log *session.Log) (sh *share, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh = s.running[key]; sh != nil && sh.usable() {
		sh.mu.Lock()
		sh.users++
		sh.mu.Unlock()
		return sh, false
	}
	sh = &share{key: key, log: log, ready: make(chan struct{}), users: 1}
	if s.running == nil {
		s.running = map[string]*share{}
	}
	s.running[key] = sh
	return sh, true
}

// await waits until the process runs; on error, the user has left.
func (s *shares) await(ctx context.Context, sh *share) error {
	select {
	case <-sh.ready:
	case <-ctx.Done():
		s.leaving.Go(func() { _ = s.leave(sh, nil) }) //nolint:contextcheck // the log has no context; whoever starts the process is bound by one
		return ctx.Err()
	}
	if err := sh.err; err != nil {
		return errors.Join(err, s.leave(sh, nil)) //nolint:contextcheck // the log has no context
	}
	return nil
}

// usable reports whether one more guest can come. It is called while a process starts, too.
func (sh *share) usable() bool {
	select {
	case <-sh.ready:
		return sh.err == nil && sh.child.Err() == nil && !isClosed(sh.log.Flooded())
	default:
		return true
	}
}

// leave takes a user, and the guest that it was if there was one, out of a process, which ends with the last.
func (s *shares) leave(sh *share, g *sharedGuest) error {
	<-sh.ready
	s.mu.Lock()
	sh.mu.Lock()
	sh.users--
	last := sh.users == 0
	sh.members = slices.DeleteFunc(sh.members, func(m *sharedGuest) bool { return m == g })
	if last && s.running[sh.key] == sh {
		delete(s.running, sh.key)
	}
	sh.mu.Unlock()
	s.mu.Unlock()
	switch {
	case !last:
		return nil
	case sh.child == nil:
		return sh.log.Close() // which may hold why it did not start
	}
	return errors.Join(sh.child.Close(), sh.log.Close())
}

// sharedGuest is a guest with siblings in its process.
type sharedGuest struct {
	*session.Session
	shares *shares
	share  *share

	once  sync.Once
	final *session.Stats // set, under the share's mutex, when it has left
}

// launchShared starts a guest in the process of its plugin's other sections.
func (t *transports) launchShared(ctx context.Context, f *file, s Settings, u *Use) (guest, error) {
	key, err := shareKey(f, s)
	if err != nil {
		return nil, err
	}
	log := t.log.With("plugin", f.name)
	out := session.NewLog(log, s.Limits.log()) // used if the process is new
	sh, err := t.shares.enter(ctx, key, out, func() (*process.Shared, error) { return startProcess(ctx, t, f, s, out, process.StartShared) })
	if err != nil {
		return nil, err
	}
	stream, err := sh.child.Open(ctx)
	if err == nil {
		var opened *session.Session
		if opened, err = session.Open(ctx, stream, t.sessionOptions(f, s, u, log, sh.log)); err == nil {
			g := &sharedGuest{Session: opened, shares: &t.shares, share: sh}
			sh.mu.Lock()
			sh.members = append(sh.members, g)
			sh.mu.Unlock()
			return g, nil
		}
	}
	return nil, errors.Join(err, t.shares.leave(sh, nil)) //nolint:contextcheck // the log has no context
}

// Close implements guest.
func (g *sharedGuest) Close(ctx context.Context) error {
	err := g.Session.Close(ctx)
	g.once.Do(func() { //nolint:contextcheck // the log has no context
		last := g.Stats()
		g.share.mu.Lock()
		g.final = &last
		g.share.dropped += last.LogDropped
		g.share.mu.Unlock()
		err = errors.Join(err, g.shares.leave(g.share, g))
	})
	return err
}

// Stats implements guest. What belongs to the process is told by the first of its guests, so that it counts once.
func (g *sharedGuest) Stats() session.Stats {
	stats := g.Session.Stats()
	sh := g.share
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if g.final != nil {
		return *g.final
	}
	stats.LogDropped, stats.MemoryBytes = 0, 0
	if len(sh.members) > 0 && sh.members[0] == g {
		stats.LogDropped, stats.MemoryBytes = sh.log.Dropped()-sh.dropped, sh.child.MemoryBytes()
	}
	return stats
}
