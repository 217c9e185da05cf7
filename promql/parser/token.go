package parser

import (
	"fmt"
	"strings"
)

// tokenKind is what a piece of text is. Operators and aggregations have one kind each and say which they are in the
// token's op and agg.
type tokenKind uint8

const (
	tokEOF tokenKind = iota
	// tokError is what cannot be a token; the message is its text.
	tokError
	tokIdentifier
	// tokMetricIdentifier is an identifier with a colon.
	tokMetricIdentifier
	tokNumber
	tokDuration
	tokString
	tokOperator
	tokAggregation
	tokKeyword
	// tokFill is fill, fill_left or fill_right with a left parenthesis behind it; else they are identifiers.
	tokFill
	// tokTime is start, end, step, range, min_of or max_of: names that mean something after @ or in a duration.
	tokTime
	tokAt
	tokLeftParen
	tokRightParen
	tokLeftBrace
	tokRightBrace
	tokLeftBracket
	tokRightBracket
	tokComma
	tokColon
	// tokAssign is =; the other matching operators stand inside of braces alone, except !=.
	tokAssign
	tokMatchNotEqual
	tokMatchRegexp
	tokMatchNotRegexp
)

type token struct {
	kind tokenKind
	op   BinaryOp
	agg  AggregateOp
	// text is as written, or the message of an error.
	text string
	pos  PositionRange
}

// lower returns the token's text as keywords are compared.
func (t *token) lower() string { return strings.ToLower(t.text) }

// isKeyword reports whether the token is the keyword, in whichever case.
func (t *token) isKeyword(keyword string) bool {
	return (t.kind == tokKeyword || t.kind == tokFill) && strings.EqualFold(t.text, keyword)
}

// isTime reports whether the token is the name, in whichever case.
func (t *token) isTime(name string) bool {
	return t.kind == tokTime && strings.EqualFold(t.text, name)
}

// isSign reports whether the token is + or -.
func (t *token) isSign() bool { return t.kind == tokOperator && t.op <= OpSub }

// isMetricName reports whether the token can stand as a metric name outside of braces.
func (t *token) isMetricName() bool {
	switch t.kind {
	case tokIdentifier, tokMetricIdentifier, tokAggregation, tokTime, tokFill:
		return true
	case tokOperator:
		return t.op.IsSet()
	case tokKeyword:
		switch t.lower() {
		case "by", "without", "offset", "anchored", "smoothed":
			return true
		}
	}
	return false
}

// startsExpr reports whether an expression can begin with the token.
func (t *token) startsExpr() bool {
	switch t.kind {
	case tokNumber, tokDuration, tokString, tokLeftParen, tokLeftBrace:
		return true
	default:
		return t.isSign() || t.isMetricName()
	}
}

// isWord reports whether the token is written as an identifier is.
func (t *token) isWord() bool {
	switch t.kind {
	case tokIdentifier, tokMetricIdentifier, tokAggregation, tokKeyword, tokFill, tokTime:
		return true
	case tokOperator:
		return t.op.IsSet() || t.op == OpAtan2
	default:
		return false
	}
}

// String returns the token as it stands in messages.
func (t *token) String() string {
	switch t.kind {
	case tokEOF:
		return "end of input"
	case tokIdentifier:
		return fmt.Sprintf("identifier %q", t.text)
	case tokMetricIdentifier:
		return fmt.Sprintf("metric identifier %q", t.text)
	case tokNumber:
		return "number " + excerpt(t.text)
	case tokDuration:
		return "duration " + excerpt(t.text)
	case tokString:
		return "string " + excerpt(t.text)
	case tokOperator, tokMatchNotEqual, tokMatchRegexp, tokMatchNotRegexp, tokAt:
		return "<op:" + t.text + ">"
	case tokAggregation:
		return "<aggr:" + t.text + ">"
	case tokKeyword, tokFill:
		return "<" + t.text + ">"
	default:
		return fmt.Sprintf("%q", t.text)
	}
}

// excerpt quotes the beginning of a text.
func excerpt(text string) string {
	if len(text) > 10 {
		return fmt.Sprintf("%.10q...", text)
	}
	return fmt.Sprintf("%q", text)
}

// wordToken returns what an identifier outside of braces is.
func wordToken(text string) token {
	if strings.Contains(text, ":") {
		return token{kind: tokMetricIdentifier, text: text}
	}
	t := token{kind: tokIdentifier, text: text}
	switch lower := strings.ToLower(text); lower {
	case "and":
		t.kind, t.op = tokOperator, OpAnd
	case "or":
		t.kind, t.op = tokOperator, OpOr
	case "unless":
		t.kind, t.op = tokOperator, OpUnless
	case "atan2":
		t.kind, t.op = tokOperator, OpAtan2
	case "bool", "on", "ignoring", "group_left", "group_right", "by", "without", "offset",
		"anchored", "smoothed":
		t.kind = tokKeyword
	case "fill", "fill_left", "fill_right":
		t.kind = tokFill
	case "start", "end", "step", "range", "min_of", "max_of":
		t.kind = tokTime
	case "inf", "nan":
		t.kind = tokNumber
	default:
		for agg := range aggCount {
			if agg.String() == lower {
				t.kind, t.agg = tokAggregation, agg
			}
		}
	}
	return t
}
