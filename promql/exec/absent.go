package exec

import (
	"context"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/plan"
)

// absent has the value 1 at the steps at which op has none. The labels are those that a selector asks for; what names the
// metric among them goes in the end, where functions do that.
func (q *query) absent(ctx context.Context, op operator, g plan.Grid, of plan.Node, dropName bool) (operator, error) {
	values, err := repeated(ctx, 1, g.N)
	if err != nil {
		return nil, err
	}
	err = q.look(ctx, op, g, func(_ int, r *row) error {
		return inPieces(ctx.Err, len(r.F), func(from, to int) {
			for step, f := range r.F[from:to] {
				if !isAbsent(f) {
					values[from+step] = absent
				}
			}
		})
	})
	return &fixed{out: []series{{labels: askedFor(of), dropName: dropName}}, rows: []row{{F: values}}}, err
}

// askedFor returns the labels that a selector matches by equality, each with one value.
func askedFor(n plan.Node) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	s, ok := n.(*plan.Selector)
	if !ok {
		return b.Labels()
	}
	seen := map[string]bool{}
	for _, m := range s.Matchers {
		switch {
		case m.Name == labels.MetricName:
		case m.Type == labels.MatchEqual && !seen[m.Name]:
			b.Set(m.Name, m.Value)
			seen[m.Name] = true
		default:
			b.Del(m.Name)
		}
	}
	return b.Labels()
}
