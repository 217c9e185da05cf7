package head

import (
	"fmt"
	"math"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// SetOutOfOrderWindow changes how many milliseconds a sample may come behind the newest one of the head; zero takes none
// out of order. What was taken before stays.
func (h *Head) SetOutOfOrderWindow(millis int64) error {
	h.commit.Lock()
	defer h.commit.Unlock()
	if millis > 0 && h.lateLog == nil && !h.closed.Load() {
		if err := h.openLateLog(); err != nil {
			return err
		}
	}
	h.window.Store(max(millis, 0))
	h.exemplars.mu.Lock()
	h.exemplars.window = max(millis, 0)
	h.exemplars.mu.Unlock()
	return nil
}

// late decides about a sample for which there is no place in order: it is taken out of order, if it is within the
// window, else refused for the given reason.
func (a *appender) late(t int64, native chunk.Native, reason error) error {
	m := a.h.metrics
	switch {
	case a.window > 0 && (a.newest == math.MinInt64 || t >= a.newest-a.window):
		return errLate
	case a.window > 0:
		m.of(native).tooOld.Inc()
		return storage.ErrTooOld
	case reason == storage.ErrOutOfBounds: //nolint:errorlint // given by the callers, never wrapped
		m.of(native).outOfBounds.Inc()
	default:
		m.of(native).outOfOrder.Inc()
	}
	return reason
}

// overtaken is late for a sample that was staged in order; it reports whether the batch keeps it.
func (a *appender) overtaken(s *staged) bool {
	if a.late(s.t, a.nativeOf(s), storage.ErrOutOfOrder) != errLate { //nolint:errorlint // never wrapped
		return false
	}
	a.lates = append(a.lates, *s)
	return true
}

// writeLate puts the samples that came out of order into their log. The caller holds the commit lock.
func (a *appender) writeLate() error {
	if len(a.lates) == 0 {
		return nil
	}
	h := a.h
	if h.lateLog == nil {
		return fmt.Errorf("samples out of order: %w", ErrClosed)
	}
	before := len(h.recs)
	at := len(h.buf)
	for rest := a.lates; len(rest) > 0; {
		n := a.oneKindEach(rest)
		a.writeSamples(rest[:n])
		rest = rest[n:]
	}
	err := h.lateLog.Append(h.recs[before:]...)
	clear(h.recs[before:])
	h.recs, h.buf = h.recs[:before], h.buf[:at]
	if err != nil {
		return fmt.Errorf("out-of-order log: %w", err)
	}
	return nil
}

// showLate makes the samples that came out of order visible. The caller holds the locks of show.
func (a *appender) showLate(seq uint64, watched bool) {
	h := a.h
	for k := range a.lates {
		s := &a.lates[k]
		p, i := h.index.at(s.id)
		p.mu.Lock()
		native := a.nativeOf(s)
		added, began := p.appendLate(i, lateSample{t: s.t, st: a.starts.of(s), v: s.v, native: native, seq: seq}, watched)
		p.slots[i].pending--
		p.mu.Unlock()
		h.chunks.Add(int64(began))
		h.metrics.chunksCreated.Add(float64(began))
		if added {
			m := h.metrics.of(native)
			m.appended.Inc()
			m.lateAppended.Inc()
			h.extendLate(s.t)
		}
	}
}

// extendLate makes the bounds of what came out of order cover t.
func (h *Head) extendLate(t int64) {
	if t < h.lateMin.Load() {
		h.lateMin.Store(t)
	}
	if t > h.lateMax.Load() {
		h.lateMax.Store(t)
	}
}

// forgetLateBounds sets the bounds when nothing is left.
func (h *Head) forgetLateBounds() {
	h.lateMin.Store(math.MaxInt64)
	h.lateMax.Store(math.MinInt64)
}
