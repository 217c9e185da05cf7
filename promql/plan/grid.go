package plan

// Grid is the times at which a part of a plan is evaluated: N times from Start on, Step milliseconds apart.
type Grid struct {
	Start, Step int64
	N           int
	// Until is the end that was asked for, which need not be one of the times.
	Until int64
}

// NewGrid returns the grid from start up to end; a step of zero means start alone.
func NewGrid(start, end, step int64) Grid {
	if step <= 0 {
		return Grid{Start: start, N: 1, Until: start}
	}
	if end < start {
		return Grid{Start: start, Step: step, Until: end}
	}
	return Grid{Start: start, Step: step, N: int((end-start)/step) + 1, Until: end}
}

// At returns the i-th time.
func (g Grid) At(i int) int64 { return g.Start + int64(i)*g.Step }

// End returns the last time.
func (g Grid) End() int64 { return g.At(max(g.N-1, 0)) }

// First returns the grid of the first time alone.
func (g Grid) First() Grid { return Grid{Start: g.Start, N: 1, Until: g.Start} }

// Inner returns the grid at which a subquery evaluates its expression so that the windows of all times of outer are
// covered: the multiples of the step after the beginning of the first window.
func (n *Subquery) Inner(outer Grid) Grid {
	first := n.Reference(outer.Start) - n.Range
	start := n.Step * (first / n.Step)
	if start <= first {
		start += n.Step
	}
	return NewGrid(start, n.Reference(outer.End()), n.Step)
}

// Bounds returns the first and the last time, both included, of the samples that a selector needs on a grid.
func (n *Selector) Bounds(g Grid, lookback int64) (mint, maxt int64) {
	before, after := n.Reach(lookback)
	// A window is open on its left side.
	return n.Reference(g.Start) - before + 1, n.Reference(g.End()) + after
}

// Reach returns how far a selector looks back and ahead from the time that it is looked at, in milliseconds.
func (n *Selector) Reach(lookback int64) (before, after int64) {
	before = n.Range
	if n.Range == 0 || n.Anchored || n.Smoothed {
		before += lookback
	}
	if n.Smoothed {
		after = lookback
	}
	return before, after
}

// EachSelector calls f for each selector of a plan that is evaluated on g, with the grid of the selector. An [Info] counts
// as a selector too, without matchers, for it reads its info series.
func EachSelector(n Node, g Grid, f func(*Selector, Grid)) {
	switch n := n.(type) {
	case *Selector:
		f(n, g)
	case *Subquery:
		EachSelector(n.Expr, n.Inner(g), f)
	case *StepInvariant:
		EachSelector(n.Expr, g.First(), f)
	case *Info:
		f(&Selector{Shift: n.Shift}, g)
		EachSelector(n.Expr, g, f)
	default:
		for _, c := range n.children() {
			EachSelector(*c, g, f)
		}
	}
}
