package parser

import (
	"math"
	"time"

	"github.com/narthex-io/narthex/model/labels"
)

func (s *state) vectorSelector() *VectorSelector {
	start := s.tok.pos.Start
	v := &VectorSelector{}
	if s.tok.kind != tokLeftBrace {
		v.Name = s.take().text
	}
	if s.tok.kind == tokLeftBrace {
		v.Matchers = s.matchers()
	}
	v.PosRange = s.since(start)
	if v.Name != "" {
		v.Matchers = append(v.Matchers, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, v.Name))
	}
	return v
}

// matchers parses label matchers in braces; a comma may follow the last. A string without operator is a metric name.
func (s *state) matchers() []*labels.Matcher {
	const context = "label matching"
	s.advance()
	var ms []*labels.Matcher
	for s.tok.kind != tokRightBrace {
		name := s.tok
		switch name.kind {
		case tokIdentifier:
			s.advance()
			ms = s.matcher(ms, name, name.text)
		case tokString:
			s.advance()
			if _, ok := s.matchType(); ok {
				ms = s.matcher(ms, name, unquote(name.text))
			} else {
				ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, unquote(name.text)))
			}
		default:
			s.unexpected(context, `identifier or "}"`)
		}
		if s.tok.kind == tokRightBrace {
			break
		}
		s.expect(tokComma, context, `"," or "}"`)
	}
	s.advance()
	return ms
}

// matcher parses operator and value behind the name of a label, and appends the matcher.
func (s *state) matcher(ms []*labels.Matcher, at token, name string) []*labels.Matcher {
	const context = "label matching"
	matchType, ok := s.matchType()
	if !ok {
		s.unexpected(context, "label matching operator")
	}
	s.advance()
	value := s.expect(tokString, context, "string")
	s.checkEnd() // An expression may be long, and there may be many of them.
	m, err := s.newMatcher(matchType, name, unquote(value.text))
	if err != nil {
		s.add(PositionRange{at.pos.Start, value.pos.End}, err)
		return ms
	}
	return append(ms, m)
}

// newMatcher makes a matcher, unless the caller gives up meanwhile.
func (s *state) newMatcher(t labels.MatchType, name, value string) (*labels.Matcher, error) {
	if s.opts.Ended == nil {
		return labels.NewMatcher(t, name, value)
	}
	m, err := labels.NewMatcherUnless(s.opts.Ended, t, name, value)
	if err != nil {
		s.checkEnd()
	}
	return m, err
}

func (s *state) matchType() (labels.MatchType, bool) {
	switch s.tok.kind {
	case tokAssign:
		return labels.MatchEqual, true
	case tokMatchNotEqual:
		return labels.MatchNotEqual, true
	case tokMatchRegexp:
		return labels.MatchRegexp, true
	case tokMatchNotRegexp:
		return labels.MatchNotRegexp, true
	default:
		return 0, false
	}
}

// metric parses the name and labels of a series; either may be missing.
func (s *state) metric() labels.Labels {
	const context = "label set"
	b := labels.NewBuilder(labels.EmptyLabels())
	name := ""
	if s.tok.isMetricName() {
		name = s.take().text
	}
	if s.tok.kind == tokLeftBrace {
		s.advance()
		for s.tok.kind != tokRightBrace {
			label := s.tok
			text := label.text
			switch label.kind {
			case tokIdentifier:
			case tokString:
				text = unquote(text)
			default:
				s.unexpected(context, `identifier or "}"`)
			}
			s.advance()
			if label.kind == tokString && s.tok.kind != tokAssign {
				b.Set(labels.MetricName, text)
			} else {
				s.expect(tokAssign, context, `"="`)
				b.Set(text, unquote(s.expect(tokString, context, "string").text))
			}
			if s.tok.kind == tokRightBrace {
				break
			}
			s.expect(tokComma, context, `"," or "}"`)
		}
		s.advance()
	}
	if name != "" {
		b.Set(labels.MetricName, name)
	}
	return b.Labels()
}

// bracket parses a range, or range and step of a subquery, behind e.
func (s *state) bracket(e Expr) Expr {
	open := s.take().pos.Start
	rangeExpr := s.duration("subquery or range selector", durationWords)
	s.positive(rangeExpr)
	if s.tok.kind == tokColon {
		return s.subquery(e, rangeExpr)
	}
	s.expect(tokRightBracket, "subquery or range", `":" or "]"`)
	v, ok := e.(*VectorSelector)
	switch {
	case !ok:
		s.addf(s.since(open), "ranges only allowed for vector selectors")
		return e
	case v.Offset != 0 || v.OffsetExpr != nil:
		s.addf(s.since(open), "no offset modifiers allowed before range")
	case v.Timestamp != nil || v.StartOrEnd != AnchorNone:
		s.addf(s.since(open), "no @ modifiers allowed before range")
	}
	m := &MatrixSelector{VectorSelector: v, PosRange: s.since(v.PosRange.Start)}
	m.Range, m.RangeExpr = constant(rangeExpr)
	return m
}

func (s *state) subquery(e, rangeExpr Expr) Expr {
	const context, expected = "subquery selector", durationWordsOr + `"]"`
	q := &SubqueryExpr{Expr: e}
	q.Range, q.RangeExpr = constant(rangeExpr)
	s.advance()
	if s.tok.kind != tokRightBracket {
		step := s.duration(context, expected)
		s.positive(step)
		q.Step, q.StepExpr = constant(step)
	}
	s.expect(tokRightBracket, context, `"]"`)
	q.PosRange = s.since(e.PositionRange().Start)
	return q
}

// shifted returns what the modifiers offset and @ act on, and a function that extends it over what was parsed.
func (s *state) shifted(e Expr, modifier string) (shift *TimeShift, extend func()) {
	switch e := e.(type) {
	case *VectorSelector:
		return &e.TimeShift, func() { e.PosRange.End = s.prevEnd }
	case *MatrixSelector:
		return &e.VectorSelector.TimeShift, func() { e.PosRange.End = s.prevEnd }
	case *SubqueryExpr:
		return &e.TimeShift, func() { e.PosRange.End = s.prevEnd }
	}
	s.addf(e.PositionRange(), "%s modifier must be preceded by an instant vector selector or range vector selector or a subquery", modifier)
	return &TimeShift{}, func() {}
}

func (s *state) offset(e Expr) {
	s.advance()
	d := s.offsetDuration()
	shift, extend := s.shifted(e, "offset")
	if shift.Offset != 0 || shift.OffsetExpr != nil {
		s.addf(e.PositionRange(), "offset may not be set multiple times")
		return
	}
	shift.Offset, shift.OffsetExpr = constant(d)
	extend()
}

// at parses an @ modifier behind e.
func (s *state) at(e Expr) {
	const context, expected = "@", "timestamp"
	s.advance()
	var timestamp *int64
	anchor := AnchorNone
	switch {
	case s.tok.isTime("start"):
		anchor = AnchorStart
	case s.tok.isTime("end"):
		anchor = AnchorEnd
	default:
		n := s.signedNumber(context, expected)
		ms := math.Round(n.Val * 1000)
		if math.IsNaN(ms) || ms >= math.MaxInt64 || ms <= math.MinInt64 {
			s.addf(e.PositionRange(), "timestamp out of bounds for @ modifier: %f", n.Val)
			return
		}
		t := int64(ms)
		timestamp = &t
	}
	if anchor != AnchorNone {
		s.advance()
		s.expect(tokLeftParen, context, expected)
		s.expect(tokRightParen, context, expected)
	}
	shift, extend := s.shifted(e, "@")
	if shift.Timestamp != nil || shift.StartOrEnd != AnchorNone {
		s.addf(e.PositionRange(), "@ <timestamp> may not be set multiple times")
		return
	}
	shift.Timestamp, shift.StartOrEnd = timestamp, anchor
	extend()
}

// extended parses anchored or smoothed behind e.
func (s *state) extended(e Expr) {
	modifier := s.take()
	name := modifier.lower()
	if !s.opts.EnableExtendedRangeSelectors {
		s.addf(e.PositionRange(), "%s modifier is experimental and not enabled", name)
		return
	}
	var v *VectorSelector
	switch e := e.(type) {
	case *VectorSelector:
		v = e
	case *MatrixSelector:
		v = e.VectorSelector
	case *SubqueryExpr:
		s.addf(e.PosRange, "%s modifier is not supported for subqueries", name)
		return
	default:
		s.addf(e.PositionRange(), "%s modifier not implemented", name)
		return
	}
	v.Anchored = v.Anchored || name == "anchored"
	v.Smoothed = v.Smoothed || name == "smoothed"
	if v.Anchored && v.Smoothed {
		s.addf(e.PositionRange(), "anchored and smoothed modifiers cannot be used together")
	}
}

// constant splits a duration into a fixed length or, where that must be calculated, an expression.
func constant(d Expr) (time.Duration, *DurationExpr) {
	switch d := d.(type) {
	case *NumberLiteral:
		return secondsToDuration(d.Val), nil
	case *DurationExpr:
		return 0, d
	default:
		return 0, nil
	}
}
