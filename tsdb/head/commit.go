package head

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/wal"
)

var (
	errDone = errors.New("batch was committed or rolled back before")
	// errSame says that a sample is there already.
	errSame = errors.New("same sample")
	// errLate says that a sample is taken out of order.
	errLate = errors.New("late sample")
)

// Commit writes the batch to the log and then makes it visible. A sample for which another batch left no place in the
// meantime, because it appended newer ones to the series, is dropped.
func (a *appender) Commit(ctx context.Context) error {
	if a.done {
		return fmt.Errorf("commit: %w", errDone)
	}
	err := ctx.Err()
	if err == nil {
		err = a.commit()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), a.Rollback())
	}
	a.end()
	return nil
}

func (a *appender) commit() error {
	h := a.h
	h.commit.Lock()
	defer h.commit.Unlock()
	if h.closed.Load() {
		return ErrClosed
	}
	if len(a.samples) == 0 && len(a.lates) == 0 && len(a.metadata) == 0 && len(a.exemplars) == 0 {
		return nil
	}
	if err := a.checkBounds(); err != nil {
		return err
	}
	if h.contended.Load() != a.contended {
		a.dropOvertaken()
	}
	series := a.walSeries()
	if err := a.write(series); err != nil {
		return err
	}
	natives := a.show()
	a.showExemplars()
	a.remember(series)
	a.noteLogged()
	if h.onCommit != nil {
		a.tell(natives)
	}
	return nil
}

// checkBounds makes sure that no block was cut, since the batch began, in which its samples ought to be.
func (a *appender) checkBounds() error {
	low := a.h.minValid.Load()
	if low <= a.minValid {
		return nil
	}
	if a.window > 0 {
		a.moveLate(func(s *staged) bool { return s.t < low })
		return nil
	}
	for k := range a.samples {
		if a.samples[k].t < low {
			return fmt.Errorf("a sample at %d, when a block up to %d was cut: %w", a.samples[k].t, low, storage.ErrOutOfBounds)
		}
	}
	return nil
}

// dropOvertaken takes samples that do not come after those of their series any more out of order, or drops them.
func (a *appender) dropOvertaken() {
	x := &a.h.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	a.moveLate(func(s *staged) bool {
		p, i := x.at(s.id)
		p.mu.Lock()
		defer p.mu.Unlock()
		last, ok := p.newest(i)
		return ok && s.t <= last
	})
}

// moveLate takes the samples for which is returns true out of order, or drops them.
func (a *appender) moveLate(is func(s *staged) bool) {
	a.samples = slices.DeleteFunc(a.samples, func(s staged) bool {
		if !is(&s) {
			return false
		}
		if !a.overtaken(&s) {
			p, i := a.h.index.at(s.id)
			p.mu.Lock()
			p.slots[i].pending--
			p.mu.Unlock()
		}
		return true
	})
}

// write puts the batch into the log. All floats are in one record: a crash leaves all of them or none. Histograms come
// in records of their own.
func (a *appender) write(series []wal.Series) error {
	h := a.h
	x := &h.index
	h.recs = h.recs[:0]
	h.buf = wal.AppendSeries(h.buf[:0], series)
	h.cutRecord(0)
	at := len(h.buf)
	metadata := make([]wal.Metadata, 0, len(a.metadata))
	x.mu.RLock()
	for k := range a.metadata {
		p, i := x.at(a.metadata[k].id)
		if p == nil {
			continue // No sample came with it that would have kept the series.
		}
		metadata = append(metadata, wal.Metadata{Ref: p.slots[i].ref, Metadata: a.metadata[k].md})
	}
	x.mu.RUnlock()
	if len(a.lates) > 0 && len(h.recs) > 0 {
		// Who follows both logs finds each series named before samples of it come out of order.
		if err := h.log.Append(h.recs...); err != nil {
			return err
		}
		clear(h.recs)
		h.recs, h.buf = h.recs[:0], h.buf[:0]
		at = 0
	}
	// Before the other samples, so that what fails there is in neither log.
	if err := a.writeLate(); err != nil {
		return err
	}
	h.buf = wal.AppendMetadata(h.buf, metadata)
	h.cutRecord(at)
	for rest := a.samples; len(rest) > 0; {
		n := a.oneKindEach(rest)
		a.writeSamples(rest[:n])
		rest = rest[n:]
	}
	if len(a.exemplars) > 0 {
		x.mu.RLock()
		all := a.walExemplars()
		x.mu.RUnlock()
		at = len(h.buf)
		h.buf = wal.AppendExemplars(h.buf, all)
		h.cutRecord(at)
	}
	// The records were cut from buffers that may have moved since, but hold the same bytes.
	err := h.log.Append(h.recs...)
	clear(h.recs)
	if cap(h.buf) > maxIdleBuffer {
		h.buf = nil
	}
	return err
}

// writeSamples makes the records of samples, of which those of one series are of the same kind.
func (a *appender) writeSamples(all []staged) {
	h := a.h
	floats := h.walSamples(len(all))
	var natives []wal.Histogram
	h.index.mu.RLock()
	ref := uint64(0)
	for k := range all {
		s := &all[k]
		if k == 0 || s.id != all[k-1].id {
			p, i := h.index.at(s.id)
			ref = p.slots[i].ref
		}
		if s.native <= 0 {
			floats = append(floats, wal.Sample{Ref: ref, T: s.t, ST: a.starts.of(s), V: s.v})
			continue
		}
		n := a.nativeOf(s)
		natives = append(natives, wal.Histogram{Ref: ref, T: s.t, ST: a.starts.of(s), Int: n.Int, Float: n.Float})
	}
	h.index.mu.RUnlock()
	at := len(h.buf)
	h.buf = h.appendSamples(h.buf, floats)
	h.cutRecord(at)
	if len(natives) > 0 {
		h.recs = wal.AppendHistograms(h.recs, natives)
	}
}

// oneKindEach returns how many of the samples, from the first on, can be written sorted by kind: each series has
// samples of one kind only, so that a restart reads them in the right order.
func (a *appender) oneKindEach(all []staged) int {
	if len(a.natives) == 0 {
		return len(all) // Fast path: floats alone.
	}
	kinds := map[uint32]wal.Type{}
	for k := range all {
		n := a.nativeOf(&all[k])
		kind := (&wal.Histogram{Int: n.Int, Float: n.Float}).RecordType()
		if before, ok := kinds[all[k].id]; ok && before != kind {
			return k
		}
		kinds[all[k].id] = kind
	}
	return len(all)
}

// maxIdleBuffer is the memory in bytes that is kept between batches.
const maxIdleBuffer = 8 << 20

// cutRecord makes a record of what was appended to the buffer from at on, if anything was.
func (h *Head) cutRecord(at int) {
	if len(h.buf) > at {
		h.recs = append(h.recs, h.buf[at:len(h.buf):len(h.buf)])
	}
}

// walSamples returns an empty slice with room for n.
func (h *Head) walSamples(n int) []wal.Sample {
	if cap(h.samples) < n || cap(h.samples) > 4*n+1024 {
		h.samples = make([]wal.Sample, 0, n)
	}
	return h.samples[:0]
}

// show appends the batch to its series. No querier is made meanwhile, so that none sees a part of it.
func (a *appender) show() (natives int) {
	h := a.h
	x := &h.index
	h.snapshots.mu.Lock()
	defer h.snapshots.mu.Unlock()
	h.snapshots.seq++
	oldest, watched := h.snapshots.oldest()
	began, f := 0, h.format()
	x.mu.RLock()
	// Fast path: the samples of a scrape come in the order in which their series were made, so that one lock serves a
	// whole page (BenchmarkAppend: 10 % less).
	var locked *page
	for all := a.samples; len(all) > 0; {
		e, n := &all[0], runLength(all)
		p, i := x.at(e.id)
		if p != locked {
			if locked != nil {
				locked.mu.Unlock()
			}
			p.mu.Lock()
			locked = p
			p.prune(oldest, watched)
		}
		if watched {
			p.undo = append(p.undo, undo{seq: h.snapshots.seq, t: e.t, slot: uint8(i)})
		}
		switch {
		case e.native == 0:
			began += p.appendRun(&h.slab, i, all[:n], &f)
		case e.native < 0 && p.append(&h.slab, i, e.t, a.starts.of(e), e.v, &f),
			e.native > 0 && p.appendNative(&h.slab, i, e.t, a.starts.of(e), a.nativeOf(e), &f):
			began++
		}
		p.slots[i].pending -= uint32(n)
		if e.native > 0 {
			natives++
		}
		all = all[n:]
	}
	if locked != nil {
		locked.mu.Unlock()
	}
	a.showLate(h.snapshots.seq, watched)
	x.mu.RUnlock()
	h.countBegun(began)
	h.metrics.floats.appended.Add(float64(len(a.samples) - natives))
	h.metrics.histograms.appended.Add(float64(natives))
	if len(a.samples) > 0 {
		first, last := a.samples[0].t, a.samples[0].t
		for k := range a.samples {
			first, last = min(first, a.samples[k].t), max(last, a.samples[k].t)
		}
		h.extend(first, last)
		h.noteWidth()
	}
	return natives
}

// runLength returns how many of the samples, from the first on, are floats of one series without start timestamps; at least one.
func runLength(all []staged) int {
	n := 1
	for n < len(all) && all[n].id == all[0].id && all[n].native == 0 && all[0].native == 0 {
		n++
	}
	return n
}

// remember notes what the log knows now.
func (a *appender) remember(series []wal.Series) {
	h := a.h
	if len(series) > 0 {
		h.index.mu.Lock()
		for _, u := range a.unlogged {
			p, i := h.index.at(u.id)
			p.slots[i].logged = true
		}
		h.index.mu.Unlock()
	}
	if len(a.metadata) > 0 {
		h.index.mu.RLock()
		h.extra.mu.Lock()
		for _, m := range a.metadata {
			if p, _ := h.index.at(m.id); p != nil {
				h.extra.metadata[m.id] = m.md
			}
		}
		h.extra.mu.Unlock()
		h.index.mu.RUnlock()
	}
}
