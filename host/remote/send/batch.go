package send

import (
	"context"
	"time"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// batcher collects the items of one record, in runs that go to one shard.
type batcher struct {
	f      *follower
	kind   kind
	oldest int64
	key    uint64
	newest int64
	tooOld int
	// dropped and unknown count those of series that are not sent and those of series that are not known.
	dropped, unknown int
	ref              uint64
	// hold keeps items until their exemplars are known.
	hold bool
}

func (f *follower) batch(k kind) batcher {
	b := batcher{f: f, kind: k, hold: f.q.cfg.SendExemplars && k != exemplars}
	if limit := time.Duration(f.q.cfg.QueueConfig.SampleAgeLimit); limit > 0 {
		b.oldest = oldestAt(limit)
	}
	f.run = f.run[:0]
	return b
}

// find returns the series of a reference, or nil if what has this time is not sent.
func (b *batcher) find(ref uint64, t int64) *series {
	if b.oldest != 0 && t < b.oldest {
		b.tooOld++
		return nil
	}
	s := b.f.table.get(ref)
	switch {
	case s == nil:
		b.unknown++
		b.ref = ref
		return nil
	case s.dropped:
		b.dropped++
		return nil
	}
	b.newest = max(b.newest, t)
	return s
}

// add takes an item of a series, and returns false if hard is done.
func (b *batcher) add(hard context.Context, ref uint64, it item) bool {
	if b.hold {
		b.f.held = append(b.f.held, heldItem{ref: ref, sample: it})
		return true
	}
	if key := ref / neighbours; key != b.key {
		if !b.flush(hard) {
			return false
		}
		b.key = key
	}
	b.f.run = append(b.f.run, it)
	return true
}

func (b *batcher) flush(hard context.Context) bool {
	if len(b.f.run) == 0 {
		return true
	}
	ok := b.f.put(hard, b.key, b.kind, b.f.run)
	b.f.run = b.f.run[:0]
	return ok
}

// end hands over the last run and counts what was left out.
func (b *batcher) end(hard context.Context, ok bool) bool {
	q := b.f.q
	ok = ok && b.flush(hard)
	q.metrics.dropped(b.kind, tooOld, b.tooOld)
	q.metrics.dropped(b.kind, droppedSeries, b.dropped)
	if b.unknown > 0 {
		q.metrics.dropped(b.kind, unknownSeries, b.unknown)
		if omitted, ok := q.strange.due(); ok {
			q.log.Warn("samples of a series that the log does not name are not sent", "ref", b.ref, "count", b.unknown, "messages_left_out", omitted)
		}
	}
	q.load.dropped.add(int64(b.dropped + b.unknown))
	if b.newest > 0 {
		q.metrics.highestRead.set(b.newest)
	}
	return ok
}

func (f *follower) sendFloats(hard context.Context) bool {
	b, ok := f.batch(floats), true
	for i := 0; i < len(f.floats) && ok; i++ {
		w := &f.floats[i]
		if s := b.find(w.Ref, w.T); s != nil {
			ok = b.add(hard, w.Ref, item{series: s, t: w.T, st: w.ST, v: w.V})
		}
	}
	return b.end(hard, ok)
}

func (f *follower) sendHistograms(hard context.Context) bool {
	b, ok := f.batch(histograms), true
	custom := 0
	for i := 0; i < len(f.natives) && ok; i++ {
		w := &f.natives[i]
		s := b.find(w.Ref, w.T)
		if s == nil {
			continue
		}
		if f.q.cfg.ProtobufMessage == V1 && hasCustomBuckets(w) {
			custom++
			continue
		}
		ok = b.add(hard, w.Ref, item{series: s, t: w.T, st: w.ST, more: &more{whole: w.Int, floating: w.Float}})
	}
	clear(f.natives)
	f.q.metrics.dropped(histograms, noCustom1, custom)
	return b.end(hard, ok)
}

func hasCustomBuckets(h *wal.Histogram) bool {
	return h.Int != nil && h.Int.Schema == histogram.CustomBucketsSchema || h.Float != nil && h.Float.Schema == histogram.CustomBucketsSchema
}

// sendExemplars hands over the exemplars of a batch, each behind the sample that it belongs to if that is held: receivers of 2.0 want
// both in one series.
func (f *follower) sendExemplars(hard context.Context) bool {
	b, ok := f.batch(exemplars), true
	if f.heldAt == nil {
		f.heldAt = map[uint64]int{}
	}
	for i := range f.held {
		f.heldAt[f.held[i].ref] = i
	}
	for i := 0; i < len(f.examples) && ok; i++ {
		w := &f.examples[i]
		s := b.find(w.Ref, w.T)
		if s == nil {
			continue
		}
		it := item{series: s, t: w.T, v: w.V, more: &more{labels: w.Labels}}
		if at, held := f.heldAt[w.Ref]; held {
			f.held[at].exemplars = append(f.held[at].exemplars, it)
			continue
		}
		ok = b.add(hard, w.Ref, it)
	}
	clear(f.examples)
	clear(f.heldAt)
	return b.end(hard, ok) && f.release(hard)
}

// release hands over what is held.
func (f *follower) release(hard context.Context) bool {
	if len(f.held) == 0 {
		return true
	}
	f.run = f.run[:0]
	key, ok := uint64(0), true
	for i := 0; i < len(f.held) && ok; i++ {
		h := &f.held[i]
		if k := h.ref / neighbours; k != key {
			ok = f.putMixed(hard, key, f.run)
			key, f.run = k, f.run[:0]
		}
		f.run = append(append(f.run, h.sample), h.exemplars...)
	}
	ok = ok && f.putMixed(hard, key, f.run)
	clear(f.held)
	f.held, f.run = f.held[:0], f.run[:0]
	return ok
}

// put hands items of neighbouring series to their shard, waits while that is full, and returns false if hard is done.
func (f *follower) put(hard context.Context, key uint64, k kind, items []item) bool {
	var c counts
	c[k] = len(items)
	return f.enqueue(hard, key, c, items)
}

// putMixed is put for items of several kinds.
func (f *follower) putMixed(hard context.Context, key uint64, items []item) bool {
	return len(items) == 0 || f.enqueue(hard, key, count(items), items)
}

func (f *follower) enqueue(hard context.Context, key uint64, c counts, items []item) bool {
	for k, n := range c {
		if n > 0 {
			f.q.metrics.pending[k].Add(float64(n))
		}
	}
	for {
		s := f.shards[key%uint64(len(f.shards))]
		items = items[s.put(items):]
		if len(items) == 0 {
			return true
		}
		f.q.metrics.enqueueRetries.Inc()
		select {
		case <-s.room:
		case <-f.think.C:
			f.reshard(hard)
		case <-hard.Done():
			f.q.giveUp(count(items))
			return false
		}
	}
}
