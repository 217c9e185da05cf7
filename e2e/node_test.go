//go:build e2e && linux

package e2e

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The collectors that exporter-node has.
var nodeCollectors = []string{"cpu", "meminfo", "loadavg", "filesystem", "diskstats", "netdev", "stat", "uname", "time", "vmstat"}

// Metrics of Debian's node_exporter 1.5 that are no collector's, and fields of /proc/meminfo that node_exporter exports no
// more since it reads only those that it knows.
var notCollected = regexp.MustCompile(`^(node_scrape_collector_.*|node_exporter_build_info|promhttp_.*|` +
	`node_memory_(Balloon|FileHugePages|FilePmdMapped|Hugetlb|KReclaimable|SecPageTables|Unaccepted|Zswap|Zswapped)_bytes)$`)

// TestNodeExporter: what another scraper finds under /plugins/exporter-node/metrics has each metric that node_exporter
// has, with the same type and at least the same labels; newer releases have more.
func TestNodeExporter(t *testing.T) {
	t.Parallel()
	path := component(t, "prometheus-node-exporter", "prometheus-node-exporter")
	address := "127.0.0.1:" + freePort(t)
	args := []string{"--web.listen-address=" + address, "--collector.disable-defaults", "--web.disable-exporter-metrics"}
	for _, c := range nodeCollectors {
		args = append(args, "--collector."+c)
	}
	p := launch(t, t.TempDir(), path, args...)
	t.Cleanup(p.kill) // It knows no orderly end.
	theirs := client{t: t, base: "http://" + address}
	theirs.awaitStatus("/metrics", http.StatusOK, p)
	ours := start(t, options{config: "scrape_configs:\n  - job_name: node\n    exporters: [{plugin: exporter-node}]\n"})

	_, text := theirs.do(http.MethodGet, "/metrics", nil)
	want := families(text)
	for _, c := range nodeCollectors {
		if line := `node_scrape_collector_success{collector="` + c + `"} 1`; !strings.Contains(text, line) {
			t.Fatalf("node_exporter itself fails: no %s", line)
		}
	}
	status, text := ours.do(http.MethodGet, "/plugins/exporter-node/metrics", nil)
	got := families(text)
	if status != http.StatusOK || len(want) < 100 {
		t.Fatalf("status %d, %d metrics to compare", status, len(want))
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if notCollected.MatchString(name) {
			continue
		}
		f, ok := got[name]
		missing := slices.DeleteFunc(want[name].labels, func(l string) bool { return slices.Contains(f.labels, l) })
		if !ok || f.kind != want[name].kind || len(missing) > 0 {
			t.Errorf("%s is of type %q and lacks the labels %q; node_exporter has type %q", name, f.kind, missing, want[name].kind)
		}
	}
}

// family is what is compared of a metric.
type family struct {
	kind   string
	labels []string
}

// families reads an exposition: for each metric its type and the names of its labels.
func families(text string) map[string]family {
	all, kinds := map[string]family{}, map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if fields := strings.Fields(line); len(fields) == 4 && fields[1] == "TYPE" {
			kinds[fields[2]] = fields[3]
			continue
		}
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		key := line[:strings.LastIndexByte(line, ' ')]
		name, labels, _ := strings.Cut(strings.TrimSuffix(key, "}"), "{")
		var names []string
		for _, pair := range strings.SplitAfter(labels, `"`) {
			if label, ok := strings.CutSuffix(pair, `="`); ok {
				names = append(names, strings.Trim(label, ", "))
			}
		}
		all[name] = family{kinds[name], names}
	}
	return all
}
