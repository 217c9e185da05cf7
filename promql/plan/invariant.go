package plan

// hoistStepInvariant wraps the largest parts of a plan whose value is the same at all steps.
func hoistStepInvariant(n Node) Node {
	wrapped, invariant := hoist(n)
	if invariant {
		return wrap(wrapped)
	}
	return wrapped
}

// hoist reports whether n has the same value at all steps. If not, it wraps the parts of n that do.
func hoist(n Node) (Node, bool) {
	switch n := n.(type) {
	case *Number, *String:
		return n, true
	case *Selector:
		return n, n.At != nil
	case *Subquery:
		// The steps of the expression are those of the subquery, not of the query around it.
		n.Expr = hoistStepInvariant(n.Expr)
		return n, n.At != nil
	}
	children := n.children()
	invariant := make([]bool, len(children))
	all := !dependsOnTime(n)
	for i, c := range children {
		*c, invariant[i] = hoist(*c)
		all = all && invariant[i]
	}
	if _, ok := n.(*Aggregate); ok {
		// As upstream has it: the parameter does not count, its first value goes for all steps.
		all = invariant[len(invariant)-1]
	}
	if all {
		return n, true
	}
	for i, c := range children {
		if invariant[i] {
			*c = wrap(*c)
		}
	}
	return n, false
}

// wrap marks n as invariant where that saves anything.
func wrap(n Node) Node {
	switch n := n.(type) {
	case *Number, *String, *Subquery:
		return n
	case *Selector:
		if n.Range > 0 {
			return n // A window over it is evaluated, not the samples.
		}
	}
	return &StepInvariant{Expr: n}
}

// dependsOnTime reports whether a node itself looks at the time of evaluation, as upstream has it.
func dependsOnTime(n Node) bool {
	switch n := n.(type) {
	case *Info:
		return n.At == nil
	case *Window:
		return n.Func == "predict_linear"
	case *Call:
		switch n.Func {
		case "time", "timestamp", "minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year":
			return true
		}
	}
	return false
}

// IsSelector reports whether a node is nothing but a selector.
func IsSelector(n Node) bool {
	if inv, ok := n.(*StepInvariant); ok {
		n = inv.Expr
	}
	_, ok := n.(*Selector)
	return ok
}
