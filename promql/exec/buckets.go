package exec

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unsafe"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// bucket is a bucket of a classic histogram: how many observations are not above a bound.
type bucket struct{ upper, count float64 }

// bucketSeries is a series of such buckets.
type bucketSeries struct {
	upper  float64
	series int32
	// bad says that the series has no valid bound: it may hold native histograms, but no buckets.
	bad bool
}

// bucketBytes is the size of a series of buckets.
const bucketBytes = int64(unsafe.Sizeof(bucketSeries{}))

// overBuckets is a function over classic histograms, whose buckets it finds among the series of its argument.
type overBuckets struct {
	q  *query
	op operator
	g  plan.Grid
	at spot
	// f calculates the value of one histogram. The buckets are in order of their bounds; f may change them.
	f func(step int, name string, buckets []bucket) float64
	// native is f for native histograms.
	native  func(step int, name string, h *histogram.FloatHistogram) float64
	out     []series
	members [][]bucketSeries
}

func (q *query) overBuckets(ctx context.Context, n *plan.Call, g plan.Grid) (operator, error) {
	var args [][]float64
	vector := -1
	for i, arg := range n.Args {
		switch arg.Type() {
		case parser.ValueTypeVector:
			vector = i
		case parser.ValueTypeScalar:
			values, err := q.scalar(ctx, arg, g)
			if err != nil {
				return nil, err
			}
			args = append(args, values)
		}
	}
	op, err := q.build(ctx, n.Args[vector], g)
	if err != nil {
		return nil, err
	}
	o := &overBuckets{q: q, op: op, g: g, at: spotOf(n, n.ArgPos[vector])}
	if err := o.group(ctx); err != nil {
		return nil, err
	}
	switch n.Func {
	case "histogram_quantile":
		if err := q.noteQuantiles(ctx, args[0], spotOf(n, n.ArgPos[0])); err != nil {
			return nil, err
		}
		o.quantile(args[0])
	case "histogram_quantiles":
		return q.quantiles(ctx, o, n, args)
	default:
		o.fraction(args[0], args[1])
	}
	before := o.out
	if o.out, err = q.dropNames(ctx, before); err != nil {
		return nil, err
	}
	return q.unique(ctx, o, before)
}

// quantile sets the function to that of the φ-quantile.
func (o *overBuckets) quantile(phi []float64) {
	o.f = func(step int, name string, buckets []bucket) float64 {
		return o.q.bucketQuantile(phi[step], buckets, name, o.at, o.g.At(step))
	}
	o.native = func(step int, name string, h *histogram.FloatHistogram) float64 {
		return nativeQuantile(phi[step], h, name, o.at, &o.q.notes)
	}
}

// fraction sets the function to that of the part between two values.
func (o *overBuckets) fraction(lower, upper []float64) {
	o.f = func(step int, _ string, buckets []bucket) float64 {
		return bucketFraction(lower[step], upper[step], buckets)
	}
	o.native = func(step int, name string, h *histogram.FloatHistogram) float64 {
		return nativeFraction(lower[step], upper[step], h, name, o.at, &o.q.notes)
	}
}

// noteQuantiles warns of quantiles that do not exist.
func (q *query) noteQuantiles(ctx context.Context, values []float64, at spot) error {
	pace := q.pace(ctx)
	for _, v := range values {
		if err := pace(0); err != nil {
			return err
		}
		if math.IsNaN(v) || v < 0 || v > 1 {
			q.notes.warnf(at, "quantile value should be between 0 and 1, got %g", v)
		}
	}
	return nil
}

// group finds the histograms to which the series belong.
func (o *overBuckets) group(ctx context.Context) error {
	index, pace := newLabelIndex(0), o.q.pace(ctx)
	b := labels.NewBuilder(labels.EmptyLabels())
	for i, s := range o.op.series() {
		upper, err := strconv.ParseFloat(s.labels.Get(labels.BucketLabel), 64)
		b.Reset(s.labels)
		if err == nil {
			b.Del(labels.BucketLabel)
		}
		n, isNew := index.add(b.Labels())
		made := bucketBytes
		if isNew {
			made += seriesBytes + int64(index.sets[n].ByteSize())
			o.out = append(o.out, series{labels: b.Labels(), dropName: s.dropName})
			o.members = append(o.members, nil)
		}
		o.members[n] = append(o.members[n], bucketSeries{upper, int32(i), err != nil})
		if err := pace(made); err != nil {
			return err
		}
	}
	for _, m := range o.members {
		if err := SortFunc(ctx, m, func(a, b bucketSeries) int { return compareValues(a.upper, b.upper, false) }); err != nil {
			return err
		}
	}
	return nil
}

func (o *overBuckets) series() []series { return o.out }

func (o *overBuckets) row(ctx context.Context, w *worker, i int, dst *row) error {
	members := o.members[i]
	rows := make([]*row, len(members))
	for k, m := range members {
		rows[k] = w.borrow(o.g.N)
		defer w.giveBack(rows[k])
		w.lend(rows[k])
		defer w.takeBack(rows[k])
		if err := o.op.row(ctx, w, int(m.series), rows[k]); err != nil {
			return err
		}
	}
	if err := w.reset(dst, o.g.N); err != nil {
		return err
	}
	buckets := make([]bucket, 0, len(members))
	ended := ending(ctx)
	for step := range dst.F {
		if err := ended(); err != nil {
			return err
		}
		var h *histogram.FloatHistogram
		buckets, h = o.bucketsAt(step, members, rows, buckets[:0])
		switch {
		case h != nil && len(buckets) > 0:
			o.q.notes.warn(o.at, forMetric("vector contains a mix of classic and native histograms", o.name(i)))
		case h != nil:
			dst.F[step] = o.native(step, o.name(i), h)
		case len(buckets) > 0:
			dst.F[step] = o.f(step, o.name(i), buckets)
		}
	}
	return nil
}

// name returns what annotations call the i-th histogram. Where names are dropped early, it is gone already.
func (o *overBuckets) name(i int) string {
	if !o.q.DelayNameRemoval {
		return ""
	}
	return metricName(&o.out[i])
}

// bucketsAt appends the buckets of one step, and returns the native histogram if there is one.
func (o *overBuckets) bucketsAt(step int, members []bucketSeries, rows []*row, to []bucket) (_ []bucket, native *histogram.FloatHistogram) {
	for k, r := range rows {
		switch {
		case isAbsent(r.F[step]):
		case r.hist(step) != nil:
			native = r.hist(step)
		case members[k].bad:
			s := &o.op.series()[members[k].series]
			text := fmt.Sprintf("bucket label %q is missing or has a malformed value of %q", labels.BucketLabel, s.labels.Get(labels.BucketLabel))
			name := ""
			if o.q.DelayNameRemoval {
				name = metricName(s)
			}
			o.q.notes.warn(o.at, forMetric(text, name))
		default:
			to = append(to, bucket{members[k].upper, r.F[step]})
		}
	}
	return to, native
}

// bucketQuantile returns the φ-quantile, assuming that the observations of a bucket are spread evenly.
func (q *query) bucketQuantile(phi float64, buckets []bucket, name string, at spot, t int64) float64 {
	switch {
	case math.IsNaN(phi):
		return math.NaN()
	case phi < 0:
		return math.Inf(-1)
	case phi > 1:
		return math.Inf(1)
	case !math.IsInf(buckets[len(buckets)-1].upper, 1):
		return math.NaN()
	}
	buckets = coalesce(buckets)
	if fixed := monotonic(buckets); fixed.count > 0 {
		once := fixed // This one is on the heap, and the other at each step is not.
		once.minT, once.maxT = t, t
		const text = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
		q.notes.add(&q.notes.infos, forMetric(text, name), note{spot: at, forced: &once})
	}
	n := len(buckets)
	if n < 2 || buckets[n-1].count == 0 {
		return math.NaN()
	}
	rank := phi * buckets[n-1].count
	b := slices.IndexFunc(buckets[:n-1], func(b bucket) bool { return b.count >= rank })
	switch {
	case b < 0:
		return buckets[n-2].upper
	case b == 0 && buckets[0].upper <= 0:
		return buckets[0].upper
	case b == 0:
		return buckets[0].upper * (rank / buckets[0].count)
	}
	below, in := buckets[b-1], buckets[b]
	return below.upper + (in.upper-below.upper)*((rank-below.count)/(in.count-below.count))
}

// coalesce adds up buckets with the same bound.
func coalesce(buckets []bucket) []bucket {
	out := buckets[:1]
	for _, b := range buckets[1:] {
		if last := &out[len(out)-1]; last.upper == b.upper {
			last.count += b.count
		} else {
			out = append(out, b)
		}
	}
	return out
}

// smallDelta is the relative difference up to which a decrease is taken for an error of rounding.
const smallDelta = 1e-12

// monotonic removes decreases of the counts and tells how large they were. Tiny differences are removed silently.
func monotonic(buckets []bucket) forced {
	f := forced{minBucket: math.Inf(1), maxBucket: math.Inf(-1)}
	last := buckets[0].count
	for i := 1; i < len(buckets); i++ {
		b := &buckets[i]
		switch {
		case b.count == last:
		case almostEqual(last, b.count, smallDelta):
			b.count = last
		case b.count < last:
			f.count = 1
			f.minBucket, f.maxBucket = min(f.minBucket, b.upper), max(f.maxBucket, b.upper)
			f.maxDiff = max(f.maxDiff, last-b.count)
			b.count = last
		default:
			last = b.count
		}
	}
	return f
}

// almostEqual reports whether two floats are equal but for a relative error.
func almostEqual(a, b, epsilon float64) bool {
	const minNormal = 0x1p-1022
	if a == b || math.IsNaN(a) && math.IsNaN(b) {
		return true
	}
	sum, diff := math.Abs(a)+math.Abs(b), math.Abs(a-b)
	if a == 0 || b == 0 || sum < minNormal {
		return diff < epsilon*minNormal
	}
	return diff/min(sum, math.MaxFloat64) < epsilon
}

// bucketFraction returns the part of the observations that lies between two values.
func bucketFraction(lower, upper float64, buckets []bucket) float64 {
	if !math.IsInf(buckets[len(buckets)-1].upper, 1) {
		return math.NaN()
	}
	buckets = coalesce(buckets)
	total := buckets[len(buckets)-1].count
	switch {
	case total == 0 || math.IsNaN(lower) || math.IsNaN(upper):
		return math.NaN()
	case lower >= upper:
		return 0
	}
	return (bucketRank(upper, buckets) - bucketRank(lower, buckets)) / total
}

// bucketRank returns how many observations are below a value, assuming that those of a bucket are spread evenly. A
// bucket without a finite border is not divided.
func bucketRank(v float64, buckets []bucket) float64 {
	total := buckets[len(buckets)-1].count
	below, start := 0.0, 0.0
	if buckets[0].upper <= 0 {
		start = math.Inf(-1)
	}
	for _, b := range buckets {
		switch {
		case start >= v:
			return min(below, total)
		case b.upper > v && math.IsInf(start, -1):
			return min(b.count, total)
		case b.upper > v:
			return min(below+(b.count-below)*(v-start)/(b.upper-start), total)
		}
		below, start = b.count, b.upper
	}
	return total
}
