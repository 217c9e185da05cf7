package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Plan says what is compared.
type Plan struct {
	// Engines are the command lines of the processes, by name; the first is compared with all others.
	Engines []Process
	// Series are the sizes, Steps the numbers of steps of a query: 1 for an instant query.
	Series, Steps []int
	// MinTime is how long each query is repeated.
	MinTime time.Duration
	// Only leaves out the queries that do not contain it, Skip those that it matches, if it is not nil.
	Only string
	Skip *regexp.Regexp
}

// Process is how an engine is started for a number of series.
type Process struct {
	Name    string
	Command func(series int) []string
}

// Row is the answers of all engines to one case.
type Row struct {
	Case          Case
	Series, Steps int
	// Of has a measurement for each engine.
	Of []Measurement
}

// Compare measures everything in the plan, tells of each row as it comes, and returns them all.
func Compare(ctx context.Context, p Plan, report io.Writer) ([]Row, error) {
	var rows []Row
	for _, series := range p.Series {
		more, err := p.compare(ctx, series, report)
		if err != nil {
			return rows, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (p *Plan) compare(ctx context.Context, series int, report io.Writer) (rows []Row, err error) {
	var engines []*client
	defer func() {
		for _, c := range engines {
			err = errors.Join(err, c.close())
		}
	}()
	for _, e := range p.Engines {
		c, err := start(ctx, e.Command(series))
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", e.Name, err)
		}
		engines = append(engines, c)
	}
	size := SizeFor(series)
	for _, steps := range p.Steps {
		for _, k := range Cases() {
			if !strings.Contains(k.Query, p.Only) || p.Skip != nil && p.Skip.MatchString(k.Query) {
				continue
			}
			row := Row{Case: k, Series: series, Steps: steps}
			for i, c := range engines {
				m, err := c.ask(p.task(k, size, steps))
				if err != nil {
					return rows, fmt.Errorf("%s: %s: %w", p.Engines[i].Name, k.Query, err)
				}
				row.Of = append(row.Of, m)
			}
			rows = append(rows, row)
			p.print(report, &row)
		}
	}
	return rows, nil
}

// task spreads the steps over all of the data but the first hour, which windows need.
func (p *Plan) task(k Case, size Size, steps int) *task {
	t := &task{Query: k.Query, Start: size.End(), End: size.End(), MinTime: int64(p.MinTime), MaxTimes: 1000}
	if steps > 1 {
		t.Step = max((size.End()-Start-time.Hour.Milliseconds())/int64(steps-1), 1)
		t.Start = t.End - t.Step*int64(steps-1)
	}
	return t
}

func (p *Plan) print(w io.Writer, r *Row) {
	fmt.Fprintf(w, "%7d × %-4d %-84s", r.Series, r.Steps, r.Case.Query)
	for i, m := range r.Of {
		fmt.Fprintf(w, "  %s ", p.Engines[i].Name)
		switch {
		case m.Err != "":
			fmt.Fprintf(w, "%-34.34s", m.Err)
		default:
			fmt.Fprintf(w, "%9s %7s %7d", m.CPU.Round(time.Microsecond), megabytes(m.Peak), m.Allocs)
		}
		if i > 0 && !r.agree(i) {
			fmt.Fprintf(w, " (%d points, sum %g; want %d, %g)", m.Points, m.Sum, r.Of[0].Points, r.Of[0].Sum)
		}
	}
	fmt.Fprintln(w)
}

func megabytes(n uint64) string { return fmt.Sprintf("%.1fMB", float64(n)/(1<<20)) }

// agree reports whether an engine's answer is that of the first, as far as number and sum of the points tell.
func (r *Row) agree(i int) bool {
	a, b := r.Of[0], r.Of[i]
	if a.Err != "" || b.Err != "" {
		return true
	}
	close := a.Sum == b.Sum || math.Abs(a.Sum-b.Sum) <= 1e-6*math.Max(math.Abs(a.Sum), math.Abs(b.Sum))
	return a.Points == b.Points && close
}

// Summarize prints the ratios of the first engine to each other one: geometric means, and how many cases are ahead.
func Summarize(p Plan, rows []Row, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "beside\tseries\tsteps\tcases\ttime\tCPU\tallocations\tbytes\tpeak memory\tpeak of aggregations\tCPU: ahead\tworst\t")
	for other := 1; other < len(p.Engines); other++ {
		for _, series := range append(slices.Clone(p.Series), 0) {
			for _, steps := range append(slices.Clone(p.Steps), 0) {
				if (series == 0) != (steps == 0) {
					continue
				}
				summary(w, p.Engines[other].Name, other, series, steps, rows)
			}
		}
	}
	return w.Flush()
}

func summary(w io.Writer, name string, other, series, steps int, rows []Row) {
	var wall, cpu, allocs, bytes, peak, aggregated ratios
	ahead, worst, worstAt := 0, 0.0, ""
	for _, r := range rows {
		a, b := r.Of[0], r.Of[other]
		if series != 0 && (r.Series != series || r.Steps != steps) || a.Err != "" || b.Err != "" {
			continue
		}
		wall.add(float64(a.Wall), float64(b.Wall))
		allocs.add(float64(a.Allocs), float64(b.Allocs))
		bytes.add(float64(a.Bytes), float64(b.Bytes))
		peak.add(float64(a.Peak), float64(b.Peak))
		if r.Case.Aggregates {
			aggregated.add(float64(a.Peak), float64(b.Peak))
		}
		ratio := cpu.add(float64(a.CPU), float64(b.CPU))
		if ratio < 1 {
			ahead++
		}
		if ratio > worst {
			worst, worstAt = ratio, r.Case.Query
		}
	}
	if cpu.n == 0 {
		return
	}
	of := func(n int) string {
		if n == 0 {
			return "all"
		}
		return fmt.Sprint(n)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%d/%d\t%.2f %s\t\n", name, of(series), of(steps), cpu.n,
		wall.mean(), cpu.mean(), allocs.mean(), bytes.mean(), peak.mean(), aggregated.mean(), ahead, cpu.n, worst, worstAt)
}

// ratios collect a geometric mean.
type ratios struct {
	logs float64
	n    int
}

func (r *ratios) add(a, b float64) float64 {
	ratio := max(a, 1) / max(b, 1)
	r.logs += math.Log(ratio)
	r.n++
	return ratio
}

func (r *ratios) mean() float64 { return math.Exp(r.logs / float64(max(r.n, 1))) }

// client is a process that serves an engine.
type client struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func start(ctx context.Context, command []string) (*client, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &client{cmd, in, json.NewDecoder(out)}, cmd.Start()
}

func (c *client) ask(t *task) (m Measurement, err error) {
	if err := json.NewEncoder(c.in).Encode(t); err != nil {
		return m, err
	}
	return m, c.out.Decode(&m)
}

func (c *client) close() error {
	_ = c.in.Close() // The process ends when there are no more tasks.
	return c.cmd.Wait()
}
