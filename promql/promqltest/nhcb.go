package promqltest

import (
	"cmp"
	"fmt"
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
func customBuckets(entries []storage.Entry) ([]storage.Entry, error) {
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
		le := e.Labels.Get(labels.BucketLabel)
		upper, err := strconv.ParseFloat(le, 64)
		switch {
		case suffix == "_bucket" && le == "":
			return nil, fmt.Errorf("%v has no label %s", e.Labels, labels.BucketLabel)
		case suffix == "_bucket" && (err != nil || math.IsNaN(upper)):
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
		c.add(suffix, upper, e.V)
	}
	out := make([]storage.Entry, 0, len(order))
	for _, c := range order {
		h, err := c.native()
		if err != nil {
			return nil, fmt.Errorf("%v at %d: %w", c.ls, c.t, err)
		}
		out = append(out, storage.Entry{Labels: c.ls, T: c.t, FloatHistogram: h})
	}
	return out, nil
}

// add takes the value of a series. Of two buckets with the same bound, the first counts.
func (c *classic) add(suffix string, upper, v float64) {
	switch suffix {
	case "_bucket":
		if !slices.ContainsFunc(c.buckets, func(b classicBucket) bool { return b.upper == upper }) {
			c.buckets = append(c.buckets, classicBucket{upper, v})
		}
	case "_count":
		c.count, c.hasCount = v, true
	case "_sum":
		c.sum = v
	}
}

// native returns the histogram; the counts of its buckets do not add up as those of classic ones do.
func (c *classic) native() (*histogram.FloatHistogram, error) {
	slices.SortFunc(c.buckets, func(a, b classicBucket) int { return cmp.Compare(a.upper, b.upper) })
	n := len(c.buckets)
	if !c.hasCount && n > 0 {
		c.count = c.buckets[n-1].count
	}
	if n == 0 || !math.IsInf(c.buckets[n-1].upper, 1) {
		c.buckets = append(c.buckets, classicBucket{math.Inf(1), c.count})
	}
	h := &histogram.FloatHistogram{Schema: histogram.CustomBucketsSchema, Count: c.count, Sum: c.sum}
	below := 0.0
	for i, b := range c.buckets {
		if i < len(c.buckets)-1 {
			h.CustomValues = append(h.CustomValues, b.upper)
		}
		if b.count < below {
			return nil, fmt.Errorf("bucket up to %g has %g observations, the one below %g", b.upper, b.count, below)
		}
		h.PositiveBuckets = append(h.PositiveBuckets, b.count-below)
		below = b.count
	}
	if c.count != below {
		return nil, fmt.Errorf("%g observations, but %g in all buckets", c.count, below)
	}
	h.PositiveSpans = []histogram.Span{{Length: uint32(len(h.PositiveBuckets))}}
	return h, nil
}
