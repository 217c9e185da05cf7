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

// The collectors of exporter-node that Debian's node_exporter 1.5 has too, without systemd, which answers nobody in a
// container.
var nodeCollectors = []string{
	"arp", "bcache", "bonding", "btrfs", "conntrack", "cpu", "cpufreq", "diskstats", "dmi", "edac", "entropy", "fibrechannel",
	"filefd", "filesystem", "hwmon", "infiniband", "ipvs", "loadavg", "mdadm", "meminfo", "netclass", "netdev", "netstat", "nfs",
	"nfsd", "nvme", "os", "powersupplyclass", "pressure", "processes", "rapl", "schedstat", "selinux", "sockstat", "softnet",
	"stat", "tapestats", "textfile", "thermal_zone", "time", "timex", "udp_queues", "uname", "vmstat", "xfs", "zfs",
}

// Samples that are the same whoever asks, and whenever.
var unmoving = regexp.MustCompile(`^node_(uname_info|memory_MemTotal_bytes|memory_SwapTotal_bytes|boot_time_seconds|` +
	`network_(mtu_bytes|flags|iface_id|protocol_type|speed_bytes|address_assign_type)|filefd_maximum|entropy_pool_size_bits|` +
	`processes_max_(processes|threads)|nf_conntrack_entries_limit|timex_tick_seconds|selinux_enabled|textfile_scrape_error|` +
	`netstat_Ip_Forwarding|scrape_collector_success)[ {]`)

// Metrics of Debian's node_exporter 1.5 that are no collector's, and fields of /proc/meminfo that node_exporter exports no
// more since it reads only those that it knows.
var notCollected = regexp.MustCompile(`^(node_scrape_collector_.*|node_exporter_build_info|promhttp_.*|` +
	`node_memory_(Balloon|FileHugePages|FilePmdMapped|Hugetlb|KReclaimable|SecPageTables|Unaccepted|Zswap|Zswapped)_bytes)$`)

// TestNodeExporter: what another scraper finds under /plugins/exporter-node/metrics has each metric that node_exporter
// has, with the same type and at least the same labels; newer releases have more. What does not move has the same value,
// and each collector has or lacks its data on this machine for both.
func TestNodeExporter(t *testing.T) {
	t.Parallel()
	path := component(t, "prometheus-node-exporter", "prometheus-node-exporter")
	address := "127.0.0.1:" + freePort(t)
	args := []string{"--web.listen-address=" + address, "--collector.disable-defaults", "--web.disable-exporter-metrics"}
	for _, c := range nodeCollectors {
		args = append(args, "--collector."+c)
	}
	p := launch(t, t.TempDir(), path, args...)
	p.killAtEnd()
	theirs := client{t: t, base: "http://" + address}
	theirs.awaitStatus("/metrics", http.StatusOK, p)
	ours := start(t, options{config: "scrape_configs:\n  - job_name: node\n    exporters: [{plugin: exporter-node, config: {enable: [processes]}}]\n"})

	_, text := theirs.do(http.MethodGet, "/metrics", nil)
	want, still := families(text), linesOf(text)
	status, text := ours.do(http.MethodGet, "/plugins/exporter-node/metrics", nil)
	got, lines := families(text), linesOf(text)
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
	if len(still) < len(nodeCollectors) {
		t.Fatalf("%d lines to compare", len(still))
	}
	for line := range still {
		if !lines[line] {
			t.Errorf("exporter-node lacks the line %s", line)
		}
	}
}

// linesOf returns the lines of the samples that do not move.
func linesOf(text string) map[string]bool {
	lines := map[string]bool{}
	for line := range strings.Lines(text) {
		if unmoving.MatchString(line) {
			lines[strings.TrimSpace(line)] = true
		}
	}
	return lines
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
