//go:build linux

package node

import (
	"math"
	"strings"
	"testing"
)

func TestExposition(t *testing.T) {
	var x exposition
	x.counter("b_total", "Help with a \\ and a\nnewline and \"quotes\".", 1e9, label{"l", "a\\b\n\"c\""}, label{"m", "ü\xff"})
	x.gauge("a", "First by name.", math.Inf(1))
	x.counter("b_total", "Help with a \\ and a\nnewline and \"quotes\".", math.NaN(), label{"l", ""})
	x.untyped("c", "", -0.5)
	var got strings.Builder
	if err := x.writeTo(&got); err != nil {
		t.Fatal(err)
	}
	want := `# HELP a First by name.
# TYPE a gauge
a +Inf
# HELP b_total Help with a \\ and a\nnewline and "quotes".
# TYPE b_total counter
b_total{l="a\\b\n\"c\"",m="ü` + "\uFFFD" + `"} 1e+09
b_total{l=""} NaN
# HELP c ` + `
# TYPE c untyped
c -0.5
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &got, want)
	}
}
