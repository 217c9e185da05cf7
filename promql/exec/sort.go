package exec

import (
	"cmp"
	"context"
	"math"
	"strings"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/plan"
)

// sort orders the series of a query with one step. There is no order to a range of steps.
func (q *query) sort(ctx context.Context, n *plan.Call, g plan.Grid) (operator, error) {
	op, err := q.build(ctx, n.Args[0], g)
	if err != nil {
		return nil, err
	}
	byValue := n.Func == "sort" || n.Func == "sort_desc"
	if byValue {
		op = &mapped{op, func(_ int, f float64, h *histogram.FloatHistogram) (float64, bool) { return f, h == nil }, op.series()}
	}
	if g.N > 0 && g.Until != g.Start {
		q.notes.warn(spotOf(n, n.Pos()), "sort is ineffective for range queries since results are always ordered by labels")
		return op, nil
	}
	f, err := q.materialize(ctx, op, g)
	if err != nil {
		return nil, err
	}
	descending := strings.HasSuffix(n.Func, "_desc")
	if byValue {
		return f, f.sort(ctx, func(a, b int) int { return compareValues(f.rows[a].F[0], f.rows[b].F[0], descending) })
	}
	names, err := stringArgs(n.Args[1:])
	if err != nil {
		return nil, err
	}
	return f, f.sort(ctx, func(a, b int) int {
		c := compareByLabels(f.out[a].labels, f.out[b].labels, names)
		if descending {
			return -c
		}
		return c
	})
}

// sort orders the rows.
func (f *fixed) sort(ctx context.Context, compare func(a, b int) int) error {
	order := make([]int, len(f.rows))
	for i := range order {
		order[i] = i
	}
	if err := SortFunc(ctx, order, compare); err != nil {
		return err
	}
	sorted := fixed{}
	for _, i := range order {
		sorted.out, sorted.rows = append(sorted.out, f.out[i]), append(sorted.rows, f.rows[i])
	}
	*f = sorted
	return nil
}

// compareValues orders floats; NaN comes last in both directions.
func compareValues(a, b float64, descending bool) int {
	switch aNaN, bNaN := math.IsNaN(a), math.IsNaN(b); {
	case aNaN && bNaN:
		return 0
	case aNaN:
		return 1
	case bNaN:
		return -1
	case descending:
		return cmp.Compare(b, a)
	default:
		return cmp.Compare(a, b)
	}
}

func compareByLabels(a, b labels.Labels, names []string) int {
	for _, name := range names {
		if c := compareNatural(a.Get(name), b.Get(name)); c != 0 {
			return c
		}
	}
	return labels.Compare(a, b)
}

// compareNatural orders strings with the numbers in them by their value: a2 comes before a10.
func compareNatural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		var p, r string
		p, x = chunk(x)
		r, y = chunk(y)
		if c := compareChunks(p, r); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// chunk splits off the digits, or what is no digit, at the beginning.
func chunk(s string) (head, tail string) {
	digits := isDigit(s[0])
	end := 1
	for end < len(s) && isDigit(s[end]) == digits {
		end++
	}
	return s[:end], s[end:]
}

func compareChunks(a, b string) int {
	if !isDigit(a[0]) || !isDigit(b[0]) {
		return strings.Compare(a, b)
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
