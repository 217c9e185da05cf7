package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// Event is a change of state of an alert.
type Event struct {
	Time time.Time
	// File and Group say which rule it is.
	File, Group string
	Alert       string
	Labels      labels.Labels
	// Annotations and Value are those of that moment, or the last ones before it.
	Annotations map[string]string
	Value       float64
	What        What
}

// What happened to an alert.
type What string

// The changes. An alert is dropped that ends before it fires.
const (
	Pending  What = "pending"
	Firing   What = "firing"
	Resolved What = "resolved"
	Dropped  What = "dropped"
)

// ReplayOptions say what is replayed. Source, Store, Emit and Failed are required.
type ReplayOptions struct {
	Source Source
	// Store takes what the rules write, and is empty.
	Store rules.Storage
	// Config has the rules; all groups are evaluated, since alerts may need what others record.
	Config     rules.Config
	Start, End time.Time
	// Emit is called with each event, in the order of time; Failed with each failure of a rule, when it begins.
	Emit   func(Event)
	Failed func(at time.Time, rule, err string)
}

// Replay evaluates rules for each moment of their groups' schedules in [Start, End], as a server would have, and tells
// what became of the alerts.
func Replay(ctx context.Context, opts ReplayOptions) error {
	r := &replay{ReplayOptions: opts}
	if err := r.prepare(); err != nil {
		return err
	}
	for {
		g := slices.MinFunc(r.groups, func(a, b *replayed) int { return a.next.Compare(b.next) })
		if g.next.After(opts.End) {
			return nil
		}
		at := g.next
		g.group.Evaluate(ctx, at)
		if err := ctx.Err(); err != nil {
			return err
		}
		g.compare(r, at)
		g.next = at.Add(g.group.Interval())
	}
}

type replay struct {
	ReplayOptions
	groups []*replayed
}

// replayed is a group on its way through the past.
type replayed struct {
	group *rules.Group
	next  time.Time
	// before are the alerts of the last evaluation.
	before map[string]rules.AlertStatus
	failed map[int]bool
}

// prepare makes the groups, each with an engine that knows its steps.
func (r *replay) prepare() error {
	opts := rules.Options{Log: slog.New(slog.DiscardHandler), Storage: r.Store}
	opts.Engine = &ahead{}
	all, err := rules.NewGroups(opts, r.Config)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("no rules to replay")
	}
	early := rules.Ahead(all)
	if !r.Source.Overlays() {
		early = rules.Expressions(all)
	}
	for _, g := range all {
		cfg := r.Config
		cfg.Files = []*rules.File{groupAlone(r.Config.Files, g)}
		opts.Engine = &ahead{
			source: r.Source, overlay: r.Store, step: g.Interval(), end: r.End, cached: map[string]*cache{},
			early: early,
		}
		alone, err := rules.NewGroups(opts, cfg)
		if err != nil {
			return err
		}
		r.groups = append(r.groups, &replayed{group: alone[0], next: g.Next(r.Start), before: map[string]rules.AlertStatus{}, failed: map[int]bool{}})
	}
	return nil
}

// groupAlone returns a file with nothing but one group.
func groupAlone(files []*rules.File, g *rules.Group) *rules.File {
	for _, f := range files {
		for _, gc := range f.Groups {
			if f.Path == g.File() && gc.Name == g.Name() {
				return &rules.File{Path: f.Path, Groups: []*rules.GroupConfig{gc}}
			}
		}
	}
	return nil
}

// compare emits what has changed with the last evaluation.
func (g *replayed) compare(r *replay, at time.Time) {
	now := map[string]rules.AlertStatus{}
	var events []Event
	event := func(a rules.AlertStatus, what What) {
		events = append(events, Event{
			Time: at, File: g.group.File(), Group: g.group.Name(), Alert: a.Labels.Get("alertname"),
			Labels: a.Labels, Annotations: a.Annotations, Value: a.Value, What: what,
		})
	}
	for i, rule := range g.group.Status().Rules {
		if failed := rule.LastError != ""; failed != g.failed[i] {
			if g.failed[i] = failed; failed {
				r.Failed(at, rule.Name, rule.LastError)
			}
		}
		for _, a := range rule.Alerts {
			key := fmt.Sprint(i) + a.Labels.String()
			now[key] = a
			was, ok := g.before[key]
			if (!ok || was.ActiveAt != a.ActiveAt) && a.State == rules.StatePending {
				event(a, Pending)
			}
			if a.State == rules.StateFiring && (!ok || was.State != rules.StateFiring || was.FiredAt != a.FiredAt) {
				event(a, Firing)
			}
		}
	}
	for key, a := range g.before {
		if _, ok := now[key]; ok {
			continue
		}
		if a.State == rules.StateFiring {
			event(a, Resolved)
		} else {
			event(a, Dropped)
		}
	}
	g.before = now
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Or(labels.Compare(a.Labels, b.Labels), cmp.Compare(a.What, b.What)) })
	for _, e := range events {
		r.Emit(e)
	}
}

// ahead is an engine that evaluates most queries for many steps at once, and hands out one after the other.
type ahead struct {
	source  Source
	overlay storage.Queryable
	step    time.Duration
	end     time.Time
	// early are the queries that can be evaluated ahead.
	early  map[string]bool
	cached map[string]*cache
}

// cache is the answer to a query for the steps in [from, to].
type cache struct {
	from, to time.Time
	series   promql.Matrix
	// failed says that there is none: at least one of the steps fails.
	failed bool
}

// stepsAhead is for how many steps a query is evaluated at once.
const stepsAhead = 500

// Instant answers a query that a rule asks.
func (e *ahead) Instant(ctx context.Context, _ storage.Queryable, query string, _ promql.QueryOptions, at time.Time) (*promql.Result, error) {
	if e.early[query] {
		c := e.cached[query]
		if c == nil || at.Before(c.from) || at.After(c.to) {
			c = e.fetch(ctx, query, at)
			e.cached[query] = c
		}
		if !c.failed && at.Sub(c.from)%e.step == 0 {
			return &promql.Result{Value: c.at(at.UnixMilli())}, nil
		}
	}
	v, err := e.source.Instant(ctx, e.overlay, query, at)
	if err != nil {
		return nil, err
	}
	return &promql.Result{Value: v}, nil
}

// fetch evaluates a query for the steps from a time on.
func (e *ahead) fetch(ctx context.Context, query string, at time.Time) *cache {
	c := &cache{from: at, to: at.Add((stepsAhead - 1) * e.step)}
	if c.to.After(e.end) {
		c.to = e.end
	}
	if c.to.Before(at) {
		c.to = at
	}
	var err error
	c.series, err = e.source.Range(ctx, nil, query, c.from, c.to, e.step)
	c.failed = err != nil
	return c
}

// at returns the elements of one step.
func (c *cache) at(t int64) promql.Vector {
	var v promql.Vector
	for _, s := range c.series {
		if i, ok := slices.BinarySearch(s.Points.T, t); ok {
			p := s.Points.At(i)
			v = append(v, promql.Sample{Labels: s.Labels, T: t, F: p.F, H: p.H})
		}
	}
	return v
}
