package head

import (
	"math"
	"runtime"
	"sync"

	"github.com/narthex-io/narthex/tsdb/chunk"
)

// shards append the samples of the log, each to the pages of its own, while the log is being read. What the log says
// about a series reaches its shard in order.
type shards struct {
	all []*shard
	// pending are the batches that were sent and not appended yet, running the goroutines.
	pending, running sync.WaitGroup
}

// shard is one of them. Its bounds and counts may be read when nothing is pending.
type shard struct {
	p    *player
	in   chan *replayBatch
	free chan *replayBatch
	next *replayBatch

	first, last int64
	began       int
}

// replayBatch is what a shard gets at once.
type replayBatch struct {
	samples []staged
	natives []chunk.Native
	starts  starts
}

const (
	// replayBatchSamples is the number of samples of a batch, replayBatches the number of batches of a shard: together
	// they bound the memory.
	replayBatchSamples = 4096
	replayBatches      = 4
	maxShards          = 8
)

// newShards starts goroutines: call close.
func newShards(p *player) *shards {
	s := &shards{}
	for range min(runtime.GOMAXPROCS(0), maxShards) {
		one := &shard{p: p, in: make(chan *replayBatch, replayBatches), free: make(chan *replayBatch, replayBatches), first: math.MaxInt64, last: math.MinInt64}
		for range replayBatches {
			one.free <- &replayBatch{samples: make([]staged, 0, replayBatchSamples)}
		}
		one.next = <-one.free
		s.all = append(s.all, one)
		s.running.Go(func() { one.run(&s.pending) })
	}
	return s
}

// add hands a sample on.
func (s *shards) add(id uint32, t, st int64, v float64, native chunk.Native) {
	one := s.all[id/pageSize%uint32(len(s.all))]
	b := one.next
	e := staged{t: t, v: v, id: id}
	if native != (chunk.Native{}) {
		b.natives = append(b.natives, native)
		e.native = int32(len(b.natives))
	}
	if st != 0 {
		b.starts.note(&e, st)
	}
	b.samples = append(b.samples, e)
	if len(b.samples) == replayBatchSamples {
		s.send(one)
	}
}

func (s *shards) send(one *shard) {
	s.pending.Add(1)
	one.in <- one.next
	one.next = <-one.free
}

// wait returns when everything that was added is appended.
func (s *shards) wait() {
	for _, one := range s.all {
		if len(one.next.samples) > 0 {
			s.send(one)
		}
	}
	s.pending.Wait()
}

// close ends the goroutines. What was not waited for may be lost.
func (s *shards) close() {
	for _, one := range s.all {
		close(one.in)
	}
	s.running.Wait()
}

func (s *shard) run(pending *sync.WaitGroup) {
	for b := range s.in {
		s.append(b)
		clear(b.natives)
		b.samples, b.natives = b.samples[:0], b.natives[:0]
		b.starts.reset()
		s.free <- b
		pending.Done()
	}
}

// append appends a batch.
func (s *shard) append(b *replayBatch) {
	h := s.p.h
	x, f := &h.index, h.format()
	x.mu.RLock()
	defer x.mu.RUnlock()
	for all := b.samples; len(all) > 0; {
		n := runLength(all)
		if n == 1 {
			s.appendOne(b, &all[0], &f)
		}
		for run := all[:n]; n > 1 && len(run) > 0; {
			run = run[s.appendRun(run, &f):]
		}
		all = all[n:]
	}
}

// appendOne appends a sample. The caller holds the index's lock.
func (s *shard) appendOne(b *replayBatch, e *staged, f *format) {
	if s.covered(e.id, e.t) {
		return
	}
	h := s.p.h
	page, i := h.index.at(e.id)
	if last, any := page.newest(i); any && e.t <= last {
		return // It was dropped when it was appended, too.
	}
	s.first, s.last = min(s.first, e.t), max(s.last, e.t)
	if e.native <= 0 && page.append(&h.slab, i, e.t, b.starts.of(e), e.v, f) ||
		e.native > 0 && page.appendNative(&h.slab, i, e.t, b.starts.of(e), b.natives[e.native-1], f) {
		s.began++
	}
}

// appendRun appends the first of the floats of one series, as many as come before the next chunk in a file, or leaves out those that
// are in it; it returns how many these are, at least one. Fast path: the log of those who catch up. The caller holds the index's
// lock.
func (s *shard) appendRun(run []staged, f *format) (n int) {
	id, n := run[0].id, 1
	covered := s.covered(id, run[0].t)
	next := s.p.mapped.of(id)
	if covered {
		for n < len(run) && next.minT <= run[n].t && run[n].t <= next.maxT {
			n++
		}
		return n
	}
	page, i := s.p.h.index.at(id)
	if newest, any := page.newest(i); any && run[0].t <= newest {
		return n // As in appendOne.
	}
	for n < len(run) && run[n-1].t < run[n].t && run[n].t < next.minT {
		n++
	}
	s.first, s.last = min(s.first, run[0].t), max(s.last, run[n-1].t)
	s.began += page.appendRun(&s.p.h.slab, i, run[:n], f)
	return n
}
