package promql_test

import (
	"fmt"
	"testing"

	upstream "github.com/prometheus/prometheus/promql/parser"

	"github.com/narthex-io/narthex/promql/parser"
)

// TestUpstreamsFunctions compares the tables of functions. We may have more than upstream.
func TestUpstreamsFunctions(t *testing.T) {
	for name, want := range upstream.Functions {
		got, ok := parser.LookupFunction(name)
		if !ok {
			t.Errorf("there is no %s", name)
			continue
		}
		theirs := fmt.Sprint(want.ArgTypes, want.Variadic, want.ReturnType, want.Experimental)
		if ours := fmt.Sprint(got.ArgTypes, got.Variadic, got.ReturnType, got.Experimental); ours != theirs {
			t.Errorf("%s is %s, upstream's is %s", name, ours, theirs)
		}
	}
}
