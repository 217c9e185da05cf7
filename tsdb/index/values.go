package index

import (
	"context"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
)

// ValueSource is a [Source] that can go through the values of a label.
type ValueSource interface {
	Source
	Labeler
	// EachPostings calls f with each value of name, in no special order, and its series, until f returns false. The value
	// is to be cloned by those who keep it.
	EachPostings(ctx context.Context, name string, f func(value string, p Postings) bool) error
}

// LabelValues returns the values of name, sorted, that occur in the series which all matchers select and for which
// shows, if it is not nil, returns true. The caller owns the strings.
//
// A matcher of the label itself is asked once for a value. For the others, either each value is looked up among their
// series, which ends at the first that is found, or each of their series is asked for its value, whatever are fewer.
func LabelValues(ctx context.Context, src ValueSource, name string, shows func(id uint32) bool, ms ...*labels.Matcher) ([]string, error) {
	var own, others []*labels.Matcher
	for _, m := range ms {
		if m.Name == name {
			own = append(own, m)
		} else {
			others = append(others, m)
		}
	}
	matches := func(value string) bool {
		return !slices.ContainsFunc(own, func(m *labels.Matcher) bool { return !m.Matches(value) })
	}
	if shows == nil {
		shows = func(uint32) bool { return true }
	}
	selected, err := selectedBy(ctx, src, others)
	if err != nil {
		return nil, err
	}
	if selected != nil && selected.Len() < src.ValueCount(name) {
		return valuesOf(ctx, src, name, selected.AppendTo(nil), func(value string, id uint32) bool {
			return matches(value) && shows(id)
		})
	}
	var values []string
	err = src.EachPostings(ctx, name, func(value string, p Postings) bool {
		if matches(value) && (selected == nil && anyOf(p, shows) || selected != nil && Common(p, selected, shows)) {
			values = append(values, strings.Clone(value))
		}
		return true
	})
	slices.Sort(values)
	return values, err
}

// selectedBy returns the series that the matchers select, nil for all.
func selectedBy(ctx context.Context, src Source, ms []*labels.Matcher) (Postings, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	if c := newCondition(ms[0]); len(ms) == 1 && c.keep && c.values != nil {
		// Fast path: a set that need not be shrunk is not copied either.
		return src.Postings(ctx, c.m.Name, c.values...)
	}
	ids, err := PostingsForMatchers(ctx, src, ms...)
	return IDs(ids), err
}

// valuesOf asks each series for its value.
func valuesOf(ctx context.Context, src Labeler, name string, ids []uint32, counts func(value string, id uint32) bool) ([]string, error) {
	found := map[string]bool{}
	var values []string
	for i, id := range ids {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		value, err := src.LabelValue(id, name)
		if err != nil {
			return nil, err
		}
		if value != "" && !found[value] && counts(value, id) {
			value = strings.Clone(value)
			found[value] = true
			values = append(values, value)
		}
	}
	slices.Sort(values)
	return values, nil
}

// anyOf reports whether f is true for one of the ids.
func anyOf(p Postings, f func(id uint32) bool) bool { return Common(p, p, f) }

// list is a set of ids that can be searched.
type list interface {
	Len() int
	at(i int) uint32
	// seek returns the first position from pos on with an id of at least id.
	seek(pos int, id uint32) int
}

// Common calls f with the ids that are in both sets until it returns true, and reports whether it did. An id can come
// more than once.
func Common(a, b Postings, f func(id uint32) bool) bool {
	if u, ok := a.(union); ok {
		return slices.ContainsFunc(u.sets, func(p Postings) bool { return Common(p, b, f) })
	}
	if u, ok := b.(union); ok {
		return slices.ContainsFunc(u.sets, func(p Postings) bool { return Common(a, p, f) })
	}
	x, y := asList(a), asList(b)
	i, j := 0, 0
	for i < x.Len() {
		id := x.at(i)
		if j = y.seek(j, id); j == y.Len() {
			return false
		}
		other := y.at(j)
		if other == id {
			if f(id) {
				return true
			}
			i++
			continue
		}
		i = x.seek(i, other)
	}
	return false
}

func asList(p Postings) list {
	if l, ok := p.(list); ok {
		return l
	}
	return IDs(p.AppendTo(nil))
}
