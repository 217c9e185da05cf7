package histogram

import (
	"math"

	"github.com/narthex-io/narthex/internal/kahan"
)

// Trimmed returns a histogram without the observations above a threshold, or with upper false without those below it.
// A bucket on the threshold is divided; count and sum are estimated anew from what is left.
func (h *FloatHistogram) Trimmed(at float64, upper bool) *FloatHistogram {
	n := NewSum(h)
	t := trimmer{n: &n, at: at, upper: upper}
	for i := range n.pos.n {
		index := n.pos.index[i]
		t.bucket(&n.pos.n[i], borderedBucket{n.bound(index - 1), n.bound(index), n.pos.n[i].Value()}, 1)
	}
	for i := range n.neg.n {
		index := n.neg.index[i]
		t.bucket(&n.neg.n[i], borderedBucket{-n.bound(index), -n.bound(index - 1), n.neg.n[i].Value()}, -1)
	}
	if zero := n.zero.Value(); zero > 0 {
		t.zero(borderedBucket{-n.zeroThreshold, n.zeroThreshold, zero})
	}
	if !t.changed {
		return h.Scaled(1)
	}
	n.count, n.sum = kahan.Sum{S: t.count}, kahan.Sum{S: t.sum}
	return n.Histogram()
}

// borderedBucket is a bucket with its borders.
type borderedBucket struct{ lower, upper, count float64 }

// trimmer adds up what is left of a histogram.
type trimmer struct {
	n          *Sum
	at         float64
	upper      bool
	count, sum float64
	changed    bool
	// positive and negative say on which sides there were observations.
	positive, negative bool
}

// bucket trims one bucket, whose observations have the given sign.
func (t *trimmer) bucket(n *kahan.Sum, b borderedBucket, sign float64) {
	if b.count == 0 {
		return
	}
	t.positive, t.negative = t.positive || sign > 0, t.negative || sign < 0
	whole := b.upper <= t.at
	divided := b.lower < t.at
	if !t.upper {
		whole, divided = b.lower >= t.at, b.upper > t.at
	}
	kept, middle := 0.0, 0.0
	switch {
	case whole:
		kept, middle = b.count, t.middle(b.lower, b.upper, sign)
	case divided && (math.IsInf(b.lower, -1) || math.IsInf(b.upper, 1)):
		kept, middle = t.endless(b)
	case divided:
		below := b.count * partBelow(b.lower, b.upper, t.at, t.n.usesCustom())
		if t.upper {
			kept, middle = below, t.middle(b.lower, t.at, sign)
		} else {
			kept, middle = b.count-below, t.middle(t.at, b.upper, sign)
		}
	}
	t.keep(b.count, kept, middle)
	*n = kahan.Sum{S: kept}
}

func (t *trimmer) keep(was, kept, middle float64) {
	t.changed = t.changed || kept != was
	t.count += kept
	t.sum += middle * kept
}

// middle estimates the average of what lies between two values.
func (t *trimmer) middle(lower, upper, sign float64) float64 {
	switch {
	case math.IsInf(lower, 0) && math.IsInf(upper, 0):
		return 0
	case math.IsInf(lower, 0) && upper > 0:
		return upper / 2
	case math.IsInf(lower, 0):
		return upper
	case math.IsInf(upper, 0):
		return lower
	case t.n.usesCustom():
		return (lower + upper) / 2
	default:
		return sign * math.Sqrt(math.Abs(lower*upper))
	}
}

// endless trims a custom bucket without a border on one side. Below a positive border it is taken to begin at zero;
// else nothing is known of where its observations lie, so that it stays or goes as a whole.
func (t *trimmer) endless(b borderedBucket) (kept, middle float64) {
	fromZero := math.IsInf(b.lower, -1) && b.upper > 0 && !math.IsInf(b.upper, 1)
	switch {
	case fromZero && t.upper && t.at > 0:
		return b.count * t.at / b.upper, t.at / 2
	case fromZero && !t.upper && t.at >= 0:
		return b.count * (1 - t.at/b.upper), (t.at + b.upper) / 2
	case math.IsInf(b.lower, -1) && t.upper && b.upper <= 0, math.IsInf(b.upper, 1) && !math.IsInf(b.lower, -1) && !t.upper:
		return b.count, t.at
	default:
		return 0, 0
	}
}

// zero trims the zero bucket, evenly, and of one side alone if the other one holds nothing.
func (t *trimmer) zero(b borderedBucket) {
	t.narrow(&b)
	kept, middle := 0.0, 0.0
	switch {
	case t.upper && t.at >= b.upper, !t.upper && t.at <= b.lower:
		kept, middle = b.count, (b.lower+b.upper)/2
	case t.at <= b.lower, t.at >= b.upper:
	case t.upper:
		kept, middle = b.count*(t.at-b.lower)/(b.upper-b.lower), (b.lower+t.at)/2
	default:
		kept, middle = b.count*(b.upper-t.at)/(b.upper-b.lower), (t.at+b.upper)/2
	}
	t.keep(b.count, kept, middle)
	t.n.zero = kahan.Sum{S: kept}
}

func (t *trimmer) narrow(b *borderedBucket) {
	if t.negative && !t.positive {
		b.upper = 0
	}
	if t.positive && !t.negative {
		b.lower = 0
	}
}
