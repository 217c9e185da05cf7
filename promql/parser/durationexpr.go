package parser

// What messages say can stand where a duration is missing.
const (
	durationWords   = "number, duration, step(), or range()"
	durationWordsOr = "number, duration, step(), range(), or "
)

// duration parses a duration, which may be a calculation; context and expected are for messages.
func (s *state) duration(context, expected string) Expr {
	return (&durationParser{s, context, expected}).binary(0)
}

// offsetDuration parses the duration of an offset. There, a calculation needs parentheses, so that the operators
// behind it are those of the expression; but as upstream has it, what begins with a parenthesis goes on behind it.
func (s *state) offsetDuration() Expr {
	if s.tok.kind == tokLeftParen {
		return s.duration("offset", durationWords)
	}
	return (&durationParser{s, "offset", durationWords}).unary(nil)
}

// positive checks that a fixed duration is longer than nothing.
func (s *state) positive(d Expr) {
	if n, ok := d.(*NumberLiteral); ok && secondsToDuration(n.Val) <= 0 {
		s.addf(n.PosRange, "duration must be greater than 0")
	}
}

type durationParser struct {
	*state
	context, expected string
}

func (p *durationParser) binary(lowest int) Expr {
	p.enter()
	defer func() { p.depth-- }()
	lhs := p.unary(func() Expr { return p.binary(precedence(OpPow)) })
	for p.tok.kind == tokOperator && precedence(p.tok.op) >= lowest {
		op, ok := durationOp(p.tok.op)
		if !ok {
			break
		}
		p.lengthen()
		sign := p.take()
		next := precedence(sign.op) + 1
		if sign.op == OpPow {
			next = precedence(OpPow)
		}
		rhs := p.binary(next)
		if n, ok := rhs.(*NumberLiteral); ok && n.Val == 0 {
			switch op {
			case DurationDiv:
				p.add(sign.pos, errDivisionByZero)
			case DurationMod:
				p.add(sign.pos, errModuloByZero)
			}
		}
		lhs = &DurationExpr{
			Op: op, LHS: lhs, RHS: rhs,
			PosRange: PositionRange{lhs.PositionRange().Start, rhs.PositionRange().End},
		}
	}
	return lhs
}

// signed parses an operand that may have signs.
func (p *durationParser) signed() Expr { return p.unary(p.signed) }

// unary parses a duration that may have signs. A sign reaches over what operand parses, or else the next operand. A plus says
// nothing, but that of an offset, which has no operand to parse, stays in the tree before a function, as upstream has it.
func (p *durationParser) unary(operand func() Expr) Expr {
	if !p.tok.isSign() {
		return p.primary()
	}
	p.enter()
	defer func() { p.depth-- }()
	sign := p.take()
	kept := operand == nil && p.tok.kind == tokTime
	if operand == nil {
		operand = p.signed
	}
	e := operand()
	pos := PositionRange{sign.pos.Start, e.PositionRange().End}
	n, isNumber := e.(*NumberLiteral)
	switch {
	case isNumber:
		if sign.op == OpSub {
			n.Val = -n.Val
		}
		n.PosRange = pos
	case sign.op == OpSub:
		return &DurationExpr{Op: DurationSub, RHS: e, PosRange: pos}
	case kept:
		return &DurationExpr{Op: DurationAdd, RHS: e, PosRange: pos}
	}
	return e
}

func (p *durationParser) primary() Expr {
	start := p.tok.pos.Start
	switch t := p.tok; {
	case t.kind == tokNumber, t.kind == tokDuration:
		n := p.number()
		if !durationInRange(n.Val) {
			p.add(n.PosRange, errDurationRange)
		}
		return n
	case t.kind == tokLeftParen:
		p.advance()
		e := p.binary(0)
		p.expect(tokRightParen, p.context, p.expected)
		d, ok := e.(*DurationExpr)
		if !ok {
			d = &DurationExpr{Op: DurationPlain, RHS: e, PosRange: PositionRange{start, e.PositionRange().End}}
		}
		d.Wrapped = true
		return d
	case t.isTime("step"), t.isTime("range"):
		p.advance()
		p.expect(tokLeftParen, p.context, p.expected)
		p.expect(tokRightParen, p.context, p.expected)
		op := DurationStep
		if t.isTime("range") {
			op = DurationRange
		}
		return &DurationExpr{Op: op, PosRange: p.since(start)}
	case t.isTime("min_of"), t.isTime("max_of"):
		p.advance()
		p.expect(tokLeftParen, p.context, p.expected)
		d := &DurationExpr{Op: DurationMinOf}
		if t.isTime("max_of") {
			d.Op = DurationMaxOf
		}
		d.LHS = p.binary(0)
		p.expect(tokComma, p.context, p.expected)
		d.RHS = p.binary(0)
		p.expect(tokRightParen, p.context, p.expected)
		// Upstream has the place of the arguments, not that of the name before them.
		d.PosRange = PositionRange{d.LHS.PositionRange().Start, d.RHS.PositionRange().End}
		return d
	}
	p.unexpected(p.context, p.expected)
	return nil
}

func durationOp(op BinaryOp) (DurationOp, bool) {
	switch op {
	case OpAdd:
		return DurationAdd, true
	case OpSub:
		return DurationSub, true
	case OpMul:
		return DurationMul, true
	case OpDiv:
		return DurationDiv, true
	case OpMod:
		return DurationMod, true
	case OpPow:
		return DurationPow, true
	default:
		return 0, false
	}
}
