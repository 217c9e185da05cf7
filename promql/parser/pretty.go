package parser

import "strings"

const (
	// maxPrettyLine is the length up to which an expression stays in one line, in bytes.
	maxPrettyLine = 100
	// maxIndent bounds the indentation, which would otherwise grow with the square of a chain's length.
	maxIndent = 100
)

// Pretty prints an expression over as many lines as it takes for each of them to be readable: what is longer than 100
// bytes is split at its operands or arguments, two spaces deeper.
func Pretty(e Expr) string {
	text, _ := PrettyUnless(func() error { return nil }, e) // Nobody gives up.
	return text
}

// PrettyUnless is [Pretty] for expressions that may be long: it asks ended now and then, and gives up with its error.
func PrettyUnless(ended func() error, e Expr) (string, error) {
	p := prettyPrinter{printer: printer{spans: map[Node]span{}, pace: &pace{ended: ended}}}
	p.printer.node(e)
	p.split(e, 0)
	return p.out.String(), p.printer.pace.err
}

// prettyPrinter cuts the one-line form, of which it knows where each node stands.
type prettyPrinter struct {
	printer printer
	out     strings.Builder
}

// pace asks now and then whether to give up.
type pace struct {
	ended func() error
	nodes int
	err   error
}

// over counts a node, and reports whether to give up.
func (p *pace) over() bool {
	if p == nil {
		return false
	}
	if p.nodes++; p.err == nil && p.nodes%256 == 0 {
		p.err = p.ended()
	}
	return p.err != nil
}

func (p *prettyPrinter) indent(level int) {
	for range min(level, maxIndent) {
		p.out.WriteString("  ")
	}
}

// oneLine returns the node in one line.
func (p *prettyPrinter) oneLine(n Node) []byte {
	at := p.printer.spans[n]
	return p.printer.buf[at.start:at.end]
}

// after returns what the given function prints.
func after(print func(*printer)) string {
	var p printer
	print(&p)
	return string(p.buf)
}

func (p *prettyPrinter) split(e Expr, level int) {
	if p.printer.pace.over() {
		return
	}
	long := len(p.oneLine(e)) > maxPrettyLine
	switch e := e.(type) {
	case *BinaryExpr:
		if long {
			p.split(e.LHS, level+1)
			p.out.WriteByte('\n')
			p.indent(level)
			p.out.WriteString(after(func(q *printer) { q.operator(e) }))
			p.out.WriteByte('\n')
			p.split(e.RHS, level+1)
			return
		}
	case *ParenExpr:
		if long {
			p.indent(level)
			p.out.WriteString("(\n")
			p.split(e.Expr, level+1)
			p.close(level)
			return
		}
	case *AggregateExpr:
		if long {
			args := []Expr{e.Expr}
			if e.Param != nil {
				args = []Expr{e.Param, e.Expr}
			}
			p.arguments(after(func(q *printer) { q.aggregation(e) }), args, level)
			return
		}
	case *Call:
		if long {
			p.arguments(e.Func.Name, e.Args, level)
			return
		}
	case *SubqueryExpr:
		if long {
			p.split(e.Expr, level)
			p.out.WriteString(after(func(q *printer) { q.subqueryTail(e) }))
			return
		}
		// Upstream does not indent it, and format_query has to answer as upstream's does.
		p.out.Write(p.oneLine(e))
		return
	case *UnaryExpr:
		if long {
			p.unary(e, level)
			return
		}
	}
	p.indent(level)
	p.out.Write(p.oneLine(e))
}

// unary prints the sign before the first letter of what follows.
func (p *prettyPrinter) unary(e *UnaryExpr, level int) {
	inner := prettyPrinter{printer: p.printer}
	inner.split(e.Expr, level)
	p.indent(level)
	p.out.WriteString(e.Op.String())
	p.out.WriteString(strings.TrimLeft(inner.out.String(), " "))
}

func (p *prettyPrinter) arguments(head string, args []Expr, level int) {
	p.indent(level)
	p.out.WriteString(head)
	p.out.WriteString("(\n")
	for i, arg := range args {
		if i > 0 {
			p.out.WriteString(",\n")
		}
		p.split(arg, level+1)
	}
	p.close(level)
}

func (p *prettyPrinter) close(level int) {
	p.out.WriteByte('\n')
	p.indent(level)
	p.out.WriteByte(')')
}
