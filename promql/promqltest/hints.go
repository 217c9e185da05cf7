package promqltest

import (
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// setHints sets the counter reset hints of histograms to what Prometheus's storage would return: scripts count on that, and
// not all storages look for resets. It knows of a sample that there was no reset before it where both lie in one chunk;
// whatever starts a new one, a reset or something else, leaves it unknown. The entries are sorted by time.
func setHints(entries []storage.Entry) {
	before := map[string]*histogram.FloatHistogram{}
	for i := range entries {
		key := string(entries[i].Labels.AppendKey(nil))
		h := entries[i].FloatHistogram
		if h != nil && h.CounterResetHint != histogram.GaugeType {
			if prev := before[key]; prev != nil && continues(h, prev) {
				h.CounterResetHint = histogram.NotCounterReset
			} else {
				h.CounterResetHint = histogram.UnknownCounterReset
			}
		}
		before[key] = h
	}
}

// continues reports whether a histogram would be written to the chunk of the one before it.
func continues(h, prev *histogram.FloatHistogram) bool {
	switch {
	case prev.CounterResetHint == histogram.GaugeType, h.CounterResetHint == histogram.CounterReset:
		return false
	case sample.IsStale(h.Sum):
		return true
	}
	return !sample.IsStale(prev.Sum) && h.Count >= prev.Count && h.ZeroCount >= prev.ZeroCount &&
		h.Schema == prev.Schema && h.ZeroThreshold == prev.ZeroThreshold && slices.Equal(h.CustomValues, prev.CustomValues) &&
		!shrinks(prev.PositiveSpans, h.PositiveSpans, prev.PositiveBuckets, h.PositiveBuckets) &&
		!shrinks(prev.NegativeSpans, h.NegativeSpans, prev.NegativeBuckets, h.NegativeBuckets)
}

// shrinks reports whether a bucket holds less than it did.
func shrinks(was, is []histogram.Span, wasCounts, isCounts []float64) bool {
	for p := range histogram.Pair(was, is) {
		old, now := 0.0, 0.0
		if p.A >= 0 {
			old = wasCounts[p.A]
		}
		if p.B >= 0 {
			now = isCounts[p.B]
		}
		if now < old {
			return true
		}
	}
	return false
}
