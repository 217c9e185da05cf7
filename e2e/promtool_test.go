//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPromtoolQuery: the commands of `promtool query` get what the API answers.
func TestPromtoolQuery(t *testing.T) {
	t.Parallel()
	promtool := component(t, "promtool", "prometheus")
	h := newHistory(t)
	s := start(t, options{config: h.job("/")})
	h.tell(s.client, "/")
	at, begin, end := h.end().Add(7*time.Second), h.start.Add(7*time.Second), h.end()
	run := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(wantCommand(t, s.dir, promtool, args...))
	}

	got := run("query", "instant", "-o", "json", "--time", rfc3339(at), s.base, "sum by (code) (rate(e2e_requests_total[5m]))")
	wantSeries(t, decodeSeries(t, got), s.query("sum by (code) (rate(e2e_requests_total[5m]))", at))
	if len(decodeSeries(t, got)) != 3 {
		t.Errorf("promtool query instant prints %s", got)
	}
	if got := run("query", "instant", "--time", rfc3339(at), s.base, "e2e_moment * 2"); got != fmt.Sprintf(`{instance=%q, job="history"} => 198 @[%s]`, h.address, strings.TrimRight(strings.TrimRight(seconds(at), "0"), ".")) {
		t.Errorf("promtool query instant prints %s", got)
	}

	got = run("query", "range", "-o", "json", "--start", rfc3339(begin), "--end", rfc3339(end), "--step=5m", s.base, "e2e_moment")
	found := decodeSeries(t, got)
	if len(found) != 1 || len(found[0].Values) != 10 || found[0].Values[9].v != 90 {
		t.Errorf("promtool query range prints %s", got)
	}

	got = run("query", "series", "--match", `e2e_requests_total{method="get"}`, "--match", "e2e_moment",
		"--start", rfc3339(begin), "--end", rfc3339(end), s.base)
	var lines []string
	for _, code := range []string{"200", "404", "500"} {
		lines = append(lines, fmt.Sprintf(`{__name__="e2e_requests_total", code=%q, instance=%q, job="history", method="get"}`, code, h.address))
	}
	want := append([]string{fmt.Sprintf(`{__name__="e2e_moment", instance=%q, job="history"}`, h.address)}, lines...)
	if printed := strings.Split(got, "\n"); !slices.Equal(slices.Sorted(slices.Values(printed)), want) {
		t.Errorf("promtool query series prints\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}

	got = run("query", "labels", "--start", rfc3339(begin), "--end", rfc3339(end), s.base, "code")
	if got != "200\n404\n500" {
		t.Errorf("promtool query labels prints %q", got)
	}

	_, stderr, code := command(t, s.dir, "", promtool, "query", "instant", s.base, "sum(")
	if code != 1 || !strings.Contains(stderr, "bad_data") || !strings.Contains(stderr, "parse error") {
		t.Errorf("a mistake is answered with exit code %d and %s", code, stderr)
	}
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// decodeSeries reads what promtool prints with -o json.
func decodeSeries(t *testing.T, text string) (found []series) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return found
}

func wantSeries(t *testing.T, got, want []series) {
	t.Helper()
	text := func(all []series) string {
		var lines []string
		for _, s := range all {
			lines = append(lines, fmt.Sprint(s.name(), s.Value, s.Values))
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	if text(got) != text(want) {
		t.Errorf("got\n%s\nwant\n%s", text(got), text(want))
	}
}

// sharedLint are the remarks of promtool's linter that Prometheus and node_exporter, too, get for the same metrics: the
// names are upstream's, and changing them would break dashboards.
var sharedLint = regexp.MustCompile(`^(` +
	`node_(memory|netstat)_\w+ metric names should be written in 'snake_case' not 'camelCase'|` +
	`node_entropy_(available|pool_size)_bits use base unit "bytes" instead of "bits"|` +
	`prometheus_(engine_query_duration|target_interval_length|target_sync_length|rule_evaluation_duration|rule_group_duration)_histogram_seconds ` +
	`metric name should not include type 'histogram'|` +
	`prometheus_(tsdb_head_native_histogram_(series|buckets)|target_scrapes_exceeded_native_histogram_bucket_limit_total) ` +
	`metric name should not include type 'histogram'` +
	`)$`)

// TestPromtoolCheckMetrics: the expositions of the server and of exporter-node are valid.
func TestPromtoolCheckMetrics(t *testing.T) {
	t.Parallel()
	promtool := component(t, "promtool", "prometheus")
	target := newRecorder(t)
	s := start(t, options{config: "scrape_configs:\n" + staticJob("a", "100ms", target.address) +
		"  - job_name: node\n    exporters: [{plugin: exporter-node}]\n"})
	target.awaitMore(t, 2) // so that as many metrics as possible have values
	s.query("up")
	for _, page := range []string{"/metrics", "/plugins/exporter-node/metrics"} {
		status, body := s.do(http.MethodGet, page, nil)
		if status != http.StatusOK || strings.Count(body, "\n") < 100 {
			t.Fatalf("%s answers %d %s", page, status, body)
		}
		stdout, stderr, code := command(t, s.dir, body, promtool, "check", "metrics")
		var remarks []string
		for line := range strings.Lines(stderr) {
			if line = strings.TrimSpace(line); line != "" && !sharedLint.MatchString(line) {
				remarks = append(remarks, line)
			}
		}
		if len(remarks) > 0 || code != 0 && code != 3 {
			t.Errorf("promtool check metrics of %s: exit code %d\n%s\n%s", page, code, stdout, strings.Join(remarks, "\n"))
		}
	}
}

// TestPromtoolReadsBlocks: the running server cuts blocks from its head, and promtool lists and dumps them with the
// samples that the API returned, as it does what is still in the log alone.
func TestPromtoolReadsBlocks(t *testing.T) {
	t.Parallel()
	promtool := component(t, "promtool", "prometheus")
	target := newRecorder(t)
	s := start(t, options{
		config: "scrape_configs:\n" + staticJob("a", "100ms", target.address),
		args: []string{
			"--storage.tsdb.min-block-duration=10s", "--storage.tsdb.max-block-duration=10s",
			"--storage.tsdb.wal-compression-type=snappy", // the promtool of Debian is older than 3.11 and knows no newer records
		},
	})
	s.awaitBlocks(3)
	past := time.Now().Add(-time.Second) // All until then is stored by now.
	want := s.lines(`{job="a"}`, past)
	s.stop()

	data := filepath.Join(s.dir, "data")
	list := wantCommand(t, s.dir, promtool, "tsdb", "list", data)
	rows := regexp.MustCompile(`(?m)^([0-9A-Z]{26})\s+(\d+)\s+(\d+)\s+\S+\s+(\d+)\s`).FindAllStringSubmatch(list, -1)
	if len(rows) < 3 {
		t.Fatalf("promtool tsdb list prints\n%s", list)
	}
	samples := 0
	for i, row := range rows {
		n, err := strconv.Atoi(row[4])
		if err != nil {
			t.Fatal(err)
		}
		if samples += n; i > 0 && row[2] < rows[i-1][3] {
			t.Errorf("blocks overlap:\n%s", list)
		}
	}
	if samples < len(want)/2 {
		t.Errorf("the blocks have %d of %d samples:\n%s", samples, len(want), list)
	}
	wantLines(t, "promtool tsdb dump", dump(t, promtool, data, `{job="a"}`, past), want)
}

// lines is all samples of the hour before a time, as `promtool tsdb dump` prints them, as the API knows them.
func (c client) lines(selector string, at time.Time) (lines []string) {
	c.t.Helper()
	for _, s := range c.query(selector+"[1h]", at) {
		for _, p := range s.Values {
			lines = append(lines, fmt.Sprintf("%s %v %d", s.name(), p.v, p.t))
		}
	}
	slices.Sort(lines)
	return lines
}

// dump is what promtool finds in a data directory, blocks and log, up to a time.
func dump(t *testing.T, promtool, data, selector string, until time.Time) (lines []string) {
	t.Helper()
	out := wantCommand(t, t.TempDir(), promtool, "tsdb", "dump", "--match="+selector, fmt.Sprintf("--max-time=%d", until.UnixMilli()), data)
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "} NaN ") { // A staleness marker, which queries do not return.
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	slices.Sort(lines)
	return lines
}

// wantLines compares sorted lines and shows the first that differ.
func wantLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%s: %d and %d lines; from number %d on they differ:\ngot  %q\nwant %q", what, len(got), len(want), i,
				got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
		}
	}
}
