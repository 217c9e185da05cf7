package exec

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/plan"
)

// identifying returns the labels by which info series are found, sorted.
func identifying() []string { return []string{"instance", "job"} }

// enriched yields the rows of an operator with labels of info series. A row is split where its info series change:
// each result has the steps at which one choice of info series was the current one.
type enriched struct {
	base operator
	g    plan.Grid
	out  []series
	// from tells of each result where it comes from.
	from []enrichedFrom
	// clashes tell at which steps which info series contradict each other; nil if none do.
	clashes []error
}

type enrichedFrom struct {
	base int32
	// choice is the one whose steps the result has, by their numbers in at; all steps if at is nil.
	choice int32
	at     []int32
	// err is why the labels cannot be had.
	err error
}

func (q *query) buildInfo(ctx context.Context, n *plan.Info, g plan.Grid) (operator, error) {
	base, err := q.build(ctx, n.Expr, g)
	if err != nil {
		return nil, err
	}
	b := &enricher{q: q, n: n, g: g, base: base, groups: map[string]*infoGroup{}}
	if err := b.number(ctx); err != nil {
		return nil, err
	}
	infos, err := b.selectInfos(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.choose(ctx, infos); err != nil {
		return nil, err
	}
	if b.clashes != nil {
		if err := b.chooseAgain(ctx); err != nil {
			return nil, err
		}
	}
	return b.enrich(ctx)
}

// enricher prepares an [enriched].
type enricher struct {
	q    *query
	n    *plan.Info
	g    plan.Grid
	base operator
	// of is the group of each base series; nil for those that are info series themselves.
	of      []*infoGroup
	groups  map[string]*infoGroup
	infos   []series
	clashes []error
}

// infoGroup is the base series that share their identifying labels, with their info series.
type infoGroup struct {
	key   labels.Labels
	names []*infoName
	// choices are the info series that are current together at some steps, one of each name or -1. at numbers the
	// choice of each step; it is nil if there is but one.
	choices [][]int32
	at      []int32
}

// infoName is the info series of one metric name in a group: at each step the one whose sample is the latest.
type infoName struct {
	name   string
	winner []int32
	times  []float64
}

// number finds the groups of the base series.
func (b *enricher) number(ctx context.Context) error {
	in, pace := b.base.series(), b.q.pace(ctx)
	b.of = make([]*infoGroup, len(in))
	var key []byte
	for i, s := range in {
		if err := pace(seriesHeader); err != nil {
			return err
		}
		if matchesAll(b.n.Names, metricName(&s)) {
			continue
		}
		key = s.labels.AppendKeyBy(key[:0], identifying())
		group := b.groups[string(key)]
		if group == nil {
			group = &infoGroup{key: s.labels.KeepSorted(identifying())}
			b.groups[string(key)] = group
		}
		b.of[i] = group
	}
	return nil
}

func matchesAll(ms []*labels.Matcher, value string) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(value) })
}

// selectInfos selects the info series of all groups, with the times of their samples as values: one selection for
// each set of identifying labels that occurs.
func (b *enricher) selectInfos(ctx context.Context) (operator, error) {
	all := &instant{source: &source{selection: &selection{}, q: b.q, n: &plan.Selector{Shift: b.n.Shift, Timestamps: true}}, g: b.g, floatsOnly: true}
	for _, present := range [][]bool{{false, true}, {true, false}, {true, true}} {
		ms, err := b.identifyingMatchers(present)
		if err != nil {
			return nil, err
		}
		if ms == nil {
			continue
		}
		s, err := b.q.selectSeries(ctx, &plan.Selector{
			Matchers: slices.Concat(ms, b.n.Data, b.n.Names), Shift: b.n.Shift, Hints: plan.Hints{Func: "info"},
		}, b.g)
		if err != nil {
			return nil, err
		}
		all.list, all.out = append(all.list, s.list...), append(all.out, s.out...)
		all.tally, all.counted = s.tally, make(counted, len(all.list))
	}
	return all, nil
}

// identifyingMatchers select what has the identifying labels of a group in which the given ones are present, and lacks
// the others; nil if there is no such group.
func (b *enricher) identifyingMatchers(present []bool) ([]*labels.Matcher, error) {
	values := make([]map[string]bool, len(present))
	for _, group := range b.groups {
		fits := true
		for i, name := range identifying() {
			fits = fits && group.key.Has(name) == present[i]
		}
		if !fits {
			continue
		}
		for i, name := range identifying() {
			if values[i] == nil {
				values[i] = map[string]bool{}
			}
			values[i][regexp.QuoteMeta(group.key.Get(name))] = true
		}
	}
	if values[0] == nil {
		return nil, nil
	}
	ms := make([]*labels.Matcher, len(present))
	for i, name := range identifying() {
		sorted := make([]string, 0, len(values[i]))
		for v := range values[i] {
			sorted = append(sorted, v)
		}
		slices.Sort(sorted)
		var err error
		if ms[i], err = labels.NewMatcher(labels.MatchRegexp, name, strings.Join(sorted, "|")); err != nil {
			return nil, fmt.Errorf("select info series by label %s: %w", name, err)
		}
	}
	return ms, nil
}

// choose finds the info series that are current at each step.
func (b *enricher) choose(ctx context.Context, infos operator) error {
	b.infos = infos.series()
	cells, pace := make([]*infoName, len(b.infos)), b.q.pace(ctx)
	var key []byte
	for i := range b.infos {
		if err := pace(8); err != nil {
			return err
		}
		key = b.infos[i].labels.AppendKeyBy(key[:0], identifying())
		if group := b.groups[string(key)]; group != nil {
			cells[i] = group.named(metricName(&b.infos[i]))
		} else {
			cells[i] = &infoName{} // No base series has this pair of labels, but a clash is one nevertheless.
		}
	}
	err := b.q.each(ctx, infos, b.g, func(i int, r *row) error {
		cell := cells[i]
		if cell.winner == nil {
			cell.winner, cell.times = make([]int32, b.g.N), make([]float64, b.g.N)
			for step := range cell.winner {
				cell.winner[step] = -1
			}
			if err := b.q.hold(2 * b.g.N); err != nil {
				return err
			}
		}
		for step, t := range r.F {
			switch {
			case isAbsent(t):
			case cell.winner[step] < 0 || t > cell.times[step]:
				cell.winner[step], cell.times[step] = int32(i), t
			case t == cell.times[step]:
				b.clash(step, cell.winner[step], int32(i), t)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, group := range b.groups {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := group.settle(ctx, b.g); err != nil {
			return err
		}
	}
	return nil
}

// chooseAgain chooses without the base series that have no value at all: it is no error if info series of theirs contradict
// each other.
func (b *enricher) chooseAgain(ctx context.Context) error {
	base, err := b.q.materialize(ctx, b.base, b.g)
	if err != nil {
		return err
	}
	b.base, b.groups, b.clashes = base, map[string]*infoGroup{}, nil
	if err := b.number(ctx); err != nil {
		return err
	}
	infos, err := b.selectInfos(ctx)
	if err != nil {
		return err
	}
	return b.choose(ctx, infos)
}

func (b *enricher) clash(step int, first, second int32, seconds float64) {
	if b.clashes == nil {
		b.clashes = make([]error, b.g.N)
	}
	if b.clashes[step] == nil {
		t := int64(math.Round(seconds * 1000))
		b.clashes[step] = fmt.Errorf("found duplicate series for info metric: existing %s @ %d, new %s @ %d",
			b.infos[first].labels, t, b.infos[second].labels, t)
	}
}

// named returns the info series of a metric name.
func (g *infoGroup) named(name string) *infoName {
	for _, n := range g.names {
		if n.name == name {
			return n
		}
	}
	n := &infoName{name: name}
	g.names = append(g.names, n)
	return n
}

// settle lists the choices of all steps. Fast path: most steps have the choice of the step before.
func (g *infoGroup) settle(ctx context.Context, grid plan.Grid) error {
	if len(g.names) == 0 {
		g.choices = [][]int32{nil}
		return nil
	}
	at, index, ended := make([]int32, grid.N), map[string]int32{}, ending(ctx)
	var key []byte
	choice := make([]int32, len(g.names))
	for step := range at {
		if err := ended(); err != nil {
			return err
		}
		for i, n := range g.names {
			choice[i] = -1
			if n.winner != nil {
				choice[i] = n.winner[step]
			}
		}
		if step > 0 && slices.Equal(choice, g.choices[at[step-1]]) {
			at[step] = at[step-1]
			continue
		}
		key = key[:0]
		for _, k := range choice {
			key = binary.LittleEndian.AppendUint32(key, uint32(k))
		}
		k, found := index[string(key)]
		if !found {
			k = int32(len(g.choices))
			index[string(key)] = k
			g.choices = append(g.choices, slices.Clone(choice))
		}
		at[step] = k
	}
	if len(g.choices) > 1 {
		g.at = at
	}
	return nil
}

// enrich lists the results.
func (b *enricher) enrich(ctx context.Context) (operator, error) {
	o := &enriched{base: b.base, g: b.g, clashes: b.clashes}
	var again, lost []int32
	pace := b.q.pace(ctx)
	for i, s := range b.base.series() {
		group := b.of[i]
		if group == nil {
			o.out, o.from = append(o.out, s), append(o.from, enrichedFrom{base: int32(i)})
			continue
		}
		n := len(o.out)
		for k, choice := range group.choices {
			ls, keep, err := b.labels(s.labels, choice)
			if !keep {
				continue
			}
			o.out = append(o.out, series{labels: ls, dropName: s.dropName})
			o.from = append(o.from, enrichedFrom{base: int32(i), choice: int32(k), at: group.at, err: err})
			if err := pace(seriesBytes + madeOf(s.labels, ls)); err != nil {
				return nil, err
			}
		}
		switch len(o.out) - n {
		case 0:
			lost = append(lost, int32(i))
		case 1:
		default:
			again = append(again, int32(i))
		}
	}
	var err error
	if o.base, err = b.q.keep(ctx, b.base, again, b.g); err != nil {
		return nil, err
	}
	if err := o.checkLost(ctx, b.q, lost); err != nil {
		return nil, err
	}
	merged, err := b.q.merge(ctx, o, o.out)
	if err != nil {
		return nil, err
	}
	return merged, b.q.settleIfMerged(ctx, merged, o.out)
}

// labels returns the labels of a base series with those of a choice of info series. A series without info is kept
// only if it does not have to have any.
func (b *enricher) labels(base labels.Labels, choice []int32) (ls labels.Labels, keep bool, err error) {
	found := false
	added := labels.NewBuilder(base)
	for _, k := range choice {
		if k < 0 {
			continue
		}
		found = true
		for name, value := range b.infos[k].labels.All() {
			if name == labels.MetricName || base.Has(name) || !b.wants(name) {
				continue
			}
			if old := added.Get(name); old != "" && old != value {
				return base, true, fmt.Errorf("conflicting label: %s", name)
			}
			added.Set(name, value)
		}
	}
	if !found && !matchesAll(b.n.Data, "") {
		return base, false, nil
	}
	return added.Labels(), true, nil
}

// wants reports whether the query asks for a label: for all, if it does not name any.
func (b *enricher) wants(name string) bool {
	return len(b.n.Data) == 0 || slices.ContainsFunc(b.n.Data, func(m *labels.Matcher) bool { return m.Name == name })
}

func (o *enriched) series() []series { return o.out }

func (o *enriched) row(ctx context.Context, w *worker, i int, dst *row) error {
	from := o.from[i]
	if err := o.base.row(ctx, w, int(from.base), dst); err != nil {
		return err
	}
	for step, f := range dst.F {
		switch {
		case isAbsent(f):
		case o.clashes != nil && o.clashes[step] != nil:
			return o.clashes[step]
		case from.at != nil && from.at[step] != from.choice:
			dst.drop(step)
		case from.err != nil:
			return from.err
		}
	}
	return nil
}

// checkLost evaluates the series that have no results for the sake of errors.
func (o *enriched) checkLost(ctx context.Context, q *query, lost []int32) error {
	if o.clashes == nil {
		return q.drain(ctx, o.base, lost, o.g)
	}
	return q.each(ctx, &subset{o.base, lost}, o.g, func(_ int, r *row) error {
		for step, f := range r.F {
			if !isAbsent(f) && o.clashes[step] != nil {
				return o.clashes[step]
			}
		}
		return nil
	})
}
