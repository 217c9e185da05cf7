package tsdb

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestNamesOfMetricsAreUpstreams compares with the list of upstream's metrics: name, type and labels of each.
func TestNamesOfMetricsAreUpstreams(t *testing.T) {
	list, err := os.ReadFile(filepath.Join("..", "..", "shared", "compat", "j-self-metrics.md"))
	if err != nil {
		t.Skip("the list of upstream's metrics is not there: ", err)
	}
	reg := prometheus.NewPedanticRegistry()
	db := openDB(t, t.TempDir(), func(o *Options) { o.Registerer, o.OutOfOrderWindow = reg, time.Hour })
	fill(t, db, 0, 20*minute, 1)
	fillLate(t, db, 20*minute)
	maintain(t, db)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]string{}
	for _, f := range families {
		ours[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	for line := range strings.Lines(string(list)) {
		cells := strings.Split(line, "|")
		name := strings.Trim(strings.TrimSpace(cells[min(1, len(cells)-1)]), "`")
		if !strings.HasPrefix(name, "prometheus_tsdb_") || len(cells) < 7 {
			continue
		}
		want := strings.ToLower(strings.TrimSpace(cells[2]))
		if got, ok := ours[name]; !ok && !slices.Contains(onlyWithLabels(), name) {
			t.Errorf("%s is missing", name)
		} else if ok && got != want {
			t.Errorf("%s is a %s, not a %s", name, got, want)
		}
		delete(ours, name)
	}
	for name := range ours {
		t.Logf("%s is ours alone", name)
	}
}

// onlyWithLabels are metrics of which nothing is there before something happens, as in upstream.
func onlyWithLabels() []string {
	return []string{
		"prometheus_tsdb_chunk_write_queue_operations_total", // Head chunks are not queued: they are written in one go.
		"prometheus_tsdb_out_of_order_wbl_record_bytes_saved_total",
		"prometheus_tsdb_wal_reader_corruption_errors_total", // Belongs to those who follow the log: remote write.
		"prometheus_tsdb_wal_replay_unknown_refs_total",
		"prometheus_tsdb_wbl_replay_unknown_refs_total",
	}
}
