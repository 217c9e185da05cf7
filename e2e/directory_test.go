//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestSameDirectory takes one data directory from us to Prometheus and back: blocks, log and all, with the same answers
// each time.
func TestSameDirectory(t *testing.T) {
	t.Parallel()
	component(t, "prometheus", "prometheus")
	h := newHistory(t)
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	const idle = "scrape_configs: []\n"
	span := []string{"--storage.tsdb.min-block-duration=10m", "--storage.tsdb.max-block-duration=10m"}
	// The Prometheus of Debian is older than 3.11 and knows no newer records.
	older := []string{"--storage.tsdb.wal-compression-type=snappy"}

	// Ours fills it, and cuts blocks when it starts again: more than half is in blocks then, the rest in the log.
	s := start(t, options{dir: dir, config: h.job("/"), args: older})
	h.tell(s.client, "/")
	want := answers(s.client, h)
	s.stop()
	s = start(t, options{dir: dir, config: idle, args: append(older, span...)})
	s.awaitBlocks(3)
	wantAnswers(t, "ours, after it has cut blocks", answers(s.client, h), want)
	s.stop()

	// Theirs reads a copy of it, and goes on with it.
	copied := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(copied, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	other := newRecorder(t)
	theirs := startPrometheus(t, "scrape_configs:\n"+staticJob("other", "100ms", other.address), copied, span...)
	wantAnswers(t, "theirs", answers(theirs.client, h), want)
	other.awaitMore(t, 20)
	theirs.await(5*time.Second, "e2e_scrapes_total > 10")
	past := time.Now().Add(-time.Second)
	more := theirs.lines(`{job="other"}`, past)
	theirs.stop()

	// Ours takes it back, with what theirs has added.
	if err := os.Rename(data, data+".before"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, data); err != nil {
		t.Fatal(err)
	}
	s = start(t, options{dir: dir, config: idle, args: span})
	wantAnswers(t, "ours, after theirs", answers(s.client, h), want)
	wantLines(t, "what theirs added", s.lines(`{job="other"}`, past), more)
	s.stop()
}

// answers are a few views of the history, each as text.
func answers(c client, h *history) map[string][]string {
	c.t.Helper()
	at := h.end().Add(7 * time.Second)
	all := map[string][]string{"every sample": c.lines(`{__name__=~"e2e_.*", __name__!="e2e_scrapes_total"}`, at)}
	for _, query := range []string{
		"sum by (method) (increase(e2e_requests_total[45m]))",
		"avg_over_time(e2e_temperature_celsius[50m])",
		"histogram_quantile(0.9, rate(e2e_latency_seconds_bucket[30m]))",
		"max_over_time(e2e_gone[50m])",
	} {
		for _, s := range c.query(query, at) {
			// Digits beyond the twelfth depend on the order in which samples are added up.
			all[query] = append(all[query], fmt.Sprintf("%s %.12g", s.name(), s.Value.v))
		}
		slices.Sort(all[query])
	}
	return all
}

func wantAnswers(t *testing.T, who string, got, want map[string][]string) {
	t.Helper()
	for query, lines := range want {
		wantLines(t, who+": "+query, got[query], lines)
	}
}
