package exec

import (
	"context"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/plan"
	"github.com/narthex-io/narthex/storage"
)

// windows are the parts of a series' samples that lie in the window of each step: samples [lo[i], hi[i]). Both only
// grow with the steps.
type windows struct{ lo, hi []int32 }

// find moves a window over times. It reaches from before, which is excluded, to after the time that a step looks at. Now and
// then it checks whether the query has ended.
func (ws *windows) find(ended func() error, times []int64, shift plan.Shift, before, after int64, g plan.Grid) error {
	if cap(ws.lo) < g.N {
		ws.lo, ws.hi = make([]int32, g.N), make([]int32, g.N)
	}
	ws.lo, ws.hi = ws.lo[:g.N], ws.hi[:g.N]
	lo, hi := 0, 0
	los, his := ws.lo, ws.hi[:len(ws.lo)]
	for i := range los {
		if i%pieceSteps == pieceSteps-1 {
			if err := ended(); err != nil {
				return err
			}
		}
		t := shift.Reference(g.At(i))
		begin, end := t-before, t+after
		for lo < len(times) && times[lo] <= begin {
			lo++
		}
		hi = max(hi, lo)
		for hi < len(times) && times[hi] <= end {
			hi++
		}
		los[i], his[i] = int32(lo), int32(hi)
	}
	return nil
}

// windowed is the samples of one series with their windows, for a kernel to work on.
type windowed struct {
	*windows
	T []int64
	F []float64
	H []*histogram.FloatHistogram
	// ST is empty unless the function looks at start timestamps and there are any.
	ST []int64
	// shift and length say where the window of a step lies, in milliseconds.
	shift  plan.Shift
	length int64
	g      plan.Grid
	// anchored and smoothed say that the windows of samples are larger than that, and that their borders count.
	anchored, smoothed bool
	// args are the scalar arguments at each step.
	args [][]float64
	w    *worker
	// Annotations point to the place of the windows or of the function's first argument.
	at, first spot
	// of is the series that the samples are of, under the name that it was stored with.
	of    *series
	notes *Annotations
	// work is how many samples were looked at since the last check whether the query has ended.
	work int
}

const (
	// workSamples is how many samples kernels look at before they check whether the query has ended: some milliseconds of
	// work. A histogram counts as workHistogram samples.
	workSamples   = 1 << 19
	workHistogram = 128
)

// worked is called by kernels that look at each window by itself, with how many samples were in one.
func (in *windowed) worked(samples int32) error {
	if in.work += int(samples); in.work < workSamples {
		return nil
	}
	in.work = 0
	return in.w.ended()
}

// metric returns the name for annotations.
func (in *windowed) metric() string { return metricName(in.of) }

// kernel calculates a function for all windows of a series into a row of absent values. It leaves the steps alone that
// have no result.
type kernel func(in *windowed, dst *row) error

// windowFunc is a row in the table of functions over windows.
type windowFunc struct {
	kernel kernel
	// native says that the kernel looks at histograms itself; else it only sees floats.
	native bool
	// valid, if not nil, checks the arguments at each step that has samples, floats or histograms.
	valid func(args [][]float64, step int) error
}

// window is a function over windows, as operator.
type window struct {
	q    *query
	n    *plan.Window
	g    plan.Grid
	fn   windowFunc
	out  []series
	args [][]float64
	// tally and counted are for the statistics.
	tally   *tally
	counted counted
	// counters says that the names of all series are those of counters.
	counters bool
	// src is set for a selector, inner for a subquery.
	src    *source
	inner  operator
	innerG plan.Grid
	shift  plan.Shift
	length int64
	// before and after are how far the samples reach, which may be further than the length.
	before, after int64
}

func (q *query) buildWindow(ctx context.Context, n *plan.Window, g plan.Grid) (operator, error) {
	fn, ok := windowTable[n.Func]
	if !ok && n.Func != "absent_over_time" {
		return nil, errNoOperator(n.Func)
	}
	o := &window{q: q, n: n, g: g, fn: fn, tally: q.tally}
	for _, arg := range n.Args {
		values, err := q.scalar(ctx, arg, g)
		if err != nil {
			return nil, err
		}
		o.args = append(o.args, values)
	}
	var err error
	switch over := n.Over.(type) {
	case *plan.Selector:
		if err := checkExtended(over, n.Func); err != nil && g.N > 0 {
			return nil, err
		}
		o.shift, o.length = over.Shift, over.Range
		o.before, o.after = over.Reach(q.Lookback)
		if o.src, err = q.selectSeries(ctx, over, g); err != nil {
			return nil, err
		}
		o.out = o.src.out
	case *plan.Subquery:
		o.shift, o.length, o.innerG = over.Shift, over.Range, over.Inner(g)
		o.before = over.Range
		restore := q.under(q.tally.below(over, g, o.innerG, true))
		o.inner, err = q.build(ctx, over.Expr, o.innerG)
		restore()
		if err != nil {
			return nil, err
		}
		o.out = o.inner.series()
	}
	o.counted = make(counted, len(o.out))
	one := haveOneName(o.out)
	o.counters = one && len(o.out) > 0 && !q.TypeAndUnitLabels && looksLikeCounter(metricName(&o.out[0]))
	if n.Func == "absent_over_time" {
		o.fn = windowTable["present_over_time"]
		return q.absent(ctx, o, g, n.Over, q.DelayNameRemoval)
	}
	if n.KeepsName() || n.NamesUnread && !q.DelayNameRemoval && one {
		return o, nil
	}
	before := o.out
	if o.out, err = q.dropNames(ctx, before); err != nil {
		return nil, err
	}
	op, err := q.unique(ctx, o, before)
	if m, ok := op.(*merged); ok {
		m.single = true // As upstream has it for functions of ranges alone.
	}
	return op, err
}

func (o *window) series() []series { return o.out }

func (o *window) row(ctx context.Context, w *worker, i int, dst *row) error {
	if err := o.samples(ctx, w, i); err != nil {
		return err
	}
	if err := w.reset(dst, o.g.N); err != nil {
		return err
	}
	in := o.input(w, &w.cols)
	in.of = &o.sourceSeries()[i]
	if cap(w.windows.lo) < o.g.N {
		w.count(8 * int64(o.g.N))
	}
	if err := in.find(w.ended, in.T, o.shift, o.before, o.after, o.g); err != nil {
		return err
	}
	if err := o.count(i, in); err != nil {
		return err
	}
	if len(in.T) == 0 {
		return nil
	}
	if err := o.apply(in, dst); err != nil {
		return err
	}
	o.noteNonCounter(i, dst)
	return nil
}

// sourceSeries are the series before the function, names included.
func (o *window) sourceSeries() []series {
	if o.src != nil {
		return o.src.out
	}
	return o.inner.series()
}

// samples puts what the windows range over into the worker's columns.
func (o *window) samples(ctx context.Context, w *worker, i int) error {
	if o.src != nil {
		return o.src.read(ctx, w, i, false)
	}
	r := w.borrow(o.innerG.N)
	defer w.giveBack(r)
	if err := o.inner.row(ctx, w, i, r); err != nil {
		return err
	}
	w.resetColumns()
	w.loaded = loaded{}
	if len(r.F) > pieceSteps {
		// Growing step by step would copy all of it over and over.
		w.cols.T = roomFor(w.cols.T, len(r.F))
		if err := w.ended(); err != nil {
			return err
		}
		w.cols.F = roomFor(w.cols.F, len(r.F))
	}
	for step, f := range r.F {
		if step%pieceSteps == pieceSteps-1 {
			if err := w.ended(); err != nil {
				return err
			}
		}
		if !isAbsent(f) {
			// The hint of a histogram is about the sample stored before it, which need not be the one before it here.
			w.cols.Append(o.innerG.At(step), f, histogram.ForgetReset(r.hist(step)))
		}
	}
	if err := w.account(); err != nil {
		return err
	}
	return w.ended() // Subqueries can be nested, and each of them takes its time.
}

func (o *window) input(w *worker, c *storage.Columns) *windowed {
	w.in = windowed{
		windows: &w.windows, T: c.T, F: c.F, H: c.H, shift: o.shift, length: o.length, g: o.g, args: o.args, w: w,
		at: spotOf(o.n, o.n.OverPos), first: spotOf(o.n, o.n.ArgPos[0]), notes: &o.q.notes,
	}
	if o.src != nil {
		w.in.anchored, w.in.smoothed = o.src.n.Anchored, o.src.n.Smoothed
	}
	if o.q.StartTimestamps && usesStarts(o.n.Func) {
		w.in.ST = c.ST
	}
	return &w.in
}

// count counts the samples of all windows for the statistics. Fast path: floats need no more than sums, unless steps are
// counted by themselves.
func (o *window) count(i int, in *windowed) error {
	t := o.q.tallyRow(o.tally, o.counted, i)
	if t == nil {
		return nil
	}
	if len(in.H) == 0 && t.sumsSuffice() && len(in.lo) <= pieceSteps {
		looked, fresh := in.floatsSeen()
		if o.inner != nil {
			fresh = 0
		}
		t.addFloats(looked, fresh)
		return nil
	}
	upTo := in.sizes()
	seen := int32(0)
	for step := range in.lo {
		if step%pieceSteps == pieceSteps-1 {
			if err := in.w.ended(); err != nil {
				return err
			}
		}
		lo, hi := in.lo[step], in.hi[step]
		fresh := upTo(hi) - upTo(max(lo, seen))
		if o.inner != nil {
			fresh = 0 // What the subquery reads is counted there.
		}
		t.add(step, upTo(hi)-upTo(lo), fresh)
		seen = max(seen, hi)
	}
	t.done()
	return nil
}

// floatsSeen returns how many samples the windows hold, and in how many samples they lie.
func (ws *windows) floatsSeen() (looked, fresh int64) {
	seen, his := int32(0), ws.hi[:len(ws.lo)]
	for i, lo := range ws.lo {
		hi := his[i]
		looked += int64(hi - lo)
		fresh += int64(hi - max(lo, seen))
		seen = hi
	}
	return looked, fresh
}

// sizes returns what the first n samples count.
func (in *windowed) sizes() func(n int32) int64 {
	if len(in.H) == 0 {
		return func(n int32) int64 { return int64(n) }
	}
	sums := append(in.w.sizes[:0], 0)
	for i, h := range in.H {
		sums = append(sums, sums[i]+sampleSize(h))
	}
	in.w.sizes = sums
	return func(n int32) int64 { return sums[n] }
}

// apply runs the kernel, with what it can take.
func (o *window) apply(in *windowed, dst *row) error {
	if err := o.checkArgs(in); err != nil {
		return err
	}
	switch {
	case len(in.H) == 0 && in.g.N > pieceSteps:
		return o.applyInPieces(in, dst)
	case len(in.H) == 0 || o.fn.native:
		return o.fn.kernel(in, dst)
	}
	all := windows{lo: append([]int32(nil), in.lo...), hi: append([]int32(nil), in.hi...)}
	floats, kept := *in, 0
	floats.T, floats.F, floats.H = nil, nil, nil
	for i, h := range in.H {
		if h == nil {
			floats.T, floats.F = append(floats.T, in.T[i]), append(floats.F, in.F[i])
			kept++
		}
	}
	if err := floats.find(in.w.ended, floats.T, o.shift, o.before, o.after, o.g); err != nil {
		return err
	}
	for i := range floats.lo {
		n, nAll := floats.hi[i]-floats.lo[i], all.hi[i]-all.lo[i]
		if n > 0 && nAll > n {
			in.notes.infof(in.first, "ignored histograms in a range containing both floats and histograms for metric name %q", in.metric())
		}
	}
	if kept == 0 {
		return nil
	}
	return o.fn.kernel(&floats, dst)
}

// checkArgs checks the arguments where there are samples, including histograms that the kernel does not see.
func (o *window) checkArgs(in *windowed) error {
	if o.fn.valid == nil {
		return nil
	}
	for step := range in.lo {
		if in.lo[step] == in.hi[step] {
			continue
		}
		if err := o.fn.valid(in.args, step); err != nil {
			return err
		}
	}
	return nil
}

// applyInPieces runs the kernel on one part of the steps after the other, each with the samples in its windows, and checks
// in between whether the query has ended.
func (o *window) applyInPieces(in *windowed, dst *row) error {
	args := make([][]float64, len(in.args))
	for from := 0; from < in.g.N; from += pieceSteps {
		if err := in.w.ended(); err != nil {
			return err
		}
		to := min(from+pieceSteps, in.g.N)
		part := *in
		part.windows = &windows{lo: in.lo[from:to], hi: in.hi[from:to]}
		part.cut()
		part.g = plan.Grid{Start: in.g.At(from), Step: in.g.Step, N: to - from, Until: in.g.Until}
		for i, values := range in.args {
			args[i] = values[from:to]
		}
		part.args = args
		if err := o.fn.kernel(&part, &row{F: dst.F[from:to]}); err != nil {
			return err
		}
	}
	return nil
}

// cut leaves the samples that are in the windows.
func (in *windowed) cut() {
	first, end := in.lo[0], in.hi[len(in.hi)-1]
	in.T, in.F = in.T[first:end], in.F[first:end]
	if len(in.ST) > 0 {
		in.ST = in.ST[first:end]
	}
	for i := range in.lo {
		in.lo[i] -= first
		in.hi[i] -= first
	}
}

// noteNonCounter tells when a rate is taken of what does not look like a counter.
func (o *window) noteNonCounter(i int, dst *row) {
	if o.counters || o.n.Func != "rate" && o.n.Func != "increase" {
		return
	}
	s := o.sourceSeries()[i].labels
	name := s.Get(labels.MetricName)
	if name == "" || !hasFloat(dst) {
		return
	}
	if o.q.TypeAndUnitLabels {
		if typ := s.Get(labels.TypeLabel); typ != "counter" && typ != "histogram" {
			o.q.notes.infof(spotOf(o.n, o.n.OverPos), "metric might not be a counter, __type__ label is not set to %q or %q, got %q: %q", "counter", "histogram", typ, name)
		}
		return
	}
	if !looksLikeCounter(name) {
		o.q.notes.infof(spotOf(o.n, o.n.OverPos), "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: %q", name)
	}
}

func hasFloat(r *row) bool {
	for i, f := range r.F {
		if !isAbsent(f) && r.hist(i) == nil {
			return true
		}
	}
	return false
}
