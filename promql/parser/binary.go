package parser

// operator parses an operator and its modifiers into b.
func (s *state) operator(b *BinaryExpr) {
	start := s.take().pos.Start
	b.Matching = &VectorMatching{Card: CardOneToOne}
	if b.Op.IsSet() {
		b.Matching.Card = CardManyToMany
	}
	if s.tok.isKeyword("bool") {
		b.ReturnBool = true
		s.advance()
	}
	if s.tok.isKeyword("on") || s.tok.isKeyword("ignoring") {
		b.Matching.On = s.tok.isKeyword("on")
		s.advance()
		b.Matching.Labels = s.labelNames()
		s.group(b.Matching)
	}
	s.fill(b.Matching)
	b.opPos = s.since(start)
}

// group parses group_left or group_right, whose labels may be left out.
func (s *state) group(m *VectorMatching) {
	switch {
	case s.tok.isKeyword("group_left"):
		m.Card = CardManyToOne
	case s.tok.isKeyword("group_right"):
		m.Card = CardOneToMany
	default:
		return
	}
	s.advance()
	if s.tok.kind == tokLeftParen || !s.tok.startsExpr() {
		m.Include = s.labelNames()
	}
}

// fill parses fill, or one or both of fill_left and fill_right.
func (s *state) fill(m *VectorMatching) {
	for s.tok.kind == tokFill {
		var both, left bool
		switch s.tok.lower() {
		case "fill":
			both = true
		case "fill_left":
			left = true
		}
		taken := m.FillRHS != nil
		if left {
			taken = m.FillLHS != nil
		}
		if taken || both && m.FillLHS != nil {
			return
		}
		s.advance()
		s.expect(tokLeftParen, "", "")
		v := s.signedNumber("", "").Val
		s.expect(tokRightParen, "", "")
		if both || left {
			m.FillLHS = &v
		}
		if both || !left {
			m.FillRHS = &v
		}
	}
}

// signedNumber parses a number or duration that may have a sign.
func (s *state) signedNumber(context, expected string) *NumberLiteral {
	start := s.tok.pos.Start
	negative := s.tok.isSign() && s.tok.op == OpSub
	if s.tok.isSign() {
		s.advance()
	}
	if s.tok.kind != tokNumber && s.tok.kind != tokDuration {
		s.unexpected(context, expected)
	}
	n := s.number()
	if negative {
		n.Val = -n.Val
	}
	n.PosRange.Start = start
	return n
}
