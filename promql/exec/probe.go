package exec

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/narthex-io/narthex/promql/plan"
)

// Probes measure what each node of a plan costs. Make them with [NewProbes], and put them into [Env] before
// [Prepare].
type Probes struct {
	byNode map[plan.Node]*probe
	// result is what it costs to make points of the last rows, scratch the memory that goroutines worked with.
	result  probe
	scratch atomic.Int64
}

// Measurement is what a node cost. All of it is of the node itself, without the nodes below.
type Measurement struct {
	// Time is summed over goroutines.
	Time time.Duration
	// Series is how many there are, Rows how often one was calculated, which may be several times for each; Samples how
	// many values came out.
	Series, Rows, Samples int64
	// Read is the samples that came from storage.
	Read int64
	// Bytes is what was kept in memory: labels of series, groups, rows.
	Bytes int64
}

// probe collects a measurement, on several goroutines.
type probe struct {
	time, series, rows, samples, read, bytes atomic.Int64
}

// NewProbes returns probes for all nodes of a plan.
func NewProbes(root plan.Node) *Probes {
	p := &Probes{byNode: map[plan.Node]*probe{}}
	plan.Walk(root, func(n plan.Node) { p.byNode[n] = &probe{} })
	return p
}

// Of returns what a node cost. It reports false for nodes without an operator of their own, such as numbers and
// subqueries: what they cost is part of the node above.
func (ps *Probes) Of(n plan.Node) (Measurement, bool) {
	p, found := ps.byNode[n]
	if !found {
		return Measurement{}, false
	}
	m := p.measurement()
	return m, m != Measurement{}
}

// Result returns what it cost to make the result of the last operator's rows.
func (ps *Probes) Result() Measurement { return ps.result.measurement() }

// Scratch returns the memory that goroutines worked with, which is lent to one operator after the other.
func (ps *Probes) Scratch() int64 { return ps.scratch.Load() }

func (p *probe) measurement() Measurement {
	return Measurement{
		Time: time.Duration(p.time.Load()), Series: p.series.Load(), Rows: p.rows.Load(), Samples: p.samples.Load(),
		Read: p.read.Load(), Bytes: p.bytes.Load(),
	}
}

// probing attributes costs to nodes. Only the goroutine that makes the operators uses it.
type probing struct {
	// at belongs to the node whose operator is being made; nil if nothing is measured.
	at *probe
	// inner is the time that other nodes took meanwhile, or goroutines that are measured themselves.
	inner time.Duration
}

// enter attributes costs to n until the function that it returns is called. Nodes that are not in the plan, such as the
// selectors of info, count as part of the node above.
func (q *query) enter(n plan.Node) func() {
	p, found := q.Probes.byNode[n]
	if !found {
		return func() {}
	}
	return q.enterProbe(p)
}

func (q *query) enterProbe(p *probe) func() {
	outer := q.probing
	q.probing = probing{at: p}
	begin := time.Now()
	return func() {
		took := time.Since(begin)
		p.time.Add(int64(took - q.inner))
		outer.inner += took
		q.probing = outer
	}
}

// measured makes an operator with make and puts a probe around it.
func (q *query) measured(n plan.Node, make func() (operator, error)) (operator, error) {
	leave := q.enter(n)
	op, err := make()
	p := q.at
	leave()
	if err != nil || p == nil {
		return op, err
	}
	p.series.Store(int64(len(op.series())))
	return &probed{op, p}, nil
}

// measuredEach is each, with the time of fold counted for the node whose operator is being made.
func (q *query) measuredEach(ctx context.Context, op operator, g plan.Grid, lent bool, fold func(int, *row) error) error {
	p, begin := q.at, time.Now()
	err := q.eachRow(ctx, op, g, lent, func(i int, r *row) error {
		start := time.Now()
		defer func() { p.time.Add(int64(time.Since(start))) }()
		return fold(i, r)
	})
	q.inner += time.Since(begin)
	return err
}

// probed is an operator whose rows are measured.
type probed struct {
	operator
	p *probe
}

func (o *probed) row(ctx context.Context, w *worker, i int, dst *row) error {
	outer := w.inner
	w.inner = 0
	begin := time.Now()
	err := o.operator.row(ctx, w, i, dst)
	took := time.Since(begin)
	o.p.time.Add(int64(took - w.inner))
	w.inner = outer + took
	o.p.rows.Add(1)
	o.p.samples.Add(int64(dst.count()))
	return err
}

// bare returns an operator without its probe.
func bare(op operator) operator {
	if o, ok := op.(*probed); ok {
		return o.operator
	}
	return op
}
