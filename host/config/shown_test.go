package config

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

func TestShown(t *testing.T) {
	check := func(text string, f InForce, want ...string) {
		t.Helper()
		c, err := parse("p.yml", []byte(text), func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		before := c.String()
		shown := c.Shown(f)
		for _, w := range want {
			if !strings.Contains(shown, w) {
				t.Errorf("%s: %q is missing in\n%s", text, w, shown)
			}
		}
		if c.String() != before {
			t.Errorf("%s: showing it changes the configuration", text)
		}
		again, err := parse("p.yml", []byte(shown), func(string) string { return "" })
		if err != nil || again.Shown(f) != shown {
			t.Errorf("what is shown of %s is no configuration, or another one: %v", text, err)
		}
	}
	days := InForce{GoGC: 75, Retention: Retention{Time: model.Duration(15 * 24 * time.Hour)}}
	check("scrape_configs: [{job_name: j}]", days,
		"runtime:\n  gogc: 75\n", "retention:\n      time: 15d\n", "  scrape_native_histograms: false\n", "    scrape_native_histograms: false\n",
		"    always_scrape_classic_histograms: false\n", "    convert_classic_histograms_to_nhcb: false\n", "    extra_scrape_metrics: false\n")
	check("global: {scrape_native_histograms: true, extra_scrape_metrics: true}\nscrape_configs: [{job_name: j, scrape_native_histograms: false}]", days,
		"  scrape_native_histograms: true\n", "    scrape_native_histograms: false\n", "    extra_scrape_metrics: true\n")
	check("runtime: {gogc: 50}\nstorage: {tsdb: {retention: {size: 1GB}}}", days, "gogc: 50\n", "retention:\n      size: 1GiB\n")
	check("", InForce{Exemplars: true}, "  exemplars:\n    max_exemplars: 100000\n", "otlp:\n  translation_strategy: UnderscoreEscapingWithSuffixes\n")
	check("storage: {exemplars: {max_exemplars: 0}}", InForce{Exemplars: true}, "max_exemplars: 0\n")
	check("", InForce{ExtraScrapeMetrics: true}, "  extra_scrape_metrics: true\n")
}

func TestInert(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		c, err := parse("p.yml", []byte(text), func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Inert(), "\n"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	check("", "")
	check("otlp:", "")
	check("otlp: {translation_strategy: UnderscoreEscapingWithSuffixes}", "")
	check("global: {}\notlp: {promote_scope_metadata: true}", "p.yml:2: otlp: this version does not receive OTLP yet, so the section changes nothing")
}
