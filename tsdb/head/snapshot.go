package head

import (
	"context"
	"math"
	"sync"
)

// snapshots numbers the batches in the order in which they become visible, and knows the queriers that are open: each
// sees the batches up to the number that was the last one when it was made.
type snapshots struct {
	mu  sync.Mutex
	seq uint64
	// open leads from a querier's number, which counts queriers, to the last batch that it sees.
	open map[uint64]uint64
	made uint64
	// closed is closed, and replaced, when a querier is closed.
	closed chan struct{}
	// idle, if not nil, is called once when none is open any more.
	idle func()
}

// take opens a snapshot: no batch is half visible then, because batches become visible under the same lock.
func (s *snapshots) take() (number, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	s.open[s.made] = s.seq
	return s.made, s.seq
}

func (s *snapshots) release(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, number)
	close(s.closed)
	s.closed = make(chan struct{})
	if s.idle != nil && len(s.open) == 0 {
		s.idle()
		s.idle = nil
	}
}

// oldest returns the last batch that all open snapshots see; ok is false if none is open. The caller holds mu.
func (s *snapshots) oldest() (seq uint64, ok bool) {
	if len(s.open) == 0 {
		return 0, false
	}
	seq = math.MaxUint64
	for _, n := range s.open {
		seq = min(seq, n)
	}
	return seq, true
}

// wait returns when all snapshots that are open now are closed.
func (s *snapshots) wait(ctx context.Context) error {
	s.mu.Lock()
	last := s.made
	for {
		older := false
		for number := range s.open {
			older = older || number <= last
		}
		closed := s.closed
		s.mu.Unlock()
		if !older {
			return nil
		}
		select {
		case <-closed:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
	}
}
