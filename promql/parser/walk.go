package parser

import "iter"

// Children yields the nodes directly below n, in the order of the text, but for the parameter of an aggregation, which
// comes after the vector. Calculations inside of durations are not among them: they are fields of the nodes whose range,
// step or offset they are.
func Children(n Node) iter.Seq[Node] {
	return func(yield func(Node) bool) {
		switch n := n.(type) {
		case *ParenExpr:
			yield(n.Expr)
		case *UnaryExpr:
			yield(n.Expr)
		case *BinaryExpr:
			_ = yield(n.LHS) && yield(n.RHS)
		case *AggregateExpr:
			_ = yield(n.Expr) && n.Param != nil && yield(n.Param)
		case *Call:
			for _, arg := range n.Args {
				if !yield(arg) {
					return
				}
			}
		case *MatrixSelector:
			yield(n.VectorSelector)
		case *SubqueryExpr:
			yield(n.Expr)
		case *DurationExpr:
			_ = (n.LHS == nil || yield(n.LHS)) && (n.RHS == nil || yield(n.RHS))
		}
	}
}

// Inspect calls visit for root and all nodes below it, parents first. The path holds the parents of the node, the
// nearest last; it is valid during the call alone. Nodes below one for which visit returns false are left out.
func Inspect(root Node, visit func(n Node, path []Node) bool) {
	inspect(root, nil, visit)
}

func inspect(n Node, path []Node, visit func(Node, []Node) bool) {
	if !visit(n, path) {
		return
	}
	path = append(path, n)
	for child := range Children(n) {
		inspect(child, path, visit)
	}
}
