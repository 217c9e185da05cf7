package index

import (
	"context"
	"fmt"
	"slices"

	"github.com/narthex-io/narthex/model/labels"
)

// Source finds series by one label. An index on disk is one, the head another. It is safe for concurrent use.
type Source interface {
	// Postings returns the series that have one of the given values of name.
	Postings(ctx context.Context, name string, values ...string) (Postings, error)
	// PostingsMatching returns the series whose value of name starts with prefix and makes match true; a nil match
	// is true for all. Series without the label are not among them.
	PostingsMatching(ctx context.Context, name, prefix string, match func(value string) bool) (Postings, error)
	// AllPostings returns all series.
	AllPostings(ctx context.Context) (Postings, error)
}

// Labeler is a [Source] that can also look at one series, which makes it cheap to test few candidates.
type Labeler interface {
	// LabelValue returns the value of a label, "" if the series lacks it. The string is to be used before the source
	// is closed.
	LabelValue(id uint32, name string) (string, error)
	// ValueCount returns about how many values name has, and SeriesCount about how many series there are.
	ValueCount(name string) int
	SeriesCount() int
}

// PostingsForMatchers returns the ids of the series that all matchers select, ascending, in memory of the caller's. A
// label that a series lacks counts as empty. Without matchers all series are selected.
//
// Matchers are taken by cost: those that name their values first, from the shortest list to the longest; those that
// have to go through the values of a label last, and if by then only few candidates are left, these are tested instead.
func PostingsForMatchers(ctx context.Context, src Source, ms ...*labels.Matcher) ([]uint32, error) {
	var named, scans []condition
	for _, m := range ms {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("select by %s: %w", m, err)
		}
		c := newCondition(m)
		switch {
		case c.trivial():
		case c.values != nil:
			named = append(named, c)
		default:
			scans = append(scans, c)
		}
	}
	for i := range named {
		p, err := src.Postings(ctx, named[i].m.Name, named[i].values...)
		if err != nil {
			return nil, fmt.Errorf("select by %s: %w", named[i].m, err)
		}
		named[i].set = p
	}
	// First what keeps, the short lists before the long; then what drops.
	slices.SortStableFunc(named, func(a, b condition) int {
		if a.keep != b.keep {
			if a.keep {
				return -1
			}
			return 1
		}
		return a.set.Len() - b.set.Len()
	})
	slices.SortStableFunc(scans, func(a, b condition) int {
		switch {
		case a.keep == b.keep:
			return 0
		case a.keep:
			return -1
		}
		return 1
	})
	s := selection{src: src}
	for _, c := range append(named, scans...) {
		if err := s.apply(ctx, c); err != nil {
			return nil, fmt.Errorf("select by %s: %w", c.m, err)
		}
		if s.started && len(s.ids) == 0 {
			return nil, nil
		}
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s.ids, nil
}

// condition is a matcher turned into a set of series that have the label: those to keep, if the matcher does not
// match the empty value; else those to drop, because a series without the label is selected, too.
type condition struct {
	m    *labels.Matcher
	keep bool
	// values are the label's values in the set, if the matcher names them; else prefix and match select them, where
	// nil matches all.
	values []string
	prefix string
	match  func(value string) bool
	set    Postings
}

func newCondition(m *labels.Matcher) condition {
	c := condition{m: m, keep: !m.Matches("")}
	switch {
	case m.Type == labels.MatchEqual && c.keep, m.Type == labels.MatchNotEqual && !c.keep:
		c.values = []string{m.Value}
	case m.Type == labels.MatchEqual, m.Type == labels.MatchNotEqual:
		// l="" drops and l!="" keeps whatever has the label.
	case m.Value == ".*" || m.Value == ".+":
		// .+ and its negation as before; .* keeps or drops nothing, its negation selects nothing.
	case (m.Type == labels.MatchRegexp) == c.keep:
		// The set is what the expression matches.
		c.values, c.prefix = m.SetMatches(), m.Prefix()
		c.match = m.Matches
		if !c.keep {
			c.match = m.Inverse().Matches
		}
	case c.keep:
		c.match = m.Matches
	default:
		c.match = m.Inverse().Matches
	}
	return c
}

// trivial reports whether the condition is true for each series.
func (c *condition) trivial() bool { return c.m.Type == labels.MatchRegexp && c.m.Value == ".*" }

// checkEvery is how many values are matched between two looks at whether the query has ended: an expression can take
// some ten microseconds for each.
const checkEvery = 128

// selection is the set of candidates that conditions shrink.
type selection struct {
	src     Source
	ids     []uint32
	started bool
}

// start begins with all series, if nothing else did.
func (s *selection) start(ctx context.Context) error {
	if s.started {
		return nil
	}
	all, err := s.src.AllPostings(ctx)
	if err != nil {
		return fmt.Errorf("select all series: %w", err)
	}
	s.ids, s.started = all.AppendTo(nil), true
	return nil
}

func (s *selection) apply(ctx context.Context, c condition) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.m.Type == labels.MatchNotRegexp && c.m.Value == ".*" {
		s.ids, s.started = nil, true
		return nil
	}
	if c.set == nil {
		if done, err := s.test(ctx, c); done || err != nil {
			return err
		}
		p, err := s.src.PostingsMatching(ctx, c.m.Name, c.prefix, c.match)
		if err != nil {
			return err
		}
		c.set = p
	}
	if c.keep && !s.started {
		s.ids, s.started = c.set.AppendTo(nil), true
		return nil
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	s.ids = c.set.Filter(s.ids, c.keep)
	return nil
}

// test looks at the label of each candidate, if that is cheaper than going through the label's values.
func (s *selection) test(ctx context.Context, c condition) (done bool, err error) {
	labeler, ok := s.src.(Labeler)
	if !ok || !s.started || len(s.ids) > testable(labeler, c) {
		return false, nil
	}
	out := s.ids[:0]
	for i, id := range s.ids {
		if i%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		value, err := labeler.LabelValue(id, c.m.Name)
		if err != nil {
			return false, err
		}
		if c.m.Matches(value) {
			out = append(out, id)
		}
	}
	s.ids = out
	return true, nil
}

// testable returns how many candidates are tested rather than going through the label's values and their series. What
// one or the other costs is measured in nanoseconds: looking at a series takes some 100, at a value 30, and 60 with an
// expression; a series of a value that matches takes one, and half of them may match.
func testable(l Labeler, c condition) int {
	cost := 30*l.ValueCount(c.m.Name) + l.SeriesCount()
	if c.match != nil {
		cost = 60*l.ValueCount(c.m.Name) + l.SeriesCount()/2
	}
	if c.prefix != "" {
		cost /= 8 // Many values are left out.
	}
	return cost / 100
}
