package exposition

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
)

// Reasons for which the lines of a classic histogram are no histogram.
var (
	errNotCumulative = errors.New("a bucket has more observations than the next one")
	errNegative      = errors.New("a number of observations is negative")
	errBound         = errors.New("the bound of a bucket is not a number")
	errBucketCount   = errors.New("the last bucket does not have all observations")
)

// classicBuckets collects a classic histogram: cumulative buckets, sum and count.
type classicBuckets struct {
	buckets  []classicBucket
	count    float64
	hasCount bool
	sum      float64
	err      error
}

type classicBucket struct{ bound, count float64 }

func (c *classicBuckets) reset() { *c = classicBuckets{buckets: c.buckets[:0]} }

func (c *classicBuckets) setCount(n float64) {
	if n < 0 && c.err == nil {
		c.err = fmt.Errorf("%w: count %g", errNegative, n)
	}
	c.count, c.hasCount = n, true
}

// add adds a bucket with its cumulative count; of two with the same bound, the first one counts.
func (c *classicBuckets) add(bound, count float64) {
	switch {
	case c.err != nil:
	case math.IsNaN(bound):
		c.err = errBound
	case count < 0:
		c.err = fmt.Errorf("%w: le=%g, count %g", errNegative, bound, count)
	default:
		c.insert(classicBucket{bound + 0, count}) // The sum with zero is never minus zero.
	}
}

func (c *classicBuckets) insert(b classicBucket) {
	i := len(c.buckets)
	for i > 0 && c.buckets[i-1].bound >= b.bound {
		i--
	}
	switch {
	case i < len(c.buckets) && c.buckets[i].bound == b.bound:
	case i > 0 && b.count < c.buckets[i-1].count:
		c.err = fmt.Errorf("%w: %g before %g", errNotCumulative, c.buckets[i-1].count, b.count)
	case i < len(c.buckets) && b.count > c.buckets[i].count:
		c.err = fmt.Errorf("%w: %g before %g", errNotCumulative, b.count, c.buckets[i].count)
	default:
		c.buckets = slices.Insert(c.buckets, i, b)
	}
}

// convert returns what was collected as a histogram with custom buckets, in the form that fits its counts.
func (c *classicBuckets) convert() (*histogram.Histogram, *histogram.FloatHistogram, error) {
	if c.err != nil {
		return nil, nil, c.err
	}
	if n := len(c.buckets); !c.hasCount && n > 0 {
		c.count = c.buckets[n-1].count
	}
	if n := len(c.buckets); n == 0 || !math.IsInf(c.buckets[n-1].bound, 1) {
		c.buckets = append(c.buckets, classicBucket{math.Inf(1), c.count})
	}
	last := c.buckets[len(c.buckets)-1].count
	if n := len(c.buckets); n > 1 && c.buckets[n-2].count > last {
		return nil, nil, fmt.Errorf("%w: %g before %g", errNotCumulative, c.buckets[n-2].count, last)
	}
	if c.count != last {
		return nil, nil, fmt.Errorf("%w: %g of %g", errBucketCount, last, c.count)
	}
	spans := []histogram.Span{{Length: uint32(len(c.buckets))}}
	if !c.whole() {
		h := &histogram.FloatHistogram{
			Schema: histogram.CustomBucketsSchema, Count: c.count, Sum: c.sum, PositiveSpans: spans,
			PositiveBuckets: make([]float64, len(c.buckets)), CustomValues: c.bounds(),
		}
		before := 0.0
		for i, b := range c.buckets {
			h.PositiveBuckets[i] = b.count - before
			before = b.count
		}
		h.Compact(0)
		return nil, h, nil
	}
	h := &histogram.Histogram{
		Schema: histogram.CustomBucketsSchema, Count: uint64(c.count), Sum: c.sum, PositiveSpans: spans,
		PositiveBuckets: make([]int64, len(c.buckets)), CustomValues: c.bounds(),
	}
	var before, delta int64
	for i, b := range c.buckets {
		n := int64(b.count) - before
		h.PositiveBuckets[i] = n - delta
		before, delta = int64(b.count), n
	}
	h.Compact(maxEmptyCustom)
	return h, nil, nil
}

// maxEmptyCustom is how many empty buckets are kept between others in converted histograms, as upstream has it.
const maxEmptyCustom = 2

// whole reports whether all counts are whole numbers.
func (c *classicBuckets) whole() bool {
	for _, b := range c.buckets {
		if b.count != float64(int64(math.Round(b.count))) {
			return false
		}
	}
	return true
}

// bounds returns the bounds but for the last, +Inf.
func (c *classicBuckets) bounds() []float64 {
	if len(c.buckets) < 2 {
		return nil
	}
	bounds := make([]float64, len(c.buckets)-1)
	for i := range bounds {
		bounds[i] = c.buckets[i].bound
	}
	return bounds
}
