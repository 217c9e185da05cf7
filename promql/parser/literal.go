package parser

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// numberOrDuration reads either; the lexer stands behind its first character.
func (l *lexer) numberOrDuration(first rune) token {
	switch {
	case l.scanNumber(first):
		return l.token(tokNumber)
	case l.scanDuration():
		return l.token(tokDuration)
	default:
		return l.errorf("bad number or duration syntax: %q", l.input[l.start:l.pos])
	}
}

// scanNumber moves behind a number and reports whether it is one: digits with single underscores between them, at
// most one point, an exponent; or hexadecimal digits behind 0x.
func (l *lexer) scanNumber(first rune) bool {
	digits := "0123456789"
	hex := first == '0' && l.accept("xX")
	if hex {
		digits = "0123456789abcdefABCDEF"
	}
	pointSeen, exponentSeen := false, hex
	underscoreAllowed := true
	for {
		switch {
		case l.accept(digits):
			underscoreAllowed = true
		case l.peek() == '_':
			l.pos++
			if !underscoreAllowed || !l.accept(digits) {
				// Move behind what should have been a digit, as part of the message.
				_ = l.accept("_.eE")
				return false
			}
		case l.peek() == '.' && (pointSeen || hex || exponentSeen):
			l.pos++
			return false
		case l.accept("."):
			pointSeen, underscoreAllowed = true, false
		case l.accept("eE"):
			if exponentSeen {
				return false
			}
			exponentSeen = true
			_ = l.accept("+-")
			if r := l.peek(); !isDigit(r) {
				// What has no digits here is left to the conversion, unless it runs on or out.
				_ = l.accept("_")
				return r != endOfInput && r != '.' && !isLetter(r)
			}
		default:
			return !isLetter(l.peek()) && !isDigit(l.peek())
		}
	}
}

// scanDuration moves behind the rest of a duration, beginning with a unit, and reports whether it is one. The order of
// the units is checked by [parseDuration].
func (l *lexer) scanDuration() bool {
	if !l.acceptUnit() {
		return false
	}
	for l.accept("0123456789") {
		for l.accept("0123456789") {
		}
		if !l.acceptUnit() {
			return false
		}
	}
	if r := l.peek(); isLetter(r) {
		l.pos++
		return false
	}
	return true
}

func (l *lexer) acceptUnit() bool {
	if !l.accept("smhdwy") {
		return false
	}
	if l.input[l.pos-1] == 'm' {
		_ = l.accept("s")
	}
	return true
}

// parseNumber returns the value of a number as written.
func parseNumber(text string) (float64, error) {
	text = strings.ReplaceAll(text, "_", "")
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return float64(n), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("error parsing number: %w", err)
	}
	return f, nil
}

// parseDuration returns the length of a duration such as 1h30m: units fall, and each stands once.
func parseDuration(text string) (time.Duration, error) {
	var sum int64
	last := -1
	for rest := text; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		number, tail := rest[:digits], rest[digits:]
		name := tail[:len(tail)-len(strings.TrimLeftFunc(tail, func(r rune) bool { return !isDigit(r) }))]
		rest = tail[len(name):]
		unit := unitIndex(name)
		switch {
		case unit < 0:
			return 0, fmt.Errorf("unknown unit %q in duration %q", name, text)
		case unit <= last:
			return 0, fmt.Errorf("not a valid duration string: %q", text)
		}
		last = unit
		n, err := strconv.ParseInt(number, 10, 64)
		millis := durationUnits[unit].millis
		if err != nil || n > (math.MaxInt64/int64(time.Millisecond)-sum)/millis {
			return 0, errDurationRange
		}
		sum += n * millis
	}
	return time.Duration(sum) * time.Millisecond, nil
}

// quoted reads a string; the lexer stands behind the quotation mark.
func (l *lexer) quoted(quote rune) token {
	for {
		before := l.pos
		r := l.read()
		switch {
		case r == quote:
			return l.token(tokString)
		case r == endOfInput && quote == '`':
			return l.errorf("unterminated raw string")
		case r == endOfInput || r == '\n' && quote != '`':
			return l.errorf("unterminated quoted string")
		case r == utf8.RuneError && l.pos == before+1:
			return l.errorf("invalid UTF-8 rune")
		case r == '\\' && quote != '`':
			if problem := l.skipEscape(quote); problem != "" {
				return l.errorf("%s", problem)
			}
		}
	}
}

// skipEscape moves behind an escape sequence; the lexer stands behind the backslash. It returns what is wrong with it.
func (l *lexer) skipEscape(quote rune) string {
	var digits int
	var base, limit rune
	switch r := l.read(); r {
	case 'a', 'b', 'f', 'n', 'r', 't', 'v', '\\', quote:
		return ""
	case '0', '1', '2', '3', '4', '5', '6', '7':
		l.pos--
		digits, base, limit = 3, 8, 255
	case 'x':
		digits, base, limit = 2, 16, 255
	case 'u':
		digits, base, limit = 4, 16, utf8.MaxRune
	case 'U':
		digits, base, limit = 8, 16, utf8.MaxRune
	case endOfInput:
		return "escape sequence not terminated"
	default:
		return fmt.Sprintf("unknown escape sequence %#U", r)
	}
	var value rune
	for range digits {
		r := l.read()
		d := digitValue(r)
		if d >= base {
			if r == endOfInput {
				return "escape sequence not terminated"
			}
			return fmt.Sprintf("illegal character %#U in escape sequence", r)
		}
		value = min(value, utf8.MaxRune+1)*base + d
	}
	if value > limit || 0xD800 <= value && value < 0xE000 {
		return "escape sequence is an invalid Unicode code point"
	}
	return ""
}

func digitValue(r rune) rune {
	switch {
	case '0' <= r && r <= '9':
		return r - '0'
	case 'a' <= r && r <= 'f':
		return r - 'a' + 10
	case 'A' <= r && r <= 'F':
		return r - 'A' + 10
	default:
		return 16
	}
}

// unquote returns the value of a string as written, whose escape sequences the lexer has checked.
func unquote(text string) string {
	quote, body := text[0], text[1:len(text)-1]
	if quote == '`' || !strings.ContainsRune(body, '\\') {
		return body
	}
	buf := make([]byte, 0, len(body))
	for body != "" {
		r, multibyte, rest, err := strconv.UnquoteChar(body, quote)
		if err != nil {
			return string(append(buf, body...))
		}
		if multibyte {
			buf = utf8.AppendRune(buf, r)
		} else {
			buf = append(buf, byte(r))
		}
		body = rest
	}
	return string(buf)
}
