package parser

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// endOfInput is the rune after the last.
const endOfInput = -1

// lexer cuts the text into tokens. It is a small value: copy it to look ahead.
type lexer struct {
	input string
	// start and pos are where the token being read begins and how far it is read.
	start, pos int
	// parens counts those that are open; of braces and brackets no more than one can be.
	parens    int
	inBraces  bool
	inBracket bool
	colonSeen bool
	// durationExpected holds from a left bracket to the first number behind it; durationSeen says that there was
	// a step() or the like.
	durationExpected, durationSeen bool
}

// next returns the next token. After an error the lexer must not be used.
func (l *lexer) next() token {
	l.skipBlanks()
	l.start = l.pos
	switch {
	case l.inBraces:
		return l.insideBraces()
	case l.durationExpected:
		return l.insideBracket()
	default:
		return l.outside()
	}
}

func (l *lexer) skipBlanks() {
	for l.pos < len(l.input) {
		switch c := l.input[l.pos]; {
		case isBlank(c):
			l.pos++
		case c == '#' && !l.durationExpected:
			if n := strings.IndexByte(l.input[l.pos:], '\n'); n >= 0 {
				l.pos += n
			} else {
				l.pos = len(l.input)
			}
		default:
			return
		}
	}
}

// read returns the rune at pos and moves behind it.
func (l *lexer) read() rune {
	if l.pos >= len(l.input) {
		return endOfInput
	}
	r, size := utf8.DecodeRuneInString(l.input[l.pos:])
	l.pos += size
	return r
}

func (l *lexer) peek() rune {
	if l.pos >= len(l.input) {
		return endOfInput
	}
	r, _ := utf8.DecodeRuneInString(l.input[l.pos:])
	return r
}

// accept moves behind the next byte if it is one of the set.
func (l *lexer) accept(set string) bool {
	if l.pos < len(l.input) && strings.IndexByte(set, l.input[l.pos]) >= 0 {
		l.pos++
		return true
	}
	return false
}

func (l *lexer) token(kind tokenKind) token {
	return token{kind: kind, text: l.input[l.start:l.pos], pos: PositionRange{l.start, l.pos}}
}

func (l *lexer) operator(op BinaryOp) token {
	t := l.token(tokOperator)
	t.op = op
	return t
}

// errorf returns an error that reaches from the token's start to the end of the text.
func (l *lexer) errorf(format string, args ...any) token {
	return token{kind: tokError, text: fmt.Sprintf(format, args...), pos: PositionRange{l.start, len(l.input)}}
}

func (l *lexer) insideBraces() token {
	switch r := l.read(); {
	case r == endOfInput:
		return l.errorf("unexpected end of input inside braces")
	case isLetter(r):
		for isLetter(l.peek()) || isDigit(l.peek()) {
			l.pos++
		}
		return l.token(tokIdentifier)
	case r == ',':
		return l.token(tokComma)
	case r == '"' || r == '\'' || r == '`':
		return l.quoted(r)
	case r == '=':
		if l.accept("~") {
			return l.token(tokMatchRegexp)
		}
		return l.token(tokAssign)
	case r == '!':
		switch next := l.read(); next {
		case '~':
			return l.token(tokMatchNotRegexp)
		case '=':
			return l.token(tokMatchNotEqual)
		default:
			return l.errorf("unexpected character after '!' inside braces: %q", next)
		}
	case r == '{':
		return l.errorf("unexpected left brace %q", r)
	case r == '}':
		l.inBraces = false
		return l.token(tokRightBrace)
	default:
		return l.errorf("unexpected character inside braces: %q", r)
	}
}

// insideBracket reads the tokens between a left bracket and the first number or name behind it.
func (l *lexer) insideBracket() token {
	r := l.peek()
	switch {
	case r == '(' || r == ')' || r == ']' || r == ',' || isOperator(r):
		return l.outside()
	case isDigit(r) || r == '.' && l.digitAt(l.pos+1) || r == ':' && l.durationSeen:
		l.durationExpected = false
		return l.outside()
	case isLetter(r):
		if t := l.word(); t.kind == tokTime && !t.isTime("start") && !t.isTime("end") {
			l.durationSeen = true
			return t
		}
	case r == ':':
		l.pos++
		l.start = l.pos
		return l.errorf("unexpected colon before duration in duration expression")
	case r == endOfInput:
		return l.errorf("unexpected end of input in duration expression")
	}
	return l.errorf("unexpected character in duration expression: %q", r)
}

func (l *lexer) outside() token {
	switch r := l.read(); {
	case r == endOfInput:
		switch {
		case l.parens > 0:
			return l.errorf("unclosed left parenthesis")
		case l.inBracket:
			return l.errorf("unclosed left bracket")
		}
		return l.token(tokEOF)
	case isDigit(r) || r == '.' && l.digitAt(l.pos):
		return l.numberOrDuration(r)
	case isLetter(r) || r == ':':
		l.pos = l.start
		if l.inBracket {
			return l.wordInBracket()
		}
		return l.word()
	case r == '"' || r == '\'' || r == '`':
		return l.quoted(r)
	case strings.ContainsRune("(){[]", r):
		return l.bracket(r)
	case r == ',':
		return l.token(tokComma)
	case r == '@':
		return l.token(tokAt)
	default:
		return l.symbol(r)
	}
}

func (l *lexer) bracket(r rune) token {
	switch r {
	case '(':
		l.parens++
		return l.token(tokLeftParen)
	case ')':
		if l.parens == 0 {
			l.start = l.pos
			return l.errorf("unexpected right parenthesis %q", r)
		}
		l.parens--
		return l.token(tokRightParen)
	case '{':
		l.inBraces = true
		return l.token(tokLeftBrace)
	case '[':
		if l.inBracket {
			return l.errorf("unexpected left bracket %q", r)
		}
		l.inBracket, l.durationExpected = true, true
		l.colonSeen, l.durationSeen = false, false
		return l.token(tokLeftBracket)
	default:
		if !l.inBracket {
			return l.errorf("unexpected right bracket %q", r)
		}
		l.inBracket, l.durationExpected = false, false
		return l.token(tokRightBracket)
	}
}

func (l *lexer) symbol(r rune) token {
	switch r {
	case '+':
		return l.operator(OpAdd)
	case '-':
		return l.operator(OpSub)
	case '*':
		return l.operator(OpMul)
	case '/':
		return l.operator(OpDiv)
	case '%':
		return l.operator(OpMod)
	case '^':
		return l.operator(OpPow)
	case '=':
		switch {
		case l.accept("="):
			return l.operator(OpEqual)
		case l.peek() == '~':
			return l.errorf("unexpected character after '=': %q", '~')
		}
		return l.token(tokAssign)
	case '!':
		if next := l.read(); next != '=' {
			return l.errorf("unexpected character after '!': %q", next)
		}
		return l.operator(OpNotEqual)
	case '<':
		switch {
		case l.accept("="):
			return l.operator(OpLessEqual)
		case l.accept("/"):
			return l.operator(OpTrimUpper)
		}
		return l.operator(OpLess)
	case '>':
		switch {
		case l.accept("="):
			return l.operator(OpGreaterEqual)
		case l.accept("/"):
			return l.operator(OpTrimLower)
		}
		return l.operator(OpGreater)
	default:
		return l.errorf("unexpected character: %q", r)
	}
}

// word reads an identifier or keyword; the lexer stands before its first letter.
func (l *lexer) word() token {
	for r := l.peek(); isLetter(r) || isDigit(r) || r == ':'; r = l.peek() {
		l.pos++
	}
	t := wordToken(l.input[l.start:l.pos])
	t.pos = PositionRange{l.start, l.pos}
	if t.kind == tokFill {
		ahead := *l
		if ahead.skipBlanks(); ahead.peek() != '(' {
			t.kind = tokIdentifier
		}
	}
	return t
}

// wordInBracket reads a colon or one of the names that durations have.
func (l *lexer) wordInBracket() token {
	r := l.read()
	if r == ':' {
		if l.colonSeen {
			return l.errorf("unexpected colon %q", r)
		}
		l.colonSeen = true
		return l.token(tokColon)
	}
	for isLetter(l.peek()) || isDigit(l.peek()) {
		l.pos++
	}
	t := wordToken(l.input[l.start:l.pos])
	t.pos = PositionRange{l.start, l.pos}
	if t.kind != tokTime || t.isTime("start") || t.isTime("end") {
		return l.errorf("unexpected character: %q, expected %q", r, ':')
	}
	return t
}

func (l *lexer) digitAt(i int) bool { return i < len(l.input) && isDigit(rune(l.input[i])) }

func isBlank(c byte) bool    { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(r rune) bool    { return '0' <= r && r <= '9' }
func isOperator(r rune) bool { return r != endOfInput && strings.ContainsRune("+-*/%^", r) }

func isLetter(r rune) bool {
	return r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
