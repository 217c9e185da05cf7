package send

import (
	"context"
	"sync"
	"time"
)

// neighbours is the number of consecutive references whose series share a shard, so that samples are handed over in runs.
const neighbours = 16

// shard holds samples until they are sent, those of each series in their order.
type shard struct {
	// capacity bounds what waits, batch a request; full is how much of it is sent at once.
	capacity, batch, full int
	deadline              time.Duration

	mu sync.Mutex
	// items[head:] wait.
	items []item
	head  int
	// oldest is when the first of them came.
	oldest time.Time
	closed bool
	// wake tells run that a batch is full, that one begins, or that the shard is closed; room tells who waits in put.
	wake, room chan struct{}
	done       chan struct{}
}

func newShard(cfg *QueueConfig) *shard {
	return &shard{
		capacity: cfg.Capacity, batch: cfg.MaxSamplesPerSend, full: min(cfg.Capacity, cfg.MaxSamplesPerSend), deadline: time.Duration(cfg.BatchSendDeadline),
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// put appends as many of the items as there is room for, and returns how many these are. It never waits.
func (s *shard) put(items []item) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.items) - s.head
	n := min(len(items), max(s.capacity-before, 0))
	if n == 0 {
		return 0
	}
	if s.head > 0 && len(s.items)+n > cap(s.items) {
		s.items = s.items[:copy(s.items, s.items[s.head:])]
		s.head = 0
	}
	s.items = append(s.items, items[:n]...)
	if before == 0 {
		s.oldest = time.Now()
	}
	if before == 0 || before < s.full && before+n >= s.full {
		signal(s.wake)
	}
	return n
}

// close has run send what waits, and end.
func (s *shard) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	signal(s.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // It was said before.
	}
}

// take moves the next batch to dst, if one is due, or the shard is closed. Else it returns how long that takes at most, zero if
// nothing waits. end says that nothing will come any more.
func (s *shard) take(dst []item) (batch []item, wait time.Duration, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.items[s.head:]
	n := min(len(waiting), s.batch)
	if n == 0 {
		return dst[:0], 0, s.closed
	}
	if n < s.full && !s.closed {
		if wait := s.deadline - time.Since(s.oldest); wait > 0 {
			return dst[:0], wait, false
		}
	}
	for n < len(waiting) && waiting[n].follows(&waiting[n-1]) {
		n++
	}
	batch = append(dst[:0], waiting[:n]...)
	clear(waiting[:n])
	if s.head += n; s.head == len(s.items) {
		s.items, s.head = s.items[:0], 0
	}
	s.oldest = time.Now() // What is left came while the batch before was under way, or a moment ago.
	signal(s.room)
	return batch, 0, false
}

// run sends batches until the shard is closed and empty, or ctx is done.
func (s *shard) run(ctx context.Context, send func(ctx context.Context, batch []item)) {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var batch []item
	for {
		var wait time.Duration
		var end bool
		batch, wait, end = s.take(batch)
		switch {
		case len(batch) > 0:
			send(ctx, batch)
			clear(batch)
			if ctx.Err() == nil {
				continue
			}
			return
		case end:
			return
		}
		var tick <-chan time.Time
		if wait > 0 {
			timer.Reset(wait)
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-tick:
		}
	}
}

// rest returns what was not sent. It is for when run has ended.
func (s *shard) rest() counts { return count(s.items[s.head:]) }
