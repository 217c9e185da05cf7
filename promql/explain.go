package promql

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/narthex-io/narthex/promql/exec"
	"github.com/narthex-io/narthex/promql/plan"
	"github.com/narthex-io/narthex/storage"
)

// Explanation tells how a query is evaluated. Encoded as JSON, it has the form of the HTTP API.
type Explanation struct {
	Query string `json:"query"`
	// Start, End and Step are in milliseconds. Step is zero for an instant query.
	Start int64 `json:"startMillis"`
	End   int64 `json:"endMillis"`
	Step  int64 `json:"stepMillis"`
	// Plan is the query as it was written, Optimized as it is evaluated.
	Plan      *ExplainedNode `json:"plan"`
	Optimized *ExplainedNode `json:"optimized"`
	// Analysis is what the query cost; nil if it was not evaluated.
	Analysis *Analysis `json:"analysis,omitempty"`
	// Warnings and Infos are those of the evaluation.
	Warnings []string `json:"-"`
	Infos    []string `json:"-"`
}

// ExplainedNode is a node of a plan. Its children are in the order of the text, except that a parameter comes before what
// is aggregated.
type ExplainedNode struct {
	plan.Description
	// Cost is what the node alone cost, without its children. It is nil for nodes without an operator of their own,
	// which cost nothing or are evaluated by the node above.
	Cost     *Cost            `json:"cost,omitempty"`
	Children []*ExplainedNode `json:"children,omitempty"`
}

// Cost is what a part of a query cost.
type Cost struct {
	// Seconds are summed over goroutines.
	Seconds float64 `json:"seconds"`
	// Series is the number of series, Rows how many times one was calculated over all steps, which can be more than once
	// for each, and Samples how many values that gave.
	Series  int64 `json:"series"`
	Rows    int64 `json:"rows"`
	Samples int64 `json:"samples"`
	// SamplesRead is the number of samples that came from storage.
	SamplesRead int64 `json:"samplesRead"`
	// Bytes is the memory that was kept for other parts: labels of series, groups, rows.
	Bytes int64 `json:"bytes"`
}

// Analysis is what a query cost as a whole.
type Analysis struct {
	Stats Stats `json:"stats"`
	// Result is what it cost to turn the values of the last operator into points.
	Result Cost `json:"result"`
	// ScratchBytes is the working memory of goroutines. It is lent to one operator after the other, and belongs to none.
	ScratchBytes int64 `json:"scratchBytes"`
	// Parallelism is the number of goroutines that could work at the same time.
	Parallelism int `json:"parallelism"`
	// NotAttributed says what the costs of the nodes leave out.
	NotAttributed string `json:"notAttributed"`
}

const notAttributed = "the time in which goroutines wait for each other or for a processor counts where they were waiting; " +
	"parsing, planning and the wait in the queue are in the timings alone; scratch memory belongs to no operator"

// explainer collects what an explanation of a request shows.
type explainer struct {
	analyze bool
	before  *plan.Description
	after   *plan.Description
	probes  *exec.Probes
}

// Explain tells how a query would be evaluated at start, start+step, … up to end, or, if step is zero, at start alone.
// With analyze, the query is evaluated, under the same limits as any other, and each operator is measured, which slows it
// down.
func (e *Engine) Explain(ctx context.Context, q storage.Queryable, query string, opts QueryOptions, start, end time.Time, step time.Duration, analyze bool) (*Explanation, error) {
	x := &explainer{analyze: analyze}
	r := &request{storage: q, query: query, opts: opts, start: start.UnixMilli(), end: end.UnixMilli(), step: step.Milliseconds(), explain: x}
	if step == 0 {
		r.end = r.start
	} else if err := r.checkRange(); err != nil {
		return nil, err
	}
	res, err := e.run(ctx, r)
	if err != nil {
		return nil, err
	}
	out := &Explanation{
		Query: query, Start: r.start, End: r.end, Step: r.step, Plan: explained(x.before, nil), Optimized: explained(x.after, x.probes),
	}
	if !analyze {
		return out, nil
	}
	out.Warnings, out.Infos = res.Warnings, res.Infos
	out.Analysis = &Analysis{
		Stats: res.Stats, Result: *costOf(x.probes.Result()), ScratchBytes: x.probes.Scratch(), Parallelism: e.parallelism(),
		NotAttributed: notAttributed,
	}
	res.Release()
	return out, nil
}

// planned notes the plan.
func (x *explainer) planned(optimized plan.Node) {
	x.after = plan.Describe(optimized)
	if x.analyze {
		x.probes = exec.NewProbes(optimized)
	}
}

func explained(d *plan.Description, probes *exec.Probes) *ExplainedNode {
	n := &ExplainedNode{Description: *d}
	n.Description.Children = nil
	if probes != nil && d.Node != nil {
		if m, found := probes.Of(d.Node); found {
			n.Cost = costOf(m)
		}
	}
	for _, c := range d.Children {
		n.Children = append(n.Children, explained(c, probes))
	}
	return n
}

func costOf(m exec.Measurement) *Cost {
	return &Cost{m.Time.Seconds(), m.Series, m.Rows, m.Samples, m.Read, m.Bytes}
}

// WriteText writes the explanation for people to read.
func (x *Explanation) WriteText(w io.Writer) error {
	t := &textWriter{w: w}
	t.printf("query  %s\n", x.Query)
	at := func(millis int64) string { return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.999Z") }
	if x.Step == 0 {
		t.printf("at     %s\n", at(x.Start))
	} else {
		t.printf("from   %s to %s, every %s: %d steps\n", at(x.Start), at(x.End), time.Duration(x.Step)*time.Millisecond, (x.End-x.Start)/x.Step+1)
	}
	t.printf("\nplan\n")
	t.tree(x.Plan, false)
	t.printf("\noptimized plan\n")
	t.tree(x.Optimized, x.Analysis != nil)
	if a := x.Analysis; a != nil {
		t.analysis(a)
	}
	return t.err
}

// textWriter remembers the first error.
type textWriter struct {
	w   io.Writer
	err error
}

func (t *textWriter) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

// tree writes a plan, with a column for each cost.
func (t *textWriter) tree(root *ExplainedNode, costs bool) {
	tw := tabwriter.NewWriter(t.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if costs {
		fmt.Fprintln(tw, "time\tseries\trows\tsamples\tread\tkept\t")
	}
	walk(root, "", "", func(prefix string, n *ExplainedNode) {
		switch {
		case costs && n.Cost != nil:
			c := n.Cost
			fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%s\t", seconds(c.Seconds), c.Series, c.Rows, c.Samples, c.SamplesRead, bytesText(c.Bytes))
		case costs:
			fmt.Fprint(tw, "-\t-\t-\t-\t-\t-\t")
		}
		fmt.Fprintf(tw, "  %s%s\n", prefix, strings.TrimSpace(n.Operator+" "+n.Detail))
	})
	if err := tw.Flush(); t.err == nil {
		t.err = err
	}
}

// walk calls f for all nodes, with the branches of the tree to draw before each.
func walk(n *ExplainedNode, first, rest string, f func(prefix string, n *ExplainedNode)) {
	f(first, n)
	for i, c := range n.Children {
		branch, below := "├─ ", "│  "
		if i == len(n.Children)-1 {
			branch, below = "└─ ", "   "
		}
		walk(c, rest+branch, rest+below, f)
	}
}

func (t *textWriter) analysis(a *Analysis) {
	timings, samples := a.Stats.Timings, a.Stats.Samples
	rounded := func(d time.Duration) string { return seconds(d.Seconds()) }
	t.printf("\nresult    %s for the points, %s kept\n", seconds(a.Result.Seconds), bytesText(a.Result.Bytes))
	t.printf("total     %s: queue %s, preparation %s, evaluation %s, result %s; parallelism %d\n",
		rounded(timings.ExecTotal), rounded(timings.ExecQueue), rounded(timings.QueryPreparation), rounded(timings.InnerEval),
		rounded(timings.ResultSort), a.Parallelism)
	t.printf("samples   %d looked at, %d read, %d in memory at a time\n", samples.TotalQueryable, samples.Read, samples.Peak)
	t.printf("scratch   %s\n", bytesText(a.ScratchBytes))
	t.printf("not attributed to an operator: %s.\n", a.NotAttributed)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond).String()
}

// bytesText formats a number of bytes with three digits or so.
func bytesText(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}
