package exec

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// join is an arithmetic or comparison operator between two vectors. One of the sides, called one, must not have more
// than one element of a match group at a step; the other one is called many, and may have several if the query says
// so. Which pairs of series can meet is known before any value is.
type join struct {
	q    *query
	n    *plan.Binary
	g    plan.Grid
	many operator
	one  operator
	// swapped says that many is the right-hand side.
	swapped bool
	out     []series
	pairs   [][]pair
	// mt has the groups of many and one, manyOf and oneOf their members.
	mt            *matching
	manyOf, oneOf [][]int32
	// manyFill and oneFill stand in for values that a side lacks; nil if there is no result then.
	manyFill, oneFill *float64
}

// pair is a series of each side; -1 stands for the fill value.
type pair struct{ many, one int32 }

// pairBytes is the size of a pair.
const pairBytes = int64(unsafe.Sizeof(pair{}))

var (
	errManyMatches = errors.New("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)")
	errSameResult  = errors.New("multiple matches for labels: grouping labels must ensure unique matches")
)

func (q *query) join(ctx context.Context, n *plan.Binary, lhs, rhs operator, g plan.Grid) (operator, error) {
	o := &join{q: q, n: n, g: g, many: lhs, one: rhs, oneFill: n.Matching.FillRHS, manyFill: n.Matching.FillLHS}
	if n.Matching.Card == parser.CardOneToMany {
		o.swapped = true
		// As upstream has it, fill_right goes on filling the side of one.
		o.many, o.one = rhs, lhs
	}
	var err error
	if o.mt, err = q.match(ctx, o.many.series(), o.one.series(), n.Matching); err != nil {
		return nil, err
	}
	o.manyOf, o.oneOf = byGroup(o.mt.left, o.mt.n), byGroup(o.mt.right, o.mt.n)
	if err := o.settle(ctx); err != nil {
		return nil, err
	}
	if err := o.pairUp(ctx); err != nil {
		return nil, err
	}
	return o, o.drainLonely(ctx)
}

// drainLonely evaluates what cannot find a partner, for the sake of its annotations and errors.
func (o *join) drainLonely(ctx context.Context) error {
	lonely := func(of []int32, partners [][]int32) []int32 {
		var list []int32
		for i, k := range of {
			if len(partners[k]) == 0 {
				list = append(list, int32(i))
			}
		}
		return list
	}
	if o.oneFill == nil {
		if err := o.q.drain(ctx, o.many, lonely(o.mt.left, o.oneOf), o.g); err != nil {
			return err
		}
	}
	if o.manyFill == nil {
		return o.q.drain(ctx, o.one, lonely(o.mt.right, o.manyOf), o.g)
	}
	return nil
}

// settle checks what can only be seen across series, and keeps rows in memory that are needed for that or that would
// be calculated over and over.
func (o *join) settle(ctx context.Context) error {
	oneToOne := o.n.Matching.Card == parser.CardOneToOne
	var again, crowd []int32
	for k := range o.mt.n {
		ones, manys := o.oneOf[k], o.manyOf[k]
		if len(ones) > 1 || len(ones) == 1 && (len(manys) > 1 || o.manyFill != nil || o.oneFill != nil) {
			again = append(again, ones...)
		}
		if len(manys) > 1 && oneToOne || len(manys) > 0 && o.manyFill != nil {
			crowd = append(crowd, manys...)
		}
	}
	var err error
	if o.one, err = o.q.keep(ctx, o.one, again, o.g); err != nil {
		return err
	}
	if o.many, err = o.q.keep(ctx, o.many, crowd, o.g); err != nil {
		return err
	}
	return o.checkAll(ctx)
}

// conflict is a violation of the cardinality. Of several, the one counts that comes first in time, then the one on
// the side of one, then the one whose second series comes first.
type conflict struct {
	step   int
	many   bool
	series int32
	err    error
}

func (c *conflict) before(o *conflict) bool {
	if o == nil || c.step != o.step {
		return o == nil || c.step < o.step
	}
	if c.many != o.many {
		return o.many
	}
	return c.series < o.series
}

// checkAll makes sure that the match is of the cardinality that the query says.
func (o *join) checkAll(ctx context.Context) error {
	var first *conflict
	found := func(c conflict) {
		if c.before(first) {
			first = &c
		}
	}
	for k := range o.mt.n {
		if len(o.oneOf[k]) > 1 {
			if err := o.checkOnes(ctx, k, found); err != nil {
				return err
			}
		}
		if len(o.manyOf[k]) > 1 && o.n.Matching.Card == parser.CardOneToOne {
			if err := o.checkManys(ctx, k, found); err != nil {
				return err
			}
		}
	}
	if first == nil {
		return nil
	}
	// What fails on one of the sides does so before they meet.
	lhs, rhs := o.many, o.one
	if o.swapped {
		lhs, rhs = rhs, lhs
	}
	for _, op := range []operator{lhs, rhs} {
		if err := o.q.each(ctx, op, o.g, func(int, *row) error { return nil }); err != nil {
			return err
		}
	}
	return first.err
}

// presence tells which of the members of a group has a value at each step: -1 for none. It calls twice for each
// further one.
func (o *join) presence(ctx context.Context, op operator, members []int32, twice func(step int, a, b int32)) ([]int32, error) {
	w := o.q.newWorker(ctx)
	defer w.close()
	r := w.borrow(o.g.N)
	defer w.giveBack(r)
	at := make([]int32, o.g.N)
	for step := range at {
		at[step] = -1
	}
	for _, m := range members {
		if err := op.row(ctx, w, int(m), r); err != nil {
			return nil, err
		}
		for step, f := range r.F {
			switch {
			case isAbsent(f):
			case at[step] >= 0:
				twice(step, at[step], m)
			default:
				at[step] = m
			}
		}
	}
	return at, nil
}

// checkOnes makes sure that a group does not have two elements on the side of one. It does not matter at a step at which
// the other side is empty.
func (o *join) checkOnes(ctx context.Context, k int, found func(conflict)) error {
	var twice []conflict
	_, err := o.presence(ctx, o.one, o.oneOf[k], func(step int, a, b int32) {
		twice = append(twice, conflict{step: step, series: b, err: o.duplicate(a, b)})
	})
	if err != nil || len(twice) == 0 {
		return err
	}
	busy, err := o.manySteps(ctx)
	for _, c := range twice {
		if busy[c.step] || o.manyFill != nil || o.oneFill != nil {
			found(c)
		}
	}
	return err
}

// manySteps tells at which steps the side of many has any value at all.
func (o *join) manySteps(ctx context.Context) ([]bool, error) {
	busy := make([]bool, o.g.N)
	err := o.q.each(ctx, o.many, o.g, func(_ int, r *row) error {
		for step, f := range r.F {
			busy[step] = busy[step] || !isAbsent(f)
		}
		return nil
	})
	return busy, err
}

func (o *join) duplicate(a, b int32) error {
	side := "right"
	if o.swapped {
		side = "left"
	}
	in := o.one.series()
	x, y := in[a].labels.String(), in[b].labels.String()
	if x > y {
		x, y = y, x
	}
	group := matchLabels(in[a].labels, o.n.Matching)
	return fmt.Errorf("found duplicate series for the match group %s on the %s hand-side of the operation: [%s, %s]"+
		";many-to-many matching not allowed: matching labels must be unique on one side", group, side, x, y)
}

// checkManys makes sure that a one-to-one match is one. Pairs of values that the operator does not take do not count.
func (o *join) checkManys(ctx context.Context, k int, found func(conflict)) error {
	ones, err := o.onesOf(ctx, k)
	if err != nil {
		return err
	}
	w := o.q.newWorker(ctx)
	defer w.close()
	r := w.borrow(o.g.N)
	defer w.giveBack(r)
	matched := make([]bool, o.g.N)
	for _, m := range o.manyOf[k] {
		if err := o.many.row(ctx, w, int(m), r); err != nil {
			return err
		}
		for step, f := range r.F {
			if isAbsent(f) || isAbsent(ones.F[step]) {
				continue
			}
			_, res, err := o.calculate(step, r, ones)
			if err != nil {
				return err
			}
			switch {
			case res == impossible:
			case matched[step]:
				found(conflict{step: step, many: true, series: m, err: errManyMatches})
			default:
				matched[step] = true
			}
		}
	}
	return nil
}

// onesOf returns the values that a group has on the side of one, where nothing is wrong with it, filled if need be.
func (o *join) onesOf(ctx context.Context, k int) (*row, error) {
	ones, r := &row{}, &row{}
	ones.reset(o.g.N)
	w := o.q.newWorker(ctx)
	defer w.close()
	for _, m := range o.oneOf[k] {
		if err := o.one.row(ctx, w, int(m), r); err != nil {
			return nil, err
		}
		for step, f := range r.F {
			if !isAbsent(f) {
				ones.put(step, r, step)
			}
		}
	}
	for step, f := range ones.F {
		if isAbsent(f) && o.oneFill != nil {
			ones.F[step] = *o.oneFill
		}
	}
	return ones, nil
}

// pairUp lists the series of the result with the pairs that yield them.
func (o *join) pairUp(ctx context.Context) error {
	pace := o.q.pace(ctx)
	index := newLabelIndex(0)
	manys, ones := o.many.series(), o.one.series()
	add := func(p pair, many, one labels.Labels) error {
		made := pairBytes
		n, isNew := index.add(o.resultLabels(many, one))
		if isNew {
			o.out = append(o.out, series{labels: index.sets[n], dropName: o.n.ReturnBool && o.q.DelayNameRemoval})
			o.pairs = append(o.pairs, nil)
			made += seriesBytes + int64(index.sets[n].ByteSize())
		}
		o.pairs[n] = append(o.pairs[n], p)
		return pace(made)
	}
	for i := range manys {
		k := o.mt.left[i]
		for _, one := range o.oneOf[k] {
			if err := add(pair{int32(i), one}, manys[i].labels, ones[one].labels); err != nil {
				return err
			}
		}
		if o.oneFill != nil {
			if err := add(pair{int32(i), -1}, manys[i].labels, matchLabels(manys[i].labels, o.n.Matching)); err != nil {
				return err
			}
		}
	}
	if o.manyFill == nil {
		return nil
	}
	for i := range ones {
		if err := add(pair{-1, int32(i)}, matchLabels(ones[i].labels, o.n.Matching), ones[i].labels); err != nil {
			return err
		}
	}
	return nil
}

// resultLabels are those of the side of many, reduced to the matching labels if the match is one-to-one, with the
// included ones of the other side.
func (o *join) resultLabels(many, one labels.Labels) labels.Labels {
	m := o.n.Matching
	if calculates(o.n.Op) || o.n.ReturnBool && !o.q.DelayNameRemoval {
		many = withoutName(many)
	}
	b := labels.NewBuilder(many)
	if m.Card == parser.CardOneToOne {
		if m.On {
			b.Keep(m.Labels...)
		} else {
			b.Del(m.Labels...)
		}
	}
	for _, name := range m.Include {
		b.Set(name, one.Get(name))
	}
	return b.Labels()
}

func (o *join) series() []series { return o.out }

func (o *join) row(ctx context.Context, w *worker, i int, dst *row) error {
	if err := w.reset(dst, o.g.N); err != nil {
		return err
	}
	pairs := o.pairs[i]
	l, r := w.borrow(o.g.N), w.borrow(o.g.N)
	defer w.giveBack(l)
	defer w.giveBack(r)
	ended := ending(ctx)
	var matched []int32
	if len(pairs) > 1 {
		matched = make([]int32, o.g.N)
	}
	for _, p := range pairs {
		group, err := o.load(ctx, w, p, l, r)
		if err != nil {
			return err
		}
		for step := range dst.F {
			if isAbsent(l.F[step]) || isAbsent(r.F[step]) {
				continue
			}
			if err := ended(); err != nil {
				return err
			}
			v, res, err := o.calculate(step, l, r)
			if err != nil {
				return err
			}
			if res == impossible {
				continue
			}
			if matched != nil {
				switch matched[step] {
				case 0:
					matched[step] = group + 1
				case group + 1:
					return errSameResult
				default:
					return errSameLabels
				}
			}
			dst.set(step, v, o.n.ReturnBool, res)
		}
	}
	return nil
}

// calculate calculates one value.
func (o *join) calculate(step int, many, one *row) (value, outcome, error) {
	l, r := value{many.F[step], many.hist(step)}, value{one.F[step], one.hist(step)}
	if o.swapped {
		l, r = r, l
	}
	return o.q.binop(o.n, l, r)
}

// load calculates the rows of a pair and returns its group. A fill value stands at the steps at which the group has
// no value on its side.
func (o *join) load(ctx context.Context, w *worker, p pair, many, one *row) (int32, error) {
	switch {
	case p.one < 0:
		group := o.mt.left[p.many]
		if err := o.many.row(ctx, w, int(p.many), many); err != nil {
			return 0, err
		}
		return group, o.fillOnes(ctx, o.oneOf[group], one)
	case p.many < 0:
		group := o.mt.right[p.one]
		if err := o.one.row(ctx, w, int(p.one), one); err != nil {
			return 0, err
		}
		return group, o.fillMany(ctx, w, o.manyOf[group], one, many)
	}
	if err := o.many.row(ctx, w, int(p.many), many); err != nil {
		return 0, err
	}
	return o.mt.left[p.many], o.one.row(ctx, w, int(p.one), one)
}

// fillMany makes a row of the fill value at the steps at which the one has met no value on the side of many: there is
// none, or the operator does not take the two.
func (o *join) fillMany(ctx context.Context, w *worker, members []int32, one, dst *row) error {
	if err := w.reset(dst, o.g.N); err != nil {
		return err
	}
	for step := range dst.F {
		dst.F[step] = *o.manyFill
	}
	r := w.borrow(o.g.N)
	defer w.giveBack(r)
	for _, m := range members {
		if err := o.many.row(ctx, w, int(m), r); err != nil {
			return err
		}
		for step, f := range r.F {
			if isAbsent(f) || isAbsent(one.F[step]) {
				continue
			}
			_, res, err := o.calculate(step, r, one)
			if err != nil {
				return err
			}
			if res != impossible {
				dst.F[step] = absent
			}
		}
	}
	return nil
}

// fillOnes makes a row of the fill value at the steps at which the side of one has none.
func (o *join) fillOnes(ctx context.Context, members []int32, dst *row) error {
	at, err := o.presence(ctx, o.one, members, func(int, int32, int32) {})
	if err != nil {
		return err
	}
	dst.reset(o.g.N)
	for step, m := range at {
		if m < 0 {
			dst.F[step] = *o.oneFill
		}
	}
	return nil
}
