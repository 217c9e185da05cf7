package promqltest

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// classic collects the samples of a classic histogram at one time.
type classic struct {
	ls         labels.Labels
	t          int64
	buckets    []classicBucket
	count, sum float64
	hasCount   bool
}

type classicBucket struct{ upper, count float64 }

// customBuckets returns native histograms with custom buckets for the classic histograms among the entries.
func customBuckets(entries []storage.Entry) []storage.Entry {
	type key struct {
		series string
		t      int64
	}
	found := map[key]*classic{}
	var order []*classic
	for i := range entries {
		e := &entries[i]
		base, suffix := baseName(e.Labels.Get(labels.MetricName))
		if suffix == "" || e.FloatHistogram != nil {
			continue
		}
		upper, err := strconv.ParseFloat(e.Labels.Get(labels.BucketLabel), 64)
		if suffix == "_bucket" && (err != nil || math.IsNaN(upper)) {
			continue
		}
		ls := baseLabels(e.Labels, base)
		k := key{ls.String(), e.T}
		c := found[k]
		if c == nil {
			c = &classic{ls: ls, t: e.T}
			found[k] = c
			order = append(order, c)
		}
		switch suffix {
		case "_bucket":
			c.buckets = append(c.buckets, classicBucket{upper, e.V})
		case "_count":
			c.count, c.hasCount = e.V, true
		case "_sum":
			c.sum = e.V
		}
	}
	out := make([]storage.Entry, 0, len(order))
	for _, c := range order {
		out = append(out, storage.Entry{Labels: c.ls, T: c.t, FloatHistogram: c.native()})
	}
	return out
}

// native returns the histogram; the counts of its buckets do not add up as those of classic ones do.
func (c *classic) native() *histogram.FloatHistogram {
	slices.SortFunc(c.buckets, func(a, b classicBucket) int { return cmp.Compare(a.upper, b.upper) })
	if n := len(c.buckets); !c.hasCount && n > 0 {
		c.count = c.buckets[n-1].count
	}
	if n := len(c.buckets); n == 0 || !math.IsInf(c.buckets[n-1].upper, 1) {
		c.buckets = append(c.buckets, classicBucket{math.Inf(1), c.count})
	}
	h := &histogram.FloatHistogram{Schema: histogram.CustomBucketsSchema, Count: c.count, Sum: c.sum}
	below := 0.0
	for i, b := range c.buckets {
		if i < len(c.buckets)-1 {
			h.CustomValues = append(h.CustomValues, b.upper)
		}
		h.PositiveBuckets = append(h.PositiveBuckets, b.count-below)
		below = b.count
	}
	h.PositiveSpans = []histogram.Span{{Length: uint32(len(h.PositiveBuckets))}}
	return h
}
