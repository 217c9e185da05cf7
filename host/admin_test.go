package host

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// TestAdministration deletes a series and makes a snapshot over HTTP.
func TestAdministration(t *testing.T) {
	s := start(t, "")
	app := s.host.storage.Appender()
	out := make([]storage.Outcome, 2)
	err := app.Append(t.Context(), []storage.Entry{
		{Labels: labels.FromStrings("__name__", "kept"), T: 1000, V: 1},
		{Labels: labels.FromStrings("__name__", "deleted"), T: 1000, V: 1},
	}, out)
	if err != nil || out[0].Err != nil || out[1].Err != nil {
		t.Fatal(err, out)
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, body := s.do("POST", "/api/v1/admin/tsdb/delete_series?match[]=deleted"); status != 204 {
		t.Fatal(status, body)
	}
	for query, want := range map[string]string{"kept": `"1"`, "deleted": `"result":[]`} {
		if status, body := s.do("GET", "/api/v1/query?time=1&query="+query); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
	if status, body := s.do("POST", "/api/v1/admin/tsdb/clean_tombstones"); status != 204 {
		t.Error(status, body)
	}
	status, body := s.do("POST", "/api/v1/admin/tsdb/snapshot")
	var made struct{ Data struct{ Name string } }
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != 200 {
		t.Fatal(status, body)
	}
	blocks, err := os.ReadDir(filepath.Join(s.host.opts.Storage.Dir, "snapshots", made.Data.Name))
	if err != nil || len(blocks) != 1 {
		t.Errorf("the snapshot holds %v, %v", blocks, err)
	}
	if status, body := s.do("GET", "/api/v1/status/tsdb"); status != 200 || !strings.Contains(body, `"minTime":1000,"maxTime":1000},"seriesCountByMetricName":[{"name":"deleted","value":1},{"name":"kept","value":1}]`) {
		t.Error(status, body)
	}
	if status, body := s.do("GET", "/api/v1/status/tsdb/blocks"); status != 200 || body != `{"status":"success","data":{"blocks":[]}}` {
		t.Error(status, body)
	}
}
