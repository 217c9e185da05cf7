//go:build linux

package node

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/sdk"
)

// difference is one between node_exporter's families and ours that is meant to be.
type difference struct {
	family *regexp.Regexp
	reason string
}

// since1121 lists the differences to the newest version that this was compared with.
func since1121() []difference {
	return []difference{
		{
			regexp.MustCompile(`^node_nvme_namespace_(capacity|size)_bytes$`),
			"takes the kernel's sectors of 512 bytes for blocks of the namespace",
		},
	}
}

// since15 lists what node_exporter itself changed since version 1.5, which distributions still ship.
func since15() []difference {
	return []difference{
		{regexp.MustCompile(`^node_filesystem_`), "newer versions have the label device_error"},
		{regexp.MustCompile(`^node_filesystem_(mount_info|purgeable_bytes)$`), "exists since 1.9"},
		{regexp.MustCompile(`^node_disk_info$`), "has the label rotational since 1.9"},
		{regexp.MustCompile(`^node_cpu_online$`), "exists since 1.9"},
		{regexp.MustCompile(`^node_netstat_TcpExt_TCP(OFOQueue|RcvQDrop)$`), "fields that are reported since 1.7"},
		{regexp.MustCompile(`^node_(kernel_hung|bcachefs|dmmultipath)_`), "exists since 1.9 or later"},
		{regexp.MustCompile(`^node_systemd_virtualization_info$`), "exists since 1.9"},
		{regexp.MustCompile(`^node_os_info$`), "newer versions have more labels"},
		{regexp.MustCompile(`^node_zfs_zpool_(state|dataset_.*)$`), "newer versions know more of ZFS"},
		{regexp.MustCompile(`^node_btrfs_(commit|last_commit|max_commit)`), "exists since 1.6"},
		{regexp.MustCompile(`^node_nvme_(info|namespace_.*)$`), "reports namespaces and the controller's id since 1.10"},
		{regexp.MustCompile(`^node_watchdog_`), "exists since 1.6"},
		{regexp.MustCompile(`^node_md_(raid_disks|degraded)$`), "exists since 1.9"},
		{regexp.MustCompile(`^node_cpu_frequency_(avg_)?hertz$`), "reports more since 1.9"},
		{regexp.MustCompile(`^node_nfsd?_requests_total$`), "newer versions know more procedures"},
		{regexp.MustCompile(`^node_infiniband_`), "newer versions know more counters"},
		{regexp.MustCompile(`^node_pressure_irq_`), "exists since 1.9"},
		{regexp.MustCompile(`^node_edac_channel_`), "exists since 1.10"},
		{regexp.MustCompile(`^node_hwmon_(fan_rpm|freq_freq_mhz|sensor_label)$`), "filters sensors and reports freq since 1.8"},
		{regexp.MustCompile(`^node_network_info$`), "has the label adminstate since 1.6"},
		{
			regexp.MustCompile(`^node_softnet_(backlog_len|(cpu_collision|flow_limit_count|received_rps)_total)$`),
			"exists since 1.6",
		},
		{regexp.MustCompile(`^node_exporter_build_info$`), "newer versions have the label tags"},
		{
			regexp.MustCompile(`^node_memory_(Balloon|FileHugePages|FilePmdMapped|Hugetlb|KReclaimable|SecPageTables|` +
				`Unaccepted)_bytes$`),
			"fields that the parser of procfs does not know are left out since 1.9",
		},
	}
}

// nodeExporters returns the installed node_exporters by file name, and the one that the environment names, which tools/component
// has built.
func nodeExporters(t *testing.T) []string {
	t.Helper()
	var found []string
	if path := os.Getenv("NODE_EXPORTER"); path != "" {
		found = append(found, path)
	}
	for _, name := range []string{"node_exporter", "prometheus-node-exporter"} {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		t.Skip("neither node_exporter nor prometheus-node-exporter is installed, and NODE_EXPORTER names none")
	}
	return found
}

// TestSameFamiliesAsNodeExporter measures this machine with both exporters and compares names, types, and the names
// of labels.
func TestSameFamiliesAsNodeExporter(t *testing.T) {
	config := `{"cpu": {"info": true, "info_flags_include": "sse", "info_bugs_include": "s"}, "stat": {"softirq": true}}`
	options := []string{
		"--collector.cpu.info", "--collector.cpu.info.flags-include=sse", "--collector.cpu.info.bugs-include=s",
		"--collector.stat.softirq",
	}
	ours := schema(parse(t, collectLive(t, config)))
	for _, path := range nodeExporters(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			families := parse(t, scrapeNodeExporter(t, path, defaultCollectors(), options))
			theirs := schema(families)
			compareSchemas(t, ours, theirs, intended(families))
		})
	}
}

// TestDetailedNetworkStatistics compares the other naming of the netdev collector.
func TestDetailedNetworkStatistics(t *testing.T) {
	ours := schema(parse(t, collectLive(t, `{"netdev": {"enable_detailed_metrics": true, "address_info": true}}`)))
	options := []string{"--collector.netdev.enable-detailed-metrics", "--collector.netdev.address-info"}
	for _, path := range nodeExporters(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			families := parse(t, scrapeNodeExporter(t, path, defaultCollectors(), options))
			compareSchemas(t, ours, schema(families), intended(families))
		})
	}
}

// TestSameSamplesAsNodeExporter gives both exporters the files of made-up machines and compares the samples too.
func TestSameSamplesAsNodeExporter(t *testing.T) {
	check := func(machine string, change map[string]any, options ...string) {
		m := newMachine(t, machine)
		maps.Copy(m.config, change)
		ours := m.exporter(t, slog.New(slog.DiscardHandler))
		// What system calls tell is not in the files.
		ours.collectors = slices.DeleteFunc(ours.collectors, func(c namedCollector) bool {
			return slices.Contains(outsideOfFiles(), c.name)
		})
		options = append(options,
			"--path.procfs="+filepath.Join(m.dir, "proc"), "--path.sysfs="+filepath.Join(m.dir, "sys"),
			"--path.udev.data="+filepath.Join(m.dir, "udev"), "--path.rootfs="+filepath.Join(m.dir, "root"),
			"--no-collector.netdev.netlink", "--no-collector.arp.netlink")
		var names []string
		for _, c := range ours.collectors {
			names = append(names, c.name)
		}
		got := samples(parse(t, collect(t, ours)))
		for _, path := range nodeExporters(t) {
			t.Run(machine+"/"+filepath.Base(path), func(t *testing.T) {
				families := parse(t, scrapeNodeExporter(t, path, names, options))
				if isOld(families) && machine != "modern" {
					t.Skip("an old version, which knows less of this machine")
				}
				compare(t, got, samples(families), intended(families), nearlyEqual)
			})
		}
	}
	check("modern", map[string]any{"netdev": map[string]any{"netlink": false}}, "--collector.stat.softirq",
		"--collector.diskstats.device-exclude=^loop", "--collector.vmstat.fields=^(oom_kill|pgfault|nr_free_pages)$")
	check("network", map[string]any{"arp": map[string]any{"netlink": false}},
		"--collector.netclass.ignored-devices=^veth", "--collector.netclass.ignore-invalid-speed")
	check("kernel", nil)
	check("hardware", nil, "--collector.hwmon.sensor-exclude=^nct;fan3$")
	check("devices", nil)
	check("disks", nil, "--collector.bcache.priorityStats")
	check("bare", nil)
}

// TestSameSamplesFromFixtures compares the samples that both exporters make of a recorded machine: a folder with proc, sys
// and udev, such as node_exporter's own collector/fixtures (with sys.ttar and udev.ttar unpacked).
func TestSameSamplesFromFixtures(t *testing.T) {
	root := os.Getenv("NODE_FIXTURES")
	if root == "" {
		t.Skip("NODE_FIXTURES names no folder with a recorded machine")
	}
	raw, err := json.Marshal(map[string]any{
		"disable":     outsideOfFiles(),
		"path_procfs": filepath.Join(root, "proc"), "path_sysfs": filepath.Join(root, "sys"),
		"path_udev_data": filepath.Join(root, "udev"), "path_rootfs": root,
		"arp": map[string]any{"netlink": false}, "netdev": map[string]any{"netlink": false},
	})
	if err != nil {
		t.Fatal(err)
	}
	options := []string{
		"--path.procfs=" + filepath.Join(root, "proc"), "--path.sysfs=" + filepath.Join(root, "sys"),
		"--path.udev.data=" + filepath.Join(root, "udev"), "--path.rootfs=" + root,
		"--no-collector.arp.netlink", "--no-collector.netdev.netlink",
	}
	names := slices.DeleteFunc(defaultCollectors(), func(name string) bool {
		return slices.Contains(outsideOfFiles(), name)
	})
	ours := samples(parse(t, collectLive(t, string(raw))))
	for _, path := range nodeExporters(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			families := parse(t, scrapeNodeExporter(t, path, names, options))
			if isOld(families) {
				t.Skip("an old version, which knows much less")
			}
			compare(t, ours, samples(families), intended(families), nearlyEqual)
		})
	}
}

// outsideOfFiles lists the collectors that measure what is not in the files of a machine.
func outsideOfFiles() []string { return []string{"filesystem", "selinux", "time", "timex", "uname"} }

// nearlyEqual allows for a different order of operations.
func nearlyEqual(a, b string) bool {
	var x, y float64
	_, errX := fmt.Sscan(a, &x)
	_, errY := fmt.Sscan(b, &y)
	return errX == nil && errY == nil && (x == y || (x-y)/(x+y) < 1e-12 && (y-x)/(x+y) < 1e-12)
}

// intended returns the differences to the version that the families come from.
func intended(families map[string]*dto.MetricFamily) []difference {
	if isOld(families) {
		return since15()
	}
	return since1121()
}

func isOld(families map[string]*dto.MetricFamily) bool {
	for _, l := range families["node_exporter_build_info"].GetMetric()[0].GetLabel() {
		if l.GetName() == "version" && strings.HasPrefix(l.GetValue(), "1.5.") {
			return true
		}
	}
	return false
}

func compareSchemas(t *testing.T, ours, theirs map[string]string, intended []difference) {
	t.Helper()
	compare(t, ours, theirs, intended, func(a, b string) bool { return a == b })
}

// compare reports keys that only one side has, and values that differ, unless the difference is intended. A key
// begins with the name of its family.
func compare(t *testing.T, ours, theirs map[string]string, intended []difference, equal func(a, b string) bool) {
	t.Helper()
	keys := maps.Clone(ours)
	maps.Copy(keys, theirs)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		a, inOurs := ours[key]
		b, inTheirs := theirs[key]
		if inOurs && inTheirs && equal(a, b) {
			continue
		}
		family, _, _ := strings.Cut(key, "{")
		i := slices.IndexFunc(intended, func(d difference) bool { return d.family.MatchString(family) })
		if i >= 0 {
			t.Logf("%s: %s", family, intended[i].reason)
			continue
		}
		t.Errorf("%s:\nours   %s\ntheirs %s", key, a, b)
	}
}

// schema maps the name of each family to its type and the names of its labels.
func schema(families map[string]*dto.MetricFamily) map[string]string {
	of := make(map[string]string)
	for name, family := range families {
		if !strings.HasPrefix(name, "node_") {
			continue
		}
		variants := make(map[string]bool)
		for _, m := range family.GetMetric() {
			var names []string
			for _, l := range m.GetLabel() {
				names = append(names, l.GetName())
			}
			slices.Sort(names)
			variants[strings.Join(names, ",")] = true
		}
		of[name] = fmt.Sprint(family.GetType(), slices.Sorted(maps.Keys(variants)))
	}
	return of
}

// samples maps each series to its value, without those that differ by their nature.
func samples(families map[string]*dto.MetricFamily) map[string]string {
	of := make(map[string]string)
	for name, family := range families {
		if !strings.HasPrefix(name, "node_") || name == "node_exporter_build_info" ||
			name == "node_scrape_collector_duration_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(labels)
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
			of[name+"{"+strings.Join(labels, ",")+"}"] = fmt.Sprint(value)
		}
	}
	return of
}

func parse(t *testing.T, body string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, body)
	}
	return families
}

// collectLive measures this machine.
func collectLive(t *testing.T, config string) string {
	t.Helper()
	e, err := New(json.RawMessage(config), sdk.Host{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	if err := e.Collect(t.Context(), &body); err != nil {
		t.Fatal(err)
	}
	return body.String()
}

// scrapeNodeExporter runs the node_exporter at path for one scrape. The options come after those that undo what
// distributions change in the defaults.
func scrapeNodeExporter(t *testing.T, path string, collectors, options []string) string {
	t.Helper()
	args := []string{
		"--web.listen-address=127.0.0.1:0", "--collector.disable-defaults",
		"--collector.filesystem.mount-points-exclude=" + defaultMountPointsExclude,
		"--collector.filesystem.fs-types-exclude=" + defaultFSTypesExclude,
		"--collector.netdev.device-exclude=",
	}
	if !slices.ContainsFunc(options, func(o string) bool { return strings.Contains(o, "diskstats.device-exclude") }) {
		args = append(args, "--collector.diskstats.device-exclude="+defaultDiskExclude)
	}
	known, err := exec.CommandContext(t.Context(), path, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, known)
	}
	for _, name := range collectors {
		if strings.Contains(string(known), "collector."+name+" ") { // Old versions do not know all.
			args = append(args, "--collector."+name)
		}
	}
	for _, o := range options {
		flag, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(o, "--"), "no-"), "=")
		if strings.Contains(string(known), flag) {
			args = append(args, o)
		}
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // t.Context is done by then, which has killed it.
	address := listenAddress(t, stderr)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", resp.Status, err, body)
	}
	return string(body)
}

// listenAddress waits for the log line that tells the address.
func listenAddress(t *testing.T, log io.Reader) string {
	t.Helper()
	line := regexp.MustCompile(`Listening on"? address=(\S+)`)
	var seen strings.Builder
	for s := bufio.NewScanner(log); s.Scan(); {
		if m := line.FindStringSubmatch(s.Text()); m != nil {
			return m[1]
		}
		fmt.Fprintln(&seen, s.Text())
	}
	t.Fatalf("node_exporter does not say where it listens:\n%s", &seen)
	return ""
}

// TestSameFamiliesAsTheRecordedNodeExporter compares with a recorded body of the newest node_exporter, for machines that
// have an older one or none.
func TestSameFamiliesAsTheRecordedNodeExporter(t *testing.T) {
	const path = "../../../../shared/exposition/node_exporter.text.txt"
	body, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("no recorded body: %v", err)
	}
	recorded, inBoth := schema(parse(t, string(body))), 0
	for name, ours := range schema(parse(t, collectLive(t, `{}`))) {
		theirs, ok := recorded[name]
		if !ok {
			continue // A different kernel or machine.
		}
		inBoth++
		if ours != theirs {
			t.Errorf("%s: ours %s, theirs %s", name, ours, theirs)
		}
	}
	if inBoth < 80 {
		t.Errorf("only %d families are in both", inBoth)
	}
}

// TestPromtoolAcceptsTheOutput allows the lint findings that node_exporter's names and types have by themselves.
func TestPromtoolAcceptsTheOutput(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed")
	}
	bodies := map[string]string{"this machine": collectLive(t, `{"cpu": {"info": true}}`)}
	for _, name := range []string{"modern", "old", "broken", "network", "kernel", "hardware", "devices", "disks"} {
		golden, err := os.ReadFile(filepath.Join("testdata", name+".prom"))
		if err != nil {
			t.Fatal(err)
		}
		bodies[name] = string(golden)
	}
	inherited := regexp.MustCompile(`^node_\w+ (metric names should|use base unit|counter metrics should|non-counter metrics should|` +
		`non-histogram|metric name should|abbreviated unit)`)
	for name, body := range bodies {
		cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(body)
		out, err := cmd.CombinedOutput()
		if err == nil {
			continue
		}
		for line := range strings.Lines(string(out)) {
			if !inherited.MatchString(line) {
				t.Errorf("%s: promtool says %q (%v)", name, line, err)
			}
		}
	}
}
