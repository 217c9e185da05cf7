package parser_test

import (
	"testing"

	"github.com/narthex-io/narthex/promql/parser"
)

// TestFillValuesPrint prints large and small ones with exponents, unlike numbers elsewhere.
func TestFillValuesPrint(t *testing.T) {
	p := parser.New(parser.Options{EnableBinopFillModifiers: true})
	for query, want := range map[string]string{
		"a + fill(1e300) b":                    "a + fill (1e+300) b",
		"a + on () fill_left(5m) b":            "a + on () fill_left (300) b",
		"a + fill_right(1e6) fill_left(0.1) b": "a + fill_left (0.1) fill_right (1e+06) b",
	} {
		expr, err := p.ParseExpr(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := expr.String(); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}
