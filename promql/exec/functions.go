package exec

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/plan"
)

// mapper calculates the value at a step from the one of the argument; false means none.
type mapper func(step int, f float64, h *histogram.FloatHistogram) (float64, bool)

// mapped applies a function to each value.
type mapped struct {
	operator
	f   mapper
	out []series
}

func (m *mapped) series() []series { return m.out }

func (m *mapped) row(ctx context.Context, w *worker, i int, dst *row) error {
	if dst.lent == nil {
		w.lend(dst) // No histogram is left in the end.
		defer w.takeBack(dst)
	}
	if err := m.operator.row(ctx, w, i, dst); err != nil {
		return err
	}
	err := inPieces(w.ended, len(dst.F), func(from, to int) {
		for step, f := range dst.F[from:to] {
			step += from
			if isAbsent(f) {
				continue
			}
			if v, ok := m.f(step, f, dst.hist(step)); ok {
				dst.F[step] = v
			} else {
				dst.F[step] = absent
			}
		}
	})
	clear(dst.H)
	dst.H = dst.H[:0]
	return err
}

// mapValues returns the operator of a function of each value, which loses its name.
func (q *query) mapValues(ctx context.Context, op operator, f mapper) (operator, error) {
	out, err := q.dropNames(ctx, op.series())
	if err != nil {
		return nil, err
	}
	return q.unique(ctx, &mapped{op, f, out}, op.series())
}

// buildCall makes the operator of a function that returns a vector.
func (q *query) buildCall(ctx context.Context, n *plan.Call, g plan.Grid) (operator, error) {
	switch n.Func {
	case "vector":
		return q.vectorOf(ctx, n.Args[0], g)
	case "absent":
		op, err := q.build(ctx, n.Args[0], g)
		if err != nil {
			return nil, err
		}
		return q.absent(ctx, op, g, n.Args[0], false)
	case "label_replace":
		return q.labelReplace(ctx, n, g)
	case "label_join":
		return q.labelJoin(ctx, n, g)
	case "sort", "sort_desc", "sort_by_label", "sort_by_label_desc":
		return q.sort(ctx, n, g)
	case "histogram_quantile", "histogram_quantiles", "histogram_fraction":
		return q.overBuckets(ctx, n, g)
	case "timestamp":
		return q.timestamp(ctx, n, g)
	case "start_timestamp":
		return q.startTimestamp(ctx, n, g)
	}
	if date, ok := dateFuncs[n.Func]; ok {
		return q.date(ctx, n, date, g)
	}
	build, ok := valueFuncs[n.Func]
	if !ok {
		return nil, errNoOperator(n.Func)
	}
	op, err := q.build(ctx, n.Args[0], g)
	if err != nil {
		return nil, err
	}
	var args [][]float64
	for _, arg := range n.Args[1:] {
		values, err := q.scalar(ctx, arg, g)
		if err != nil {
			return nil, err
		}
		args = append(args, values)
	}
	out, err := q.dropNames(ctx, op.series())
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(n.Func, "histogram_") && !q.DelayNameRemoval {
		// What is said of the histogram is still of that type and in that unit, to upstream.
		for i, s := range op.series() {
			out[i].labels = s.labels.DropMetricName()
		}
	}
	return q.unique(ctx, &mapped{op, build(args), out}, op.series())
}

// valueFuncs holds the functions of one value and, possibly, scalars, which come as their values at all steps.
//
//nolint:gochecknoglobals // constant table
var valueFuncs = map[string]func(args [][]float64) mapper{
	"abs":       simple(math.Abs),
	"acos":      simple(math.Acos),
	"acosh":     simple(math.Acosh),
	"asin":      simple(math.Asin),
	"asinh":     simple(math.Asinh),
	"atan":      simple(math.Atan),
	"atanh":     simple(math.Atanh),
	"ceil":      simple(math.Ceil),
	"clamp":     clamp,
	"clamp_max": clampMax,
	"clamp_min": clampMin,
	"cos":       simple(math.Cos),
	"cosh":      simple(math.Cosh),
	"deg":       simple(func(f float64) float64 { return f * 180 / math.Pi }),
	"exp":       simple(math.Exp),
	"floor":     simple(math.Floor),
	"ln":        simple(math.Log),
	"log10":     simple(math.Log10),
	"log2":      simple(math.Log2),
	"rad":       simple(func(f float64) float64 { return f * math.Pi / 180 }),
	"round":     round,
	"sgn":       simple(sign),
	"sin":       simple(math.Sin),
	"sinh":      simple(math.Sinh),
	"sqrt":      simple(math.Sqrt),
	"tan":       simple(math.Tan),
	"tanh":      simple(math.Tanh),

	"histogram_avg":    ofHistogram(func(h *histogram.FloatHistogram) float64 { return h.Sum / h.Count }),
	"histogram_count":  ofHistogram(func(h *histogram.FloatHistogram) float64 { return h.Count }),
	"histogram_stddev": ofHistogram(func(h *histogram.FloatHistogram) float64 { return math.Sqrt(h.Variance()) }),
	"histogram_stdvar": ofHistogram((*histogram.FloatHistogram).Variance),
	"histogram_sum":    ofHistogram(func(h *histogram.FloatHistogram) float64 { return h.Sum }),
}

// simple makes a mapper of a function of floats; histograms have no result.
func simple(f func(float64) float64) func([][]float64) mapper {
	return func([][]float64) mapper { return floatMapper(func(_ int, v float64) float64 { return f(v) }) }
}

func floatMapper(f func(step int, v float64) float64) mapper {
	return func(step int, v float64, h *histogram.FloatHistogram) (float64, bool) {
		if h != nil {
			return 0, false
		}
		return f(step, v), true
	}
}

// ofHistogram makes a mapper of a function of histograms; floats have no result.
func ofHistogram(f func(*histogram.FloatHistogram) float64) func([][]float64) mapper {
	return func([][]float64) mapper {
		return func(_ int, _ float64, h *histogram.FloatHistogram) (float64, bool) {
			if h == nil {
				return 0, false
			}
			return f(h), true
		}
	}
}

func sign(f float64) float64 {
	switch {
	case f < 0:
		return -1
	case f > 0:
		return 1
	default:
		return f
	}
}

func clamp(args [][]float64) mapper {
	return func(step int, v float64, h *histogram.FloatHistogram) (float64, bool) {
		lower, upper := args[0][step], args[1][step]
		if h != nil || upper < lower {
			return 0, false
		}
		return math.Max(lower, math.Min(upper, v)), true
	}
}

func clampMax(args [][]float64) mapper {
	return floatMapper(func(step int, v float64) float64 { return math.Min(args[0][step], v) })
}

func clampMin(args [][]float64) mapper {
	return floatMapper(func(step int, v float64) float64 { return math.Max(args[0][step], v) })
}

// round rounds to a multiple of its argument, ties up.
func round(args [][]float64) mapper {
	return floatMapper(func(step int, v float64) float64 {
		// The inverse is exact more often: 10 is a float, 0.1 is not.
		inverse := 1.0
		if len(args) > 0 {
			inverse = 1 / args[0][step]
		}
		return math.Floor(v*inverse+0.5) / inverse
	})
}

// dateFuncs holds the functions of a time in UTC.
//
//nolint:gochecknoglobals // constant table
var dateFuncs = map[string]func(time.Time) int{
	"day_of_month": time.Time.Day,
	"day_of_week":  func(t time.Time) int { return int(t.Weekday()) },
	"day_of_year":  time.Time.YearDay,
	"days_in_month": func(t time.Time) int {
		return 32 - time.Date(t.Year(), t.Month(), 32, 0, 0, 0, 0, time.UTC).Day()
	},
	"hour":   time.Time.Hour,
	"minute": time.Time.Minute,
	"month":  func(t time.Time) int { return int(t.Month()) },
	"year":   time.Time.Year,
}

// date makes the operator of a date function, which takes the evaluation time if it has no argument.
func (q *query) date(ctx context.Context, n *plan.Call, f func(time.Time) int, g plan.Grid) (operator, error) {
	if len(n.Args) == 0 {
		values := make([]float64, g.N)
		if err := inPieces(ctx.Err, g.N, func(from, to int) {
			for i := from; i < to; i++ {
				values[i] = float64(f(time.Unix(g.At(i)/1000, 0).UTC()))
			}
		}); err != nil {
			return nil, err
		}
		return &fixed{out: []series{{}}, rows: []row{{F: values}}}, q.hold(len(values))
	}
	op, err := q.build(ctx, n.Args[0], g)
	if err != nil {
		return nil, err
	}
	return q.mapValues(ctx, op, floatMapper(func(_ int, v float64) float64 {
		return float64(f(time.Unix(int64(v), 0).UTC()))
	}))
}

// timestamp is the time of the sample, if the argument is a selector, and the evaluation time for anything else.
func (q *query) timestamp(ctx context.Context, n *plan.Call, g plan.Grid) (operator, error) {
	op, err := q.build(ctx, n.Args[0], g)
	if err != nil {
		return nil, err
	}
	if plan.IsSelector(n.Args[0]) {
		return q.mapValues(ctx, op, func(_ int, v float64, _ *histogram.FloatHistogram) (float64, bool) { return v, true })
	}
	return q.mapValues(ctx, op, func(step int, _ float64, _ *histogram.FloatHistogram) (float64, bool) {
		return float64(g.At(step)) / 1000, true
	})
}

// startTimestamp is the start timestamp of the sample. Only samples themselves have any, not what is made of them.
func (q *query) startTimestamp(ctx context.Context, n *plan.Call, g plan.Grid) (operator, error) {
	op, err := q.build(ctx, n.Args[0], g)
	if err != nil {
		return nil, err
	}
	known := q.StartTimestamps && plan.IsSelector(n.Args[0])
	return q.mapValues(ctx, op, func(_ int, v float64, _ *histogram.FloatHistogram) (float64, bool) { return v, known })
}

// negated changes the sign of each value.
type negated struct {
	operator
	out []series
}

func (q *query) buildNegate(ctx context.Context, n *plan.Negate, g plan.Grid) (operator, error) {
	op, err := q.build(ctx, n.Expr, g)
	if err != nil {
		return nil, err
	}
	out, err := q.dropNames(ctx, op.series())
	if err != nil {
		return nil, err
	}
	return q.unique(ctx, &negated{op, out}, op.series())
}

func (o *negated) series() []series { return o.out }

func (o *negated) row(ctx context.Context, w *worker, i int, dst *row) error {
	if err := o.operator.row(ctx, w, i, dst); err != nil {
		return err
	}
	return inPieces(w.ended, len(dst.F), func(from, to int) {
		for step, f := range dst.F[from:to] {
			if h := dst.hist(from + step); h != nil {
				dst.H[from+step] = h.Scaled(-1)
			} else if !isAbsent(f) {
				dst.F[from+step] = -f
			}
		}
	})
}
