package parser

import (
	"time"
	"unicode/utf8"
)

// precedence returns how tightly an operator binds; those of higher numbers bind first.
func precedence(op BinaryOp) int {
	switch op {
	case OpOr:
		return 1
	case OpAnd, OpUnless:
		return 2
	case OpAdd, OpSub:
		return 4
	case OpMul, OpDiv, OpMod, OpAtan2:
		return 5
	case OpPow:
		return 6
	default:
		return 3
	}
}

func (s *state) expr() Expr { return s.binary(0) }

// binary parses operands joined by operators that bind at least as tightly as lowest. A chain of operators that
// associate to the left is a loop, so that its length is not limited.
func (s *state) binary(lowest int) Expr {
	s.enter()
	defer func() { s.depth-- }()
	lhs := s.unary()
	for s.tok.kind == tokOperator && precedence(s.tok.op) >= lowest {
		s.lengthen()
		b := &BinaryExpr{Op: s.tok.op, LHS: lhs}
		s.operator(b)
		if b.Op == OpPow {
			b.RHS = s.binary(precedence(b.Op))
		} else {
			b.RHS = s.binary(precedence(b.Op) + 1)
		}
		b.PosRange = PositionRange{lhs.PositionRange().Start, b.RHS.PositionRange().End}
		b.typ = ValueTypeVector
		if lhs.Type() == ValueTypeScalar && b.RHS.Type() == ValueTypeScalar {
			b.typ = ValueTypeScalar
		}
		if (b.Matching.FillLHS != nil || b.Matching.FillRHS != nil) && !s.opts.EnableBinopFillModifiers {
			s.addf(b.PosRange, "binop fill modifiers are experimental and not enabled")
		}
		lhs = b
	}
	return lhs
}

// unary parses an operand that may have a sign, which binds like multiplication: -a^2 is -(a^2).
func (s *state) unary() Expr {
	if !s.tok.isSign() {
		return s.postfix(s.primary())
	}
	sign := s.take()
	e := s.binary(precedence(OpPow))
	pos := PositionRange{sign.pos.Start, e.PositionRange().End}
	if n, ok := e.(*NumberLiteral); ok {
		if sign.op == OpSub {
			n.Val = -n.Val
		}
		n.PosRange = pos
		return n
	}
	return &UnaryExpr{Op: sign.op, Expr: e, PosRange: pos, typ: e.Type()}
}

// postfix parses what can follow any operand: ranges and modifiers.
func (s *state) postfix(e Expr) Expr {
	for {
		switch {
		case s.tok.kind == tokLeftBracket:
			s.lengthen()
			e = s.bracket(e)
		case s.tok.kind == tokAt:
			s.at(e)
		case s.tok.isKeyword("offset"):
			s.offset(e)
		case s.tok.isKeyword("anchored"), s.tok.isKeyword("smoothed"):
			s.extended(e)
		default:
			return e
		}
	}
}

func (s *state) primary() Expr {
	t := s.tok
	switch {
	case t.kind == tokNumber, t.kind == tokDuration:
		return s.number()
	case t.kind == tokString:
		s.advance()
		return &StringLiteral{Val: unquote(t.text), PosRange: t.pos}
	case t.kind == tokLeftParen:
		s.advance()
		e := s.expr()
		s.expect(tokRightParen, "", "")
		return &ParenExpr{Expr: e, PosRange: s.since(t.pos.Start), typ: e.Type()}
	case (t.kind == tokIdentifier || t.kind == tokTime) && s.parenFollows():
		return s.call()
	case t.kind == tokAggregation && s.aggregationFollows():
		return s.aggregate()
	case t.kind == tokLeftBrace, t.isMetricName():
		return s.vectorSelector()
	}
	s.unexpected("", "")
	return nil
}

func (s *state) number() *NumberLiteral {
	t := s.tok
	n := &NumberLiteral{Duration: t.kind == tokDuration, PosRange: t.pos}
	var err error
	if n.Duration {
		var d time.Duration
		d, err = parseDuration(t.text)
		n.Val = d.Seconds()
	} else {
		n.Val, err = parseNumber(t.text)
	}
	if err != nil {
		s.add(t.pos, err)
	}
	s.advance()
	return n
}

// aggregationFollows reports whether what is behind the name of an aggregation makes it one; else it is a metric's.
func (s *state) aggregationFollows() bool {
	ahead := s.lex
	t := ahead.next()
	return t.kind == tokLeftParen || t.isKeyword("by") || t.isKeyword("without")
}

func (s *state) aggregate() Expr {
	name := s.take()
	a := &AggregateExpr{Op: name.agg}
	clause := s.grouping(a)
	if s.tok.kind != tokLeftParen {
		s.unexpected("aggregation", "")
	}
	s.aggregations++
	args := s.arguments()
	s.advance()
	s.aggregations--
	if !clause {
		s.grouping(a)
	}
	a.PosRange = s.since(name.pos.Start)
	s.aggregateArguments(a, args)
	return a
}

func (s *state) aggregateArguments(a *AggregateExpr, args []Expr) {
	want := 1
	if a.Op.TakesParam() {
		want = 2
	}
	switch {
	case len(args) == 0:
		s.addf(a.PosRange, "no arguments for aggregate expression provided")
		return
	case a.Op.IsExperimental() && !s.opts.EnableExperimentalFunctions:
		s.addf(a.PosRange, "%s() is experimental and must be enabled with --enable-feature=promql-experimental-functions", a.Op)
	case len(args) != want:
		s.addf(a.PosRange, "wrong number of arguments for aggregate expression provided, expected %d, got %d", want, len(args))
	}
	a.Expr = args[len(args)-1]
	if want == 2 {
		a.Param = args[0]
	}
}

// grouping parses by (…) or without (…), if it is there.
func (s *state) grouping(a *AggregateExpr) bool {
	if !s.tok.isKeyword("by") && !s.tok.isKeyword("without") {
		return false
	}
	a.Without = s.tok.isKeyword("without")
	s.advance()
	a.Grouping = s.labelNames()
	return true
}

// labelNames parses label names in parentheses; a comma may follow the last.
func (s *state) labelNames() []string {
	const context = "grouping opts"
	s.expect(tokLeftParen, context, `"("`)
	names := []string{}
	for s.tok.kind != tokRightParen {
		switch {
		case s.tok.isWord():
			names = append(names, s.tok.text)
		case s.tok.kind == tokString:
			name := unquote(s.tok.text)
			if name == "" || !utf8.ValidString(name) {
				s.addf(s.tok.pos, "invalid label name for grouping: %q", name)
			}
			names = append(names, name)
		default:
			s.unexpected(context, "label")
		}
		s.advance()
		if s.tok.kind == tokRightParen {
			break
		}
		s.expect(tokComma, context, `"," or ")"`)
	}
	s.advance()
	return names
}

// arguments parses expressions in parentheses, but for the right one, which is the next token when it returns.
func (s *state) arguments() []Expr {
	s.expect(tokLeftParen, "", "")
	var args []Expr
	for s.tok.kind != tokRightParen {
		args = append(args, s.expr())
		if s.tok.kind != tokComma {
			break
		}
		comma := s.take()
		if !s.tok.startsExpr() {
			s.addf(comma.pos, "trailing commas not allowed in function call args")
			break
		}
	}
	if s.tok.kind != tokRightParen {
		s.unexpected("", "")
	}
	return args
}

func (s *state) call() Expr {
	name := s.take()
	c := &Call{Args: s.arguments(), PosRange: PositionRange{name.pos.Start, s.tok.pos.End}}
	f, ok := LookupFunction(name.text)
	switch {
	case !ok:
		f = &Function{Name: name.text, ReturnType: ValueTypeNone}
		s.addf(name.pos, "unknown function with name %q", name.text)
	case f.Experimental && !s.opts.EnableExperimentalFunctions:
		s.addf(name.pos, "function %q is not enabled", name.text)
	}
	c.Func = f
	s.advance()
	return c
}
