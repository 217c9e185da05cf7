package parser

import (
	"fmt"
	"strings"
)

// ParseErr is one thing that is wrong with a text.
type ParseErr struct {
	// PositionRange is the part of Query that is wrong; it is empty at the end of the text.
	PositionRange PositionRange
	Err           error
	// Query is the whole text.
	Query string
}

// Error returns the message behind line and column, which count from 1; a column is a byte.
func (e *ParseErr) Error() string {
	return e.PositionRange.LineColumn(e.Query) + ": parse error: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ParseErr) Unwrap() error { return e.Err }

// LineColumn returns the start of the range as "line:column", both counted from 1, or "unknown position" where the
// text is empty.
func (r PositionRange) LineColumn(text string) string {
	if text == "" {
		return "unknown position"
	}
	if r.Start < 0 || r.Start > len(text) {
		return "invalid position"
	}
	before := text[:r.Start]
	return fmt.Sprintf("%d:%d", strings.Count(before, "\n")+1, r.Start-strings.LastIndexByte(before, '\n'))
}

// ParseErrors are all things that are wrong with a text, as far as it could be read. There is at least one.
type ParseErrors []ParseErr

// Error returns the message of the first error: later ones are often only its consequences.
func (es ParseErrors) Error() string {
	if len(es) == 0 {
		return "no parse error"
	}
	return es[0].Error()
}

// Unwrap returns the errors one by one.
func (es ParseErrors) Unwrap() []error {
	errs := make([]error, len(es))
	for i := range es {
		errs[i] = &es[i]
	}
	return errs
}

var (
	errTooDeep = fmt.Errorf("expression is nested more than %d levels deep", maxDepth)
	errTooLong = fmt.Errorf("expression has more than %d operators", maxOperators)
)
