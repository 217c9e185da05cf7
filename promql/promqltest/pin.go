package promqltest

import (
	"regexp"
	"slices"

	"github.com/narthex-io/narthex/promql/parser"
)

// scriptParserOptions allow all of the language.
func scriptParserOptions() parser.Options {
	return parser.Options{
		EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true,
	}
}

var queryForm = regexp.MustCompile(`\b(start|end|step|range)\s*\(\s*\)`)

// looksAtQuery reports whether a query depends on the times of the query around it.
func looksAtQuery(query string) bool { return queryForm.MatchString(query) }

// pin gives all selectors of a query the time t, in milliseconds, where they have none of their own. It reports false
// if the result depends on the time of evaluation nevertheless.
func pin(query string, t int64) (string, bool, error) {
	expr, err := parser.New(scriptParserOptions()).ParseExpr(query)
	if err != nil {
		return "", false, err
	}
	ok := true
	set := func(s *parser.TimeShift) {
		if s.Timestamp == nil {
			s.Timestamp = &t
		}
	}
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) bool {
		switch n := n.(type) {
		case *parser.Call:
			ok = ok && !dependsOnTime(n.Func.Name)
		case *parser.VectorSelector:
			if !insidePinned(path) {
				set(&n.TimeShift)
			}
		case *parser.SubqueryExpr:
			if !insidePinned(path) {
				set(&n.TimeShift)
			}
		}
		return true
	})
	return expr.String(), ok, nil
}

// insidePinned reports whether a node is evaluated by a subquery that has a time.
func insidePinned(path []parser.Node) bool {
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		s, ok := n.(*parser.SubqueryExpr)
		return ok && s.Timestamp != nil
	})
}

func dependsOnTime(function string) bool {
	return slices.Contains([]string{
		"days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year",
		"predict_linear", "time", "timestamp", "start", "end", "step", "range",
	}, function)
}
