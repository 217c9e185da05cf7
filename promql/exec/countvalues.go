package exec

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/plan"
)

// countValues counts equal values: each gets a series, with the value in a label.
func (q *query) countValues(ctx context.Context, n *plan.Aggregate, g plan.Grid) (operator, error) {
	label, err := stringArg(n.Param)
	if err != nil {
		return nil, err
	}
	if !validLabelName(label) {
		return nil, fmt.Errorf("invalid label name %s", strconv.Quote(label))
	}
	op, err := q.build(ctx, n.Expr, g)
	if err != nil {
		return nil, err
	}
	by := *n
	if !n.Without && !slices.Contains(n.Grouping, label) {
		by.Grouping = slices.Sorted(slices.Values(append([]string{label}, n.Grouping...)))
	}
	in := op.series()
	f, index := &fixed{}, newLabelIndex(0)
	b := labels.NewBuilder(labels.EmptyLabels())
	ended := ending(ctx)
	err = q.look(ctx, op, g, func(i int, r *row) error {
		rowOf := map[string]int{}
		for step, v := range r.F {
			if isAbsent(v) {
				continue
			}
			if err := ended(); err != nil {
				return err
			}
			text := valueText(v, r, step)
			k, found := rowOf[text]
			if !found {
				b.Reset(in[i].labels)
				ls := groupLabels(b.Set(label, text).Labels(), &by)
				var isNew bool
				if k, isNew = index.add(ls); isNew {
					f.out, f.rows = append(f.out, series{labels: ls}), append(f.rows, row{})
					f.rows[k].reset(g.N)
					if err := q.hold(g.N); err != nil {
						return err
					}
					if err := q.holdBytes(seriesBytes + int64(ls.ByteSize())); err != nil {
						return err
					}
				}
				rowOf[text] = k
			}
			if c := &f.rows[k].F[step]; isAbsent(*c) {
				*c = 1
			} else {
				*c++
			}
		}
		return nil
	})
	return f, err
}

func valueText(v float64, r *row, step int) string {
	if h := r.hist(step); h != nil {
		return h.String()
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
