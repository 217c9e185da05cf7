package plan

import (
	"slices"

	"github.com/narthex-io/narthex/promql/parser"
)

// markTotals tells the selectors of which histograms only count and sum are needed:
//
//	histogram_count(rate(x[5m]))  →  x is read without buckets
//
// It does so exactly where upstream does, because it shows: histograms without buckets are equal if their totals are, and
// there are no custom bounds whose reconciliation would be an annotation.
func markTotals(n Node) Node {
	mark(n, false)
	return n
}

// mark walks down; totals says that a function above needs no more than them.
func mark(n Node, totals bool) {
	switch n := n.(type) {
	case *Selector:
		n.TotalsOnly = totals
		return
	case *Subquery:
		return // Counter resets between its steps are found in the buckets.
	case *Call:
		if slices.Contains([]string{
			"histogram_quantile", "histogram_quantiles", "histogram_fraction", "histogram_stddev", "histogram_stdvar",
		}, n.Func) {
			return
		}
		totals = totals || slices.Contains([]string{"histogram_count", "histogram_sum", "histogram_avg"}, n.Func)
	case *Binary:
		if n.Op == parser.OpTrimUpper || n.Op == parser.OpTrimLower {
			return
		}
	}
	for _, c := range n.children() {
		mark(*c, totals)
	}
}
