package labels

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkMatches measures one look at a value, over what dashboards and rules ask for.
func BenchmarkMatches(b *testing.B) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("checkout-%03d", i*7%1000))
	}
	for _, c := range []struct{ name, expr, hit, miss string }{
		{"any", `.+`, "checkout-7", ""},
		{"set", `api|checkout|web`, "checkout", "ledger"},
		{"set-1000", strings.Join(many, "|"), "checkout-777", "checkout-x77"},
		{"prefix", `checkout.*`, "checkout-5d8f7-x2k9q", "ledger-5d8f7-x2k9q"},
		{"prefix-anchors", `^checkout-.+$`, "checkout-5d8f7-x2k9q", "checkout-"},
		{"prefixes", `(api|checkout|web)-.*`, "web-5d8f7-x2k9q", "ledger-5d8f7-x2k9q"},
		{"prefix-alternation", `api-.*|checkout-.*|.*-web`, "5d8f7-x2k9q-web", "ledger-5d8f7-x2k9q"},
		{"suffix", `.*-7`, "checkout-5d8f7-7", "checkout-5d8f7-8"},
		{"suffixes", `.*(_total|_count|_sum)`, "node_disk_read_bytes_sum", "node_disk_read_bytes_max"},
		{"contains", `.*canary.*`, "checkout-canary-x2k9q", "checkout-stable-x2k9q"},
		{"contains-any", `.*(canary|beta|dev).*`, "checkout-beta-x2k9q", "checkout-stable-x2k9q"},
		{"mixed", `checkout-(a|b).*-prod`, "checkout-b-5d8f7-prod", "checkout-c-5d8f7-prod"},
		{"glob", `/api/.*/series/.*`, "/api/tenant-7/series/5d8f7", "/api/tenant-7/sample/5d8f7"},
		{"fold", `(?i)checkout`, "CheckOut", "CheckIn!"},
		{"fold-set", `(?i)api|checkout|web`, "Web", "Ledger"},
		{"fold-prefix", `(?i)checkout-.*`, "CheckOut-5d8f7-x2k9q", "Ledger-5d8f7-x2k9q"},
		{"codes", `5..`, "503", "200"},
		{"dots", `10.0.0.1:9100`, "10.0.0.1:9100", "10.0.0.2:9100"},
		{"digits", `host-[0-9]+`, "host-01234", "host-0123x"},
		{"address", `[^:]+:9[0-9]{3}`, "node-17.example.org:9100", "node-17.example.org:8100"},
		{"filesystem", `tmpfs|fuse\..+|ext[234]`, "ext4", "overlay"},
		{"regexp", `([a-z]+-)*[a-z0-9]{5}`, "check-out-x2k9q", "check-out-X2K9Q"},
	} {
		m := MustNewMatcher(MatchRegexp, "n", c.expr)
		for _, v := range []struct {
			name, value string
			want        bool
		}{{"hit", c.hit, true}, {"miss", c.miss, false}} {
			b.Run(c.name+"/"+v.name, func(b *testing.B) {
				if m.Matches(v.value) != v.want {
					b.Fatalf("%s on %q: got %v", m, v.value, !v.want)
				}
				b.ReportAllocs()
				for b.Loop() {
					_ = m.Matches(v.value)
				}
			})
		}
	}
}

// BenchmarkNewMatcher measures what each query pays once.
func BenchmarkNewMatcher(b *testing.B) {
	for _, c := range []struct{ name, expr string }{
		{"set", `api|checkout|web`},
		{"set-1000", strings.Repeat("checkout|ledger-7|api|web|", 250)},
		{"prefix", `checkout.*`},
		{"fold", `(?i)checkout`},
		{"regexp", `([a-z]+-)*[a-z0-9]{5}`},
		{"wide", `[a-p]{2}[0-9][0-9].*x?y?z?`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = MustNewMatcher(MatchRegexp, "n", c.expr)
			}
		})
	}
}
