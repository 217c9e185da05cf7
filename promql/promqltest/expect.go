package promqltest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
)

// check compares the outcome of a query with what is expected.
func (e *expectation) check(c *Case, res *promql.Result, err error) error {
	if len(e.fail) > 0 {
		return e.failure(err)
	}
	if err != nil {
		return err
	}
	if err := annotations("warning", e.warn, e.noWarn, res.Warnings); err != nil {
		return err
	}
	if err := annotations("info", e.info, e.noInfo, res.Infos); err != nil {
		return err
	}
	return e.value(c, res.Value)
}

func (e *expectation) failure(err error) error {
	if err == nil {
		return errors.New("expected a failure")
	}
	for _, p := range e.fail {
		if !p.matches(err.Error()) {
			return fmt.Errorf("failed with another message: %w", err)
		}
	}
	return nil
}

// annotations compares those of one kind.
func annotations(kind string, want []pattern, none bool, got []string) error {
	if none && len(got) > 0 {
		return fmt.Errorf("unexpected %s: %q", kind, got)
	}
	if len(want) == 0 {
		return nil
	}
	for _, p := range want {
		if !slices.ContainsFunc(got, p.matches) {
			return fmt.Errorf("expected a matching %s, got %q", kind, got)
		}
	}
	for _, text := range got {
		if !slices.ContainsFunc(want, func(p pattern) bool { return p.matches(text) }) {
			return fmt.Errorf("unexpected %s: %q", kind, text)
		}
	}
	return nil
}

// value compares a value.
func (e *expectation) value(c *Case, v promql.Value) error {
	switch v := v.(type) {
	case promql.Scalar:
		if e.scalar == nil {
			return fmt.Errorf("unexpected scalar %v", v.V)
		}
		return sameFloat(*e.scalar, v.V)
	case promql.String:
		if e.str == nil || *e.str != v.V {
			return fmt.Errorf("unexpected string %q", v.V)
		}
		return nil
	case promql.Vector:
		if e.scalar != nil || e.str != nil || e.matrix != nil {
			return fmt.Errorf("unexpected vector %v", v)
		}
		return e.vector(v)
	case promql.Matrix:
		g := grid{c.start, c.end, c.step}
		switch {
		case e.scalar != nil || e.str != nil:
			return fmt.Errorf("unexpected matrix %v", v)
		case e.ordered:
			return errors.New("order is about instant vectors, got a matrix")
		case e.matrix != nil:
			g = *e.matrix
		case !c.ranged:
			return fmt.Errorf("unexpected matrix %v", v)
		}
		return e.points(v, g)
	default:
		return fmt.Errorf("unexpected value of type %T", v)
	}
}

// vector compares the elements of a vector, in their order if that matters.
func (e *expectation) vector(got promql.Vector) error {
	if len(got) != len(e.series) {
		return fmt.Errorf("got %d elements, want %d: %s", len(got), len(e.series), describe(got))
	}
	seen := make([]bool, len(e.series))
	for i, s := range got {
		at := slices.IndexFunc(e.series, func(w expectedSeries) bool { return labels.Equal(w.ls, s.Labels) })
		if at < 0 || seen[at] {
			return fmt.Errorf("unexpected element %v %v", s.Labels, s.F)
		}
		seen[at] = true
		want := e.series[at]
		if e.ordered && want.pos != i+1 {
			return fmt.Errorf("%v is element %d, want %d", s.Labels, i+1, want.pos)
		}
		if len(want.values) != 1 {
			return fmt.Errorf("%v: an instant query has one value, the script gives %d", want.ls, len(want.values))
		}
		if err := sameValue(want.values[0], promql.Point{T: s.T, F: s.F, H: s.H}); err != nil {
			return fmt.Errorf("%v: %w", s.Labels, err)
		}
	}
	return nil
}

// points compares series over the times of a grid.
func (e *expectation) points(got promql.Matrix, g grid) error {
	if len(got) != len(e.series) {
		return fmt.Errorf("got %d series, want %d: %v", len(got), len(e.series), got)
	}
	for i, s := range got {
		if i > 0 && labels.Compare(got[i-1].Labels, s.Labels) >= 0 {
			return fmt.Errorf("series %v comes before %v", got[i-1].Labels, s.Labels)
		}
		at := slices.IndexFunc(e.series, func(w expectedSeries) bool { return labels.Equal(w.ls, s.Labels) })
		if at < 0 {
			return fmt.Errorf("unexpected series %v", s.Labels)
		}
		if err := samePoints(e.series[at].values, &s.Points, g); err != nil {
			return fmt.Errorf("%v: %w", s.Labels, err)
		}
	}
	return nil
}

func samePoints(want []parser.SequenceValue, got *promql.Points, g grid) error {
	next := 0
	for i, w := range want {
		t := g.start.Milliseconds() + int64(i)*g.step.Milliseconds()
		if t > g.end.Milliseconds() {
			return fmt.Errorf("the script says something about %dms, after the end", t)
		}
		if w.Omitted {
			continue
		}
		if next >= got.Len() || got.T[next] != t {
			return fmt.Errorf("no value at %dms: got %v at %v", t, got.F, got.T)
		}
		if err := sameValue(w, got.At(next)); err != nil {
			return fmt.Errorf("at %dms: %w", t, err)
		}
		next++
	}
	if next < got.Len() {
		return fmt.Errorf("unexpected value %v at %dms", got.F[next], got.T[next])
	}
	return nil
}

func sameValue(want parser.SequenceValue, got promql.Point) error {
	switch {
	case want.Histogram == nil && got.H == nil:
		return sameFloat(want.Value, got.F)
	case want.Histogram == nil:
		return fmt.Errorf("got histogram %+v, want %v", got.H, want.Value)
	case got.H == nil:
		return fmt.Errorf("got %v, want a histogram", got.F)
	default:
		return sameHistogram(want, got.H)
	}
}

// tolerance is the relative error that results may have.
const tolerance = 1e-6

func sameFloat(want, got float64) error {
	if almostEqual(want, got) {
		return nil
	}
	return fmt.Errorf("got %v, want %v", got, want)
}

func almostEqual(a, b float64) bool {
	const minNormal = 0x1p-1022
	if sample.IsStale(a) || sample.IsStale(b) {
		return sample.IsStale(a) && sample.IsStale(b)
	}
	if a == b || math.IsNaN(a) && math.IsNaN(b) {
		return true
	}
	sum, diff := math.Abs(a)+math.Abs(b), math.Abs(a-b)
	if a == 0 || b == 0 || sum < minNormal {
		return diff < tolerance*minNormal
	}
	return diff/min(sum, math.MaxFloat64) < tolerance
}

func describe(v promql.Vector) string {
	var b strings.Builder
	for _, s := range v {
		fmt.Fprintf(&b, "\n  %v %v", s.Labels, s.F)
		if s.H != nil {
			fmt.Fprintf(&b, " %+v", *s.H)
		}
	}
	return b.String()
}
