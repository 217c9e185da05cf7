package parser

import (
	"strings"
	"testing"
)

func BenchmarkParseExpr(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"selector", `node_cpu_seconds_total{mode="idle",instance="a:9100"}`},
		{"dashboard", `sum by (job, instance) (rate(http_requests_total{job="api", code=~"5.."}[5m])) / on (job) group_left (team) count by (job, team) (up{job="api"} == 1) > bool 0.5`},
		{"terms_20000", "x" + strings.Repeat(" + x", 20_000)},
	} {
		b.Run("query="+c.name, func(b *testing.B) {
			p := New(Options{})
			b.ReportAllocs()
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				if _, err := p.ParseExpr(c.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPretty(b *testing.B) {
	e, err := New(Options{}).ParseExpr("x" + strings.Repeat(" + x", 20_000))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("query=terms_20000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = Pretty(e)
		}
	})
}
