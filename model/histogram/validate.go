package histogram

import (
	"errors"
	"fmt"
	"math"
)

// What can be wrong with a histogram that comes from outside. The errors of Validate wrap these.
var (
	ErrCountNotBigEnough   = errors.New("histogram's observation count should be at least the number of observations found in the buckets")
	ErrCountMismatch       = errors.New("histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)")
	ErrNegativeCount       = errors.New("histogram's observation count is negative")
	ErrNegativeBucketCount = errors.New("histogram has a bucket whose observation count is negative")
	ErrSpanNegativeOffset  = errors.New("histogram has a span whose offset is negative")
	ErrSpanOutOfRange      = errors.New("histogram has a span whose buckets have no valid index")
	ErrSpansMismatch       = errors.New("histogram spans specify different number of buckets than provided")
	ErrBoundsTooFew        = errors.New("histogram custom bounds are too few")
	ErrBoundsNotIncreasing = errors.New("histogram custom bounds must be in strictly increasing order")
	ErrBoundsInfinite      = errors.New("histogram custom bounds must be finite")
	ErrBoundsNaN           = errors.New("histogram custom bounds must not be NaN")
	ErrCustomZeroCount     = errors.New("custom buckets: must have zero count of 0")
	ErrCustomZeroThreshold = errors.New("custom buckets: must have zero threshold of 0")
	ErrCustomNegative      = errors.New("custom buckets: must not have negative spans or buckets")
	ErrBoundsUnexpected    = errors.New("histogram with exponential schema must not have custom bounds")
	ErrInvalidSchema       = fmt.Errorf("histogram has an invalid schema, which must be between %d and %d for exponential buckets, or %d for custom buckets",
		ExponentialSchemaMin, ExponentialSchemaMax, CustomBucketsSchema)
)

// Validate returns what is wrong with the histogram: spans that do not fit the buckets, counts that are negative or do not
// add up, invalid bounds.
func (h *Histogram) Validate() error {
	l := layout{h.Schema, h.ZeroThreshold, h.PositiveSpans, h.NegativeSpans, h.CustomValues}
	if err := l.validate(h.ZeroCount != 0, len(h.PositiveBuckets), len(h.NegativeBuckets)); err != nil {
		return err
	}
	negative, err := sumDeltas(h.NegativeBuckets)
	if err != nil {
		return fmt.Errorf("negative side: %w", err)
	}
	positive, err := sumDeltas(h.PositiveBuckets)
	if err != nil {
		return fmt.Errorf("positive side: %w", err)
	}
	sum := negative + positive + h.ZeroCount
	switch {
	case math.IsNaN(h.Sum) && sum > h.Count: // Observations of NaN are in no bucket.
		return fmt.Errorf("%d observations found in buckets, but the Count field is %d: %w", sum, h.Count, ErrCountNotBigEnough)
	case !math.IsNaN(h.Sum) && sum != h.Count:
		return fmt.Errorf("%d observations found in buckets, but the Count field is %d: %w", sum, h.Count, ErrCountMismatch)
	}
	return nil
}

// Validate returns what is wrong with the histogram. The count need not be the sum of the buckets, as rounding and NaN can
// make them differ.
func (h *FloatHistogram) Validate() error {
	l := layout{h.Schema, h.ZeroThreshold, h.PositiveSpans, h.NegativeSpans, h.CustomValues}
	if err := l.validate(h.ZeroCount != 0, len(h.PositiveBuckets), len(h.NegativeBuckets)); err != nil {
		return err
	}
	switch {
	case h.ZeroCount < 0:
		return fmt.Errorf("zero bucket has observation count of %v: %w", h.ZeroCount, ErrNegativeBucketCount)
	case h.Count < 0:
		return fmt.Errorf("observation count is %v: %w", h.Count, ErrNegativeCount)
	}
	if err := nonNegative(h.NegativeBuckets); err != nil {
		return fmt.Errorf("negative side: %w", err)
	}
	if err := nonNegative(h.PositiveBuckets); err != nil {
		return fmt.Errorf("positive side: %w", err)
	}
	return nil
}

// layout is what the two kinds have in common.
type layout struct {
	schema             int32
	zeroThreshold      float64
	positive, negative []Span
	bounds             []float64
}

func (l *layout) validate(zeros bool, positive, negative int) error {
	switch {
	case l.schema == CustomBucketsSchema:
		return l.validateCustom(zeros, positive, negative)
	case l.schema < ExponentialSchemaMin || l.schema > ExponentialSchemaMax:
		return fmt.Errorf("%w, got schema %d", ErrInvalidSchema, l.schema)
	case l.bounds != nil:
		return ErrBoundsUnexpected
	}
	if err := checkSpans(l.positive, positive, 1); err != nil {
		return fmt.Errorf("positive side: %w", err)
	}
	if err := checkSpans(l.negative, negative, 1); err != nil {
		return fmt.Errorf("negative side: %w", err)
	}
	return nil
}

func (l *layout) validateCustom(zeros bool, positive, negative int) error {
	switch {
	case zeros:
		return ErrCustomZeroCount
	case l.zeroThreshold != 0:
		return ErrCustomZeroThreshold
	case len(l.negative) > 0 || negative > 0:
		return ErrCustomNegative
	}
	if err := checkBounds(l.bounds); err != nil {
		return fmt.Errorf("custom buckets: %w", err)
	}
	if err := checkSpans(l.positive, positive, 0); err != nil {
		return fmt.Errorf("custom buckets: %w", err)
	}
	width := 0
	for _, s := range l.positive {
		width += int(s.Offset) + int(s.Length)
	}
	if len(l.bounds)+1 < width {
		return fmt.Errorf("custom buckets: only %d custom bounds defined which is insufficient to cover total span length of %d: %w",
			len(l.bounds), width, ErrBoundsTooFew)
	}
	return nil
}

// checkSpans checks that spans have the given number of buckets; offsets from span number first on must not be
// negative.
func checkSpans(spans []Span, buckets, first int) error {
	n, end := uint64(0), int64(0)
	for i, s := range spans {
		if i >= first && s.Offset < 0 {
			return fmt.Errorf("span number %d with offset %d: %w", i+1, s.Offset, ErrSpanNegativeOffset)
		}
		n += uint64(s.Length)
		if end += int64(s.Offset) + int64(s.Length); end > math.MaxInt32 && n <= uint64(buckets) {
			return fmt.Errorf("span number %d with offset %d: %w", i+1, s.Offset, ErrSpanOutOfRange)
		}
	}
	if n != uint64(buckets) {
		return fmt.Errorf("spans need %d buckets, have %d buckets: %w", n, buckets, ErrSpansMismatch)
	}
	return nil
}

func checkBounds(bounds []float64) error {
	for i, b := range bounds {
		switch {
		case math.IsNaN(b):
			return ErrBoundsNaN
		case i > 0 && b <= bounds[i-1]:
			return fmt.Errorf("previous bound is %f and current is %f: %w", bounds[i-1], b, ErrBoundsNotIncreasing)
		}
	}
	if n := len(bounds); n > 0 && math.IsInf(bounds[n-1], 1) {
		return fmt.Errorf("last +Inf bound must not be explicitly defined: %w", ErrBoundsInfinite)
	}
	return nil
}

func sumDeltas(deltas []int64) (uint64, error) {
	var n int64
	var sum uint64
	for i, d := range deltas {
		if n += d; n < 0 {
			return 0, fmt.Errorf("bucket number %d has observation count of %v: %w", i+1, n, ErrNegativeBucketCount)
		}
		sum += uint64(n)
	}
	return sum, nil
}

func nonNegative(counts []float64) error {
	for i, n := range counts {
		if n < 0 {
			return fmt.Errorf("bucket number %d has observation count of %v: %w", i+1, n, ErrNegativeBucketCount)
		}
	}
	return nil
}
