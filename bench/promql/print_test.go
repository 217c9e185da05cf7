package promql_test

import (
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	ours "github.com/narthex-io/narthex/promql/parser"
)

// TestDurationsPrintAsUpstream parses durations of every form, most of them behind a flag upstream, and a few other things
// that were printed otherwise, and prints them on one line and on several.
func TestDurationsPrintAsUpstream(t *testing.T) {
	up := parser.NewParser(parser.Options{EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true, ExperimentalDurationExpr: true})
	us := ours.New(ours.Options{EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true})
	for _, q := range []string{
		`x offset (1m)`, `x offset -(1m)`, `x offset (-1m)`, `x offset (1m + 2m)`, `x offset 60`, `x offset (60)`, `x[(5m)]`, `x[5m * 2]`, `x[(5m*2)] offset (3m)`, `x[5m:(1m)]`, `x[5m:1m+1m]`,
		`x offset step()`, `x offset -step()`, `x offset (1m + step())`, `x[step()]`, `x[min_of(5m, 1m)]`, `x[-(-5m)]`, `x offset +1m`, `x offset (2^3)`, `x[2*3]`, `rate(x[(1m)]) @ 5`, `x offset ((1m))`, `x offset -((1m))`, `x[5m:] offset (1m)`, `x offset -(2 * 30)`, `x offset (30s) @ 5`, `x[(60)]`, `x[60]`, `x[(1m)+(2m)]`, `x offset - 1m`, `x[max_of((1m), 2m)]`, `x[range()]`, `x offset (range() - 1m)`, `x[1m/2]`, `x[10m % 3m]`,
		`x + fill (1e300) y`, `x + fill_left (1e-7) fill_right (5m) y`, `count by () (max_over_time((increase(a_long_name_of_a_metric[5m:1m]) unless on () another_name{instance="a"} - ignoring (i) group_left () z)[5m:1m]))`,
	} {
		a, errA := up.ParseExpr(q)
		b, errB := us.ParseExpr(q)
		if (errA == nil) != (errB == nil) {
			t.Errorf("%s: errors %v, want %v", q, errB, errA)
			continue
		}
		if errA != nil {
			continue
		}
		if a.String() != b.String() {
			t.Errorf("%s: prints %s, want %s", q, b, a)
		}
		if a.Pretty(0) != ours.Pretty(b) {
			t.Errorf("%s: pretty %s, want %s", q, ours.Pretty(b), a.Pretty(0))
		}
	}
}
