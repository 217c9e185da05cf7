package promql_test

import (
	"strings"
	"testing"

	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
)

// TestEveryFunctionHasAnOperator calls each function of the parser's table with arguments of the types that it wants.
func TestEveryFunctionHasAnOperator(t *testing.T) {
	e := newEngine(t, promql.Options{EnableExperimentalFunctions: true})
	store := newStore(t, 1)
	sample := map[parser.ValueType]string{
		parser.ValueTypeScalar: "0.5", parser.ValueTypeVector: "x_total", parser.ValueTypeMatrix: "x_total[5m]", parser.ValueTypeString: `"a"`,
	}
	for _, f := range parser.Functions() {
		args := make([]string, len(f.ArgTypes))
		for i, typ := range f.ArgTypes {
			args[i] = sample[typ]
		}
		if f.Name == "info" {
			args[1] = `{a=~".*"}`
		}
		if _, err := ask(t.Context(), e, store, f.Name+"("+strings.Join(args, ", ")+")"); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}
