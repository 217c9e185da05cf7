package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/promql/parser"
)

// Description is a node and what is below it, for people to read.
type Description struct {
	// Operator is the sort of the node, such as aggregate; Detail what it does, in the notation of queries.
	Operator string `json:"operator"`
	Detail   string `json:"detail,omitempty"`
	// Type is that of the value.
	Type string `json:"type"`
	// Start and End are where in the query the node comes from, in bytes.
	Start    int            `json:"start"`
	End      int            `json:"end"`
	Children []*Description `json:"children,omitempty"`
	// Node is what is described.
	Node Node `json:"-"`
}

// maxDescribed is how deep a description goes: readers of JSON refuse nesting that is deeper than some thousands.
const maxDescribed = 500

// Describe describes a plan as it is now. Parts below a certain depth are replaced by an operator "left out".
func Describe(n Node) *Description { return describe(n, maxDescribed) }

func describe(n Node, depth int) *Description {
	d := &Description{Type: string(n.Type()), Node: n}
	if pos := n.Pos(); pos.End > pos.Start {
		d.Start, d.End = pos.Start, pos.End
	}
	if depth == 0 {
		d.Operator, d.Node = "left out", nil
		return d
	}
	d.Operator, d.Detail = text(n)
	for _, c := range n.children() {
		d.Children = append(d.Children, describe(*c, depth-1))
	}
	return d
}

// text returns the sort of a node and what it does.
func text(n Node) (operator, detail string) {
	switch n := n.(type) {
	case *Number:
		return "number", strconv.FormatFloat(n.V, 'g', -1, 64)
	case *String:
		return "string", short(strconv.Quote(n.V))
	case *Selector:
		return "selector", short(n.text())
	case *Subquery:
		tail := (&parser.SubqueryExpr{
			Expr: &parser.NumberLiteral{}, Range: millis(n.Range), Step: millis(n.Step), TimeShift: n.syntax(),
		}).String()
		return "subquery", strings.TrimPrefix(tail, "0")
	case *Window:
		return "window", n.Func
	case *Call:
		return "call", n.Func
	case *Info:
		ms := parser.VectorSelector{Matchers: append(append(n.Names[:0:0], n.Names...), n.Data...), TimeShift: n.syntax()}
		return "info", short(ms.String())
	case *Aggregate:
		return "aggregate", short(n.text())
	case *Binary:
		zero := &parser.NumberLiteral{}
		e := (&parser.BinaryExpr{Op: n.Op, LHS: zero, RHS: zero, Matching: n.Matching, ReturnBool: n.ReturnBool}).String()
		return "binary", short(strings.TrimSuffix(strings.TrimPrefix(e, "0 "), " 0"))
	case *Negate:
		return "negate", ""
	case *StepInvariant:
		return "step invariant", ""
	default:
		return fmt.Sprintf("%T", n), ""
	}
}

func (n *Selector) text() string {
	s := &parser.VectorSelector{
		Name: n.Name, Matchers: n.Matchers, TimeShift: n.syntax(), Anchored: n.Anchored, Smoothed: n.Smoothed,
	}
	text := s.String()
	if n.Range > 0 {
		text = (&parser.MatrixSelector{VectorSelector: s, Range: millis(n.Range)}).String()
	}
	switch {
	case n.Timestamps:
		text += ", timestamps only"
	case n.Starts:
		text += ", start timestamps only"
	case n.TotalsOnly:
		text += ", no buckets of native histograms"
	}
	if n.Hints.Project {
		others := slices.DeleteFunc(slices.Clone(n.Hints.Labels), belongsToName)
		text += ", labels (" + strings.Join(others, ", ") + ")"
	}
	if n.Read != nil {
		text += fmt.Sprintf(", read %d", n.Read.Number)
	}
	return text
}

func (n *Aggregate) text() string {
	switch {
	case n.Without:
		return fmt.Sprintf("%s without (%s)", n.Op, strings.Join(n.Grouping, ", "))
	case len(n.Grouping) > 0:
		return fmt.Sprintf("%s by (%s)", n.Op, strings.Join(n.Grouping, ", "))
	default:
		return n.Op.String()
	}
}

// syntax returns a shift as it stands in queries.
func (s Shift) syntax() parser.TimeShift {
	return parser.TimeShift{Timestamp: s.At, Offset: millis(s.Offset)}
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// maxText is the length of a detail, in bytes, beyond which it is cut.
const maxText = 300

func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}
