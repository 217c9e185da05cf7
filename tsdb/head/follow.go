package head

import (
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// Committed describes a batch that is in the log and in memory.
type Committed struct {
	// Segment is the segment of the log that has the samples which came in order, and the exemplars.
	Segment int
	// LateSegment is that of the other log, which has what came out of order.
	LateSegment int

	Floats, Histograms, Exemplars int
	LateFloats, LateHistograms    int
	// MaxTime is the time of the newest sample of all, in milliseconds.
	MaxTime int64
}

// tell says what was committed. The caller holds the commit lock.
func (a *appender) tell(natives int) {
	h := a.h
	c := Committed{
		Segment: h.log.Index(), Floats: len(a.samples) - natives, Histograms: natives, Exemplars: len(a.exemplars),
		MaxTime: h.maxTime.Load(),
	}
	if len(a.lates) > 0 {
		c.LateSegment = h.lateLog.Index()
		for i := range a.lates {
			if a.lates[i].native > 0 {
				c.LateHistograms++
			}
		}
		c.LateFloats = len(a.lates) - c.LateHistograms
	}
	h.onCommit(c)
}

// Log returns the log, for those who follow what is written to it.
func (h *Head) Log() *wal.Log { return h.log }

// LateLog returns the log of samples that come out of order, nil as long as there is none.
func (h *Head) LateLog() *wal.Log {
	h.commit.Lock()
	defer h.commit.Unlock()
	return h.lateLog
}

// EachSeries calls f with each series in memory, once for each reference that the log uses for it, and with its metadata, whose
// type is empty if there is none. Series that come in the meantime may be left out: the log names them from now on.
func (h *Head) EachSeries(f func(ref uint64, ls labels.Labels, md sample.Metadata)) {
	for _, n := range h.named() {
		ls := h.index.labels(n.id)
		if ls.IsEmpty() {
			continue
		}
		h.extra.mu.RLock()
		md := h.extra.metadata[n.id]
		h.extra.mu.RUnlock()
		f(n.ref, ls, md)
	}
}
