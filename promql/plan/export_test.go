package plan

// Unoptimized leaves a plan as it is, but for the two optimizers that decide which annotations there are, as they do
// upstream: what is evaluated once is told once, and totals have no bounds that could be reconciled.
func Unoptimized(n Node) Node { return hoistStepInvariant(markTotals(n)) }
