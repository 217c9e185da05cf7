package api

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// parseQuery answers with the syntax tree of a query, in the form that Prometheus's tree view reads.
func (a *api) parseQuery(r *http.Request) (*answer, error) {
	ended := r.Context().Err
	expr, err := a.Parser.Unless(ended).ParseExpr(r.FormValue("query"))
	if err != nil {
		return nil, invalid("query", err)
	}
	f := forest{ended: ended}
	t := f.tree(expr)
	if f.err != nil {
		return nil, invalid("query", f.err)
	}
	return &answer{write: func(e *encoder) { e.tree(t) }}, nil
}

// object is a JSON object. Its keys are sorted when it is encoded.
type object map[string]any

// tree appends an object, piece by piece: that of a long query is many megabytes.
func (e *encoder) tree(v any) {
	switch v := v.(type) {
	case object:
		e.raw("{")
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				e.raw(",")
			}
			e.json(key)
			e.raw(":")
			e.tree(v[key])
		}
		e.raw("}")
		e.write()
	case []any:
		e.raw("[")
		for i, element := range v {
			if i > 0 {
				e.raw(",")
			}
			e.tree(element)
		}
		e.raw("]")
	default:
		if e.err == nil { // Else the client has gone.
			e.json(v)
		}
	}
}

// forest makes trees, unless the request ends meanwhile.
type forest struct {
	ended func() error
	nodes int
	err   error
}

// over counts a node, and reports whether to give up.
func (f *forest) over() bool {
	if f.nodes++; f.err == nil && f.nodes%256 == 0 {
		f.err = f.ended()
	}
	return f.err != nil
}

// tree returns the JSON form of an expression; null for none.
func (f *forest) tree(e parser.Expr) any {
	if f.over() {
		return nil
	}
	switch e := e.(type) {
	case *parser.AggregateExpr:
		return object{
			"type": "aggregation", "op": e.Op.String(), "expr": f.tree(e.Expr), "param": f.tree(e.Param),
			"grouping": list(e.Grouping), "without": e.Without,
		}
	case *parser.BinaryExpr:
		return object{
			"type": "binaryExpr", "op": e.Op.String(), "lhs": f.tree(e.LHS), "rhs": f.tree(e.RHS),
			"matching": matchingTree(e.Matching), "bool": e.ReturnBool,
		}
	case *parser.Call:
		args := make([]any, len(e.Args))
		for i, arg := range e.Args {
			args[i] = f.tree(arg)
		}
		return object{"type": "call", "args": args, "func": object{
			"name": e.Func.Name, "argTypes": list(e.Func.ArgTypes), "variadic": e.Func.Variadic, "returnType": e.Func.ReturnType,
		}}
	case *parser.VectorSelector:
		return f.selectorTree("vectorSelector", e)
	case *parser.MatrixSelector:
		t := f.selectorTree("matrixSelector", e.VectorSelector)
		t["range"], t["rangeExpr"] = e.Range.Milliseconds(), f.durationTree(e.RangeExpr)
		return t
	case *parser.SubqueryExpr:
		t := f.shiftTree("subquery", &e.TimeShift)
		t["expr"] = f.tree(e.Expr)
		t["range"], t["rangeExpr"] = e.Range.Milliseconds(), f.durationTree(e.RangeExpr)
		t["step"], t["stepExpr"] = e.Step.Milliseconds(), f.durationTree(e.StepExpr)
		return t
	case *parser.DurationExpr:
		return f.durationTree(e)
	case *parser.NumberLiteral:
		return object{"type": "numberLiteral", "val": number(e.Val)}
	case *parser.StringLiteral:
		return object{"type": "stringLiteral", "val": e.Val}
	case *parser.ParenExpr:
		return object{"type": "parenExpr", "expr": f.tree(e.Expr)}
	case *parser.UnaryExpr:
		return object{"type": "unaryExpr", "op": e.Op.String(), "expr": f.tree(e.Expr)}
	default:
		return nil
	}
}

func matchingTree(m *parser.VectorMatching) any {
	if m == nil {
		return nil
	}
	return object{
		"card": m.Card.String(), "labels": list(m.Labels), "on": m.On, "include": list(m.Include),
		"fillValues": object{"lhs": fillValue(m.FillLHS), "rhs": fillValue(m.FillRHS)},
	}
}

// fillValue returns a number where JSON has it.
func fillValue(v *float64) any {
	if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
		return number(*v)
	}
	return v
}

func (f *forest) selectorTree(typ string, s *parser.VectorSelector) object {
	t := f.shiftTree(typ, &s.TimeShift)
	t["name"], t["matchers"] = s.Name, matcherTrees(s.Matchers)
	t["anchored"], t["smoothed"] = s.Anchored, s.Smoothed
	return t
}

func matcherTrees(ms []*labels.Matcher) []object {
	trees := make([]object, len(ms))
	for i, m := range ms {
		trees[i] = object{"name": m.Name, "value": m.Value, "type": m.Type.String()}
	}
	return trees
}

func (f *forest) shiftTree(typ string, s *parser.TimeShift) object {
	t := object{
		"type": typ, "offset": s.Offset.Milliseconds(), "offsetExpr": f.durationTree(s.OffsetExpr), "timestamp": s.Timestamp,
		"startOrEnd": nil,
	}
	if s.StartOrEnd != parser.AnchorNone {
		t["startOrEnd"] = s.StartOrEnd.String()
	}
	return t
}

// durationTree is tree for what stands inside of a duration; null for none.
func (f *forest) durationTree(d *parser.DurationExpr) any {
	if d == nil {
		return nil
	}
	op, plain := d.Op, d.Op == parser.DurationPlain
	if plain {
		op = parser.DurationAdd // Upstream shows a number in parentheses with a sign.
	}
	return object{
		"type": "durationExpr", "op": op.String(), "lhs": f.durationOperand(d.LHS), "rhs": f.durationOperand(d.RHS), "wrapped": d.Wrapped || plain,
	}
}

func (f *forest) durationOperand(e parser.Expr) any {
	if n, ok := e.(*parser.NumberLiteral); ok {
		return object{"type": "numberLiteral", "val": number(n.Val), "duration": n.Duration}
	}
	return f.tree(e)
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// list returns a list that is not null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
