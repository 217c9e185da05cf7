package promqltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// Engine is what answers the queries of a script.
type Engine interface {
	Instant(ctx context.Context, q storage.Queryable, query string, opts promql.QueryOptions, ts time.Time) (*promql.Result, error)
	Range(ctx context.Context, q storage.Queryable, query string, opts promql.QueryOptions, start, end time.Time, step time.Duration) (*promql.Result, error)
}

// Storage is where a script loads its samples.
type Storage interface {
	storage.Appendable
	storage.Queryable
}

// Runner runs scripts.
type Runner struct {
	Engine Engine
	// NewStorage returns an empty storage; it is called at the beginning and for each clear.
	NewStorage func() (Storage, error)
}

// NewEngine returns an engine with the settings that upstream's scripts assume.
func NewEngine() (*promql.Engine, error) { return promql.New(Options()) }

// Options are the settings that upstream's scripts assume.
func Options() promql.Options {
	return promql.Options{
		Timeout:                      time.Minute,
		EnableDelayedNameRemoval:     true,
		EnableExperimentalFunctions:  true,
		EnableExtendedRangeSelectors: true,
		EnableBinopFillModifiers:     true,
		EnableStartTimestamps:        true,
	}
}

// Outcome tells how a case went.
type Outcome struct {
	*Case
	// Err is nil if the case has passed.
	Err error
}

// Run runs a script and returns the outcome of each case. An error means that the script could not be run to its end.
func (r *Runner) Run(ctx context.Context, s *Script) ([]Outcome, error) {
	store, err := r.NewStorage()
	if err != nil {
		return nil, err
	}
	var outcomes []Outcome
	for _, c := range s.commands {
		switch c := c.(type) {
		case *clearAll:
			if store, err = r.NewStorage(); err != nil {
				return outcomes, err
			}
		case *load:
			if err := c.run(ctx, store); err != nil {
				return outcomes, fmt.Errorf("%s: load: %w", s.Name, err)
			}
		case *Case:
			outcomes = append(outcomes, Outcome{c, r.check(ctx, c, store)})
		}
	}
	return outcomes, nil
}

// check runs a case in all the ways that must give the same result.
func (r *Runner) check(ctx context.Context, c *Case, store Storage) error {
	if c.ranged {
		res, err := r.Engine.Range(ctx, store, c.Query, promql.QueryOptions{}, at(c.start), at(c.end), c.step)
		return c.expect.check(c, res, err)
	}
	if err := r.instant(ctx, c, store, c.Query, c.start); err != nil {
		return err
	}
	pinned, ok, err := pin(c.Query, c.start.Milliseconds())
	if err != nil || !ok {
		return err
	}
	for _, t := range otherTimes(c.start) {
		if err := r.instant(ctx, c, store, pinned, t); err != nil {
			return fmt.Errorf("pinned, at %v: %s: %w", t, pinned, err)
		}
	}
	return nil
}

// at returns a time of the script, which starts at the Unix epoch.
func at(d time.Duration) time.Time { return time.UnixMilli(d.Milliseconds()) }

// otherTimes are the times at which a pinned query must have the same result.
func otherTimes(t time.Duration) []time.Duration {
	if t == 0 {
		return []time.Duration{-time.Second, 0, time.Second}
	}
	return []time.Duration{-10 * t, 0, (t / 5).Truncate(time.Millisecond), t, 10 * t}
}

// instant runs an instant query and the range query around it.
func (r *Runner) instant(ctx context.Context, c *Case, store Storage, query string, t time.Duration) error {
	res, err := r.Engine.Instant(ctx, store, query, promql.QueryOptions{}, at(t))
	if err := c.expect.check(c, res, err); err != nil || len(c.expect.fail) > 0 {
		return err
	}
	if c.expect.matrix != nil || c.expect.str != nil || looksAtQuery(query) {
		return nil
	}
	around, err := r.Engine.Range(ctx, store, query, promql.QueryOptions{}, at(t-time.Minute), at(t+time.Minute), time.Minute)
	if err != nil {
		return fmt.Errorf("as range query: %w", err)
	}
	if c.expect.ordered {
		return nil
	}
	middle, err := pointsAt(around.Value, t.Milliseconds(), res.Value.Type())
	if err != nil {
		return err
	}
	if err := c.expect.value(c, middle); err != nil {
		return fmt.Errorf("as range query: %w", err)
	}
	return nil
}

// pointsAt returns the points of a matrix at one time as a value of the given type.
func pointsAt(v promql.Value, t int64, typ promql.ValueType) (promql.Value, error) {
	m, ok := v.(promql.Matrix)
	if !ok {
		return nil, fmt.Errorf("range query returned a %s", v.Type())
	}
	if !slices.IsSortedFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Labels, b.Labels) }) {
		return nil, errors.New("result of a range query is not sorted")
	}
	var vec promql.Vector
	for _, s := range m {
		if i, ok := slices.BinarySearch(s.Points.T, t); ok {
			p := s.Points.At(i)
			vec = append(vec, promql.Sample{Labels: s.Labels, T: t, F: p.F, H: p.H})
		}
	}
	if typ == promql.TypeScalar && len(vec) == 1 {
		return promql.Scalar{T: t, V: vec[0].F}, nil
	}
	return vec, nil
}
