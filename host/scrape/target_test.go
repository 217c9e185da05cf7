package scrape

import (
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
)

// TestTargets shows what relabelling and defaults make of one discovered target, h:1 with __meta_x="m".
func TestTargets(t *testing.T) {
	const discovered = "  static_configs: [{targets: ['h:1'], labels: {__meta_x: m, zone: z}}]\n"
	makes := func(config, wantLabels, wantURL string) {
		t.Helper()
		cfg := parseConfigs(t, "- job_name: j\n"+discovered+config)[0]
		set := makeTargets(cfg, cfg.Discovery.Groups())
		if len(set.active) != 1 || set.active[0].labels.String() != wantLabels || set.active[0].url != wantURL {
			t.Errorf("%s: got %+v", config, set)
		}
	}
	makes("", `{instance="h:1", job="j", zone="z"}`, "http://h:1/metrics")
	makes("  scheme: https\n  metrics_path: /m\n  params: {a: [b, c], d: []}\n",
		`{instance="h:1", job="j", zone="z"}`, "https://h:1/m?a=b&a=c")
	makes("  params: {a: [b, c]}\n  relabel_configs: [{target_label: __param_a, replacement: x}, {target_label: __param_e, replacement: y}]\n",
		`{instance="h:1", job="j", zone="z"}`, "http://h:1/metrics?a=x&a=c&e=y")
	makes("  relabel_configs: [{source_labels: [__meta_x], target_label: job}, {target_label: __address__, replacement: other}, {target_label: __tmp_x, replacement: x}]\n",
		`{instance="other", job="m", zone="z"}`, "http://other/metrics")
	makes("  relabel_configs: [{target_label: instance, replacement: mine}, {action: labelmap, regex: __meta_(.+)}]\n",
		`{instance="mine", job="j", x="m", zone="z"}`, "http://h:1/metrics")

	makes("  relabel_configs: [{target_label: __address__, replacement: h}]\n", // No port is made up.
		`{instance="h", job="j", zone="z"}`, "http://h/metrics")

	makes("  relabel_configs: [{target_label: __scheme__, replacement: ftp}]\n", // The scrape will say what is wrong with it.
		`{instance="h:1", job="j", zone="z"}`, "ftp://h:1/metrics")
	makes("  relabel_configs: [{action: labelkeep, regex: zone|__address__|__scheme__|__metrics_path__|__scrape_(interval|timeout)__}]\n",
		`{instance="h:1", zone="z"}`, "http://h:1/metrics")

	fails := func(relabel, want string) {
		t.Helper()
		cfg := parseConfigs(t, "- job_name: j\n"+discovered+"  relabel_configs: ["+relabel+"]\n")[0]
		set := makeTargets(cfg, cfg.Discovery.Groups())
		if len(set.active) != 0 || len(set.errs) != 1 || set.errs[0].Error() != want {
			t.Errorf("%s: got %+v, want the error %q", relabel, set, want)
		}
	}
	fails("{target_label: __address__, replacement: ''}", "target h:1: no address")
	fails("{target_label: __address__, replacement: 'http://x'}", `target h:1: "http://x" is not a valid hostname`)
	fails("{target_label: __scrape_interval__, replacement: 0s}", "target h:1: scrape interval cannot be 0")
	fails("{target_label: __scrape_interval__, replacement: x}", `target h:1: scrape interval: not a valid duration string: "x"`)
	fails("{target_label: __scrape_timeout__, replacement: 11s}", "target h:1: scrape timeout 11s is greater than scrape interval 10s")
	fails("{target_label: __scrape_native_histograms__, replacement: x}", `target h:1: __scrape_native_histograms__: "x" is neither true nor false`)
}

func TestDroppedTargets(t *testing.T) {
	inWorld(t, `
- job_name: j
  keep_dropped_targets: 2
  static_configs: [{targets: ["h:1", "h:2", "h:3", "h:4", "h:4"]}]
  relabel_configs: [{source_labels: [__address__], regex: "h:4", action: keep}]
`, func(w *world) {
		d := w.m.Dropped()["j"]
		if d.Count != 3 || len(d.Discovered) != 2 || d.Discovered[0].Get("__address__") != "h:1" {
			w.Errorf("dropped %+v", d)
		}
		if w.onlyTarget().URL != "http://h:4/metrics" {
			w.Errorf("targets %+v", w.m.Targets())
		}
	})
}

func TestConflictingLabels(t *testing.T) {
	target := labels.FromStrings("job", "j", "instance", "i", "exported_instance", "e")
	becomes := func(honor bool, exposed, want string) {
		t.Helper()
		l := labeler{pairs: []labels.Label{{Name: labels.MetricName, Value: "a"}}}
		for pair := range strings.FieldsSeq(exposed) {
			name, value, _ := strings.Cut(pair, "=")
			l.pairs = append(l.pairs, labels.Label{Name: name, Value: value})
		}
		ls, keep, err := l.sample(&sampleRules{honorLabels: honor}, target)
		if err != nil || !keep || ls.DropMetricName().String() != want {
			t.Errorf("honor_labels %v, %s: got %s, %v, %v, want %s", honor, exposed, ls, keep, err, want)
		}
	}
	becomes(false, "x=1", `{exported_instance="e", instance="i", job="j", x="1"}`)
	becomes(false, "job=x", `{exported_instance="e", exported_job="x", instance="i", job="j"}`)
	becomes(false, "job=", `{exported_instance="e", instance="i", job="j"}`)
	becomes(false, "instance=x", `{exported_exported_instance="x", exported_instance="e", instance="i", job="j"}`)
	becomes(false, "instance=x exported_instance=y",
		`{exported_exported_exported_instance="y", exported_exported_instance="x", exported_instance="e", instance="i", job="j"}`)
	becomes(true, "job=x", `{exported_instance="e", instance="i", job="x"}`)
	becomes(true, "instance= job=x", `{exported_instance="e", job="x"}`)
}
