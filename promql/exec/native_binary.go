package exec

import (
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// histogramBinop is binop where at least one side is a histogram.
func (q *query) histogramBinop(n *plan.Binary, l, r value) (value, outcome, error) {
	switch {
	case l.h != nil && r.h != nil:
		return q.histogramsBinop(n, l, r)
	case l.h == nil && n.Op == parser.OpMul:
		return value{h: r.h.Scaled(l.f).Compacted()}, keepIt, nil
	case l.h == nil:
		q.noteTypes(n, "float", "histogram")
		return value{}, impossible, nil
	}
	switch n.Op {
	case parser.OpMul:
		return value{h: l.h.Scaled(r.f).Compacted()}, keepIt, nil
	case parser.OpDiv:
		return value{h: l.h.Divided(r.f).Compacted()}, keepIt, nil
	case parser.OpTrimUpper, parser.OpTrimLower:
		return value{h: l.h.Trimmed(r.f, n.Op == parser.OpTrimUpper)}, keepIt, nil
	default:
		q.noteTypes(n, "histogram", "float")
		return value{}, impossible, nil
	}
}

// histogramsBinop is binop of two histograms.
func (q *query) histogramsBinop(n *plan.Binary, l, r value) (value, outcome, error) {
	factor, operation := 1.0, "addition"
	switch n.Op {
	case parser.OpAdd:
	case parser.OpSub:
		factor, operation = -1, "subtraction"
	case parser.OpEqual, parser.OpNotEqual:
		if l.h.Same(r.h) == (n.Op == parser.OpEqual) {
			return l, keepIt, nil
		}
		return l, keepNot, nil
	default:
		q.noteTypes(n, "histogram", "histogram")
		return value{}, impossible, nil
	}
	sum := histogram.NewSum(l.h)
	collision, reconciled, err := sum.Add(r.h, factor)
	if err != nil {
		q.notes.warnf(spotOf(n, n.Pos()), "incompatible bucket layout encountered for binary operator %s", n.Op)
		return value{}, impossible, nil //nolint:nilerr // it has become a warning
	}
	if collision {
		// As upstream has it, there is no result then.
		q.notes.warnf(spotOf(n, n.Pos()), textCollision, operation)
		return value{}, impossible, nil
	}
	if reconciled {
		q.notes.infof(spotOf(n, n.Pos()), textReconciled, operation)
	}
	if factor < 0 {
		sum.Hint = histogram.GaugeType
	}
	return value{h: sum.Histogram()}, keepIt, nil
}
