package ruletest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
)

// Options say how tests are run. Parser and Open are required.
type Options struct {
	Parser *parser.Parser
	// Query configures the engine.
	Query promql.Options
	// Open returns an empty storage, to be closed when a test is over.
	Open func() (Storage, error)
	// Run, if not nil, selects tests by their names.
	Run *regexp.Regexp
	// Diff shows of a failure only what differs.
	Diff                bool
	IgnoreUnknownFields bool
	// Debug, if not nil, gets a line at the start and the end of each test, and in between all samples of the test.
	Debug io.Writer
}

// Storage is where a test keeps its samples.
type Storage interface {
	rules.Storage
	Close() error
}

// Result is what came of a test file.
type Result struct {
	File     string
	Warnings []string
	// Err says why the tests of the file could not be run.
	Err   error
	Cases []Case
}

// OK reports whether all went well.
func (r *Result) OK() bool {
	return r.Err == nil && !slices.ContainsFunc(r.Cases, func(c Case) bool { return len(c.Failures) > 0 })
}

// Case is what came of one test. Without failures it has passed.
type Case struct {
	Name     string
	Took     time.Duration
	Failures []error
}

// Run runs the tests of a file.
func Run(ctx context.Context, path string, opts Options) Result {
	res := Result{File: path}
	var f *file
	var files []*rules.File
	f, files, res.Warnings, res.Err = load(path, &opts)
	if res.Err != nil {
		return res
	}
	for i := range f.Tests {
		t := &f.Tests[i]
		if opts.Run != nil && !opts.Run.MatchString(t.Name) {
			continue
		}
		begin := time.Now()
		opts.debugf("Starting test %s", t.Name)
		failures := runTest(ctx, f, t, files, &opts)
		res.Cases = append(res.Cases, Case{Name: t.Name, Failures: failures, Took: time.Since(begin)})
		opts.debugf("Test %s finished, took %v", t.Name, time.Since(begin))
	}
	return res
}

// run is one test under way.
type run struct {
	*test
	opts   *Options
	engine *promql.Engine
	store  Storage
	groups []*rules.Group
	// pending are the samples that are not stored yet, in the order of time.
	pending []storage.Entry
	start   time.Time
	// floats compares values.
	floats   func(a, b float64) bool
	failures []error
}

func runTest(ctx context.Context, f *file, t *test, files []*rules.File, opts *Options) (failures []error) {
	store, err := opts.Open()
	if err != nil {
		return []error{fmt.Errorf("open storage: %w", err)}
	}
	defer func() {
		if err := store.Close(); err != nil {
			failures = append(failures, fmt.Errorf("close storage: %w", err))
		}
	}()
	r := &run{test: t, opts: opts, store: store, start: time.Unix(0, 0).UTC(), floats: exactly}
	if !t.StartTimestamp.IsZero() {
		r.start = t.StartTimestamp.Time
	}
	if f.FuzzyCompare {
		r.floats = nearly
	}
	if err := r.prepare(f, files); err != nil {
		return []error{err}
	}
	interval := time.Duration(f.EvaluationInterval)
	for at := time.Duration(0); ; at += interval {
		if !r.evaluate(ctx, r.start.Add(at)) {
			return r.failures
		}
		for _, due := range r.dueAlertTests(at, interval) {
			r.checkAlerts(due)
		}
		if r.end()-at < interval { // The sum might not be a duration any more.
			break
		}
	}
	for i := range r.PromQLTests {
		r.checkExpr(ctx, &r.PromQLTests[i])
	}
	r.dump(ctx)
	return r.failures
}

// prepare makes engine, groups and samples.
func (r *run) prepare(f *file, files []*rules.File) (err error) {
	for _, a := range r.AlertRuleTests {
		if a.Alertname == "" {
			return fmt.Errorf("an item under alert_rule_test misses required attribute alertname at eval_time %v", a.EvalTime)
		}
	}
	query := r.opts.Query
	query.NoStepSubqueryInterval = func(int64) int64 { return time.Duration(f.EvaluationInterval).Milliseconds() }
	if r.engine, err = promql.New(query); err != nil {
		return err
	}
	external, err := url.Parse(r.ExternalURL)
	if err != nil {
		return fmt.Errorf("external_url: %w", err)
	}
	r.groups, err = rules.NewGroups(
		rules.Options{Log: slog.New(slog.DiscardHandler), Engine: r.engine, Storage: r.store},
		rules.Config{Files: files, Interval: time.Duration(r.Interval), ExternalLabels: labels.FromMap(r.ExternalLabels), ExternalURL: external},
	)
	if err != nil {
		return err
	}
	order := map[string]int{}
	for i, name := range f.GroupEvalOrder {
		order[name] = i
	}
	slices.SortStableFunc(r.groups, func(a, b *rules.Group) int { return order[a.Name()] - order[b.Name()] })
	return r.readSeries()
}

// readSeries makes the samples of the input series.
func (r *run) readSeries() error {
	for i, s := range r.InputSeries {
		ls, values, err := r.opts.Parser.ParseSeriesDesc(s.Series + " " + s.Values)
		if err != nil {
			return fmt.Errorf("input_series[%d]: %w", i, err)
		}
		for j, v := range values {
			if v.Omitted {
				continue
			}
			e := storage.Entry{Labels: ls, T: r.start.Add(time.Duration(j) * time.Duration(r.Interval)).UnixMilli(), V: v.Value}
			if v.Histogram != nil {
				e.FloatHistogram = v.Histogram.Copy()
			}
			r.pending = append(r.pending, e)
		}
	}
	slices.SortStableFunc(r.pending, func(a, b storage.Entry) int { return int(min(max(a.T-b.T, -1), 1)) })
	return nil
}

// end is the time of the last check, counted from the start.
func (r *run) end() (last time.Duration) {
	for _, a := range r.AlertRuleTests {
		last = max(last, time.Duration(a.EvalTime))
	}
	for _, e := range r.PromQLTests {
		last = max(last, time.Duration(e.EvalTime))
	}
	return last
}

// evaluate stores what there is by now and evaluates all groups. It reports whether that worked.
func (r *run) evaluate(ctx context.Context, at time.Time) bool {
	if err := r.storeUntil(ctx, at.UnixMilli()); err != nil {
		r.failures = append(r.failures, err)
		return false
	}
	ok := true
	for _, g := range r.groups {
		g.Evaluate(ctx, at)
		for _, rule := range g.Status().Rules {
			if rule.LastError != "" {
				r.failures = append(r.failures, fmt.Errorf("rule: %s, time: %s, err: %s", rule.Name, at.Sub(r.start), rule.LastError))
				ok = false
			}
		}
	}
	if err := ctx.Err(); err != nil {
		r.failures = append(r.failures, err)
		return false
	}
	return ok
}

func (r *run) storeUntil(ctx context.Context, t int64) error {
	n := 0
	for n < len(r.pending) && r.pending[n].T <= t {
		n++
	}
	if n == 0 {
		return nil
	}
	app := r.store.Appender()
	outcomes := make([]storage.Outcome, n)
	if err := app.Append(ctx, r.pending[:n], outcomes); err != nil {
		return errors.Join(fmt.Errorf("store input series: %w", err), app.Rollback())
	}
	for i, o := range outcomes {
		if o.Err != nil {
			return errors.Join(fmt.Errorf("store input series %s: %w", r.pending[i].Labels, o.Err), app.Rollback())
		}
	}
	r.pending = r.pending[n:]
	return app.Commit(ctx)
}
