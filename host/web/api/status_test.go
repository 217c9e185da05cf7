package api

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/host/web/notices"
	"github.com/narthex-io/narthex/model/relabel"
)

// Config returns the configuration of the pool "node", which drops what is called never.
func (fakeTargets) Config(pool string) *scrape.Config {
	if pool != "node" {
		return nil
	}
	rules := []*relabel.Config{
		{SourceLabels: []string{"__address__"}, Separator: ";", Regex: "(.*):.*", TargetLabel: "host", Replacement: "$1", Action: relabel.Replace},
		{SourceLabels: []string{"host"}, Separator: ";", Regex: "never", Replacement: "$1", Action: relabel.Drop},
		{Separator: ";", Regex: "nothing", Replacement: "$1", Action: relabel.LabelDrop},
	}
	for _, r := range rules {
		if err := r.Validate(false); err != nil {
			panic(err)
		}
	}
	return &scrape.Config{JobName: pool, RelabelConfigs: rules}
}

func TestRelabelSteps(t *testing.T) {
	h := newAPI(t)
	check := func(pool, labels string, status int, want string) {
		t.Helper()
		got, body := call(t, h, "/targets/relabel_steps?"+url.Values{"scrapePool": {pool}, "labels": {labels}}.Encode(), "")
		if got != status || !strings.Contains(body, want) {
			t.Errorf("%s %s\n got %d %s\nwant %d %s", pool, labels, got, body, status, want)
		}
	}
	const (
		first  = `{"rule":{"source_labels":["__address__"],"separator":";","regex":"(.*):.*","target_label":"host","replacement":"$1","action":"replace"},"output":`
		second = `{"rule":{"source_labels":["host"],"separator":";","regex":"never","replacement":"$1","action":"drop"},"output":`
		third  = `{"rule":{"separator":";","regex":"nothing","replacement":"$1","action":"labeldrop"},"output":`
	)
	check("node", `{"__address__": "x:1", "nothing": "y"}`, 200, `{"status":"success","data":{"steps":[`+
		first+`{"__address__":"x:1","host":"x","nothing":"y"},"keep":true},`+second+`{"__address__":"x:1","host":"x","nothing":"y"},"keep":true},`+
		third+`{"__address__":"x:1","host":"x"},"keep":true}]}}`)
	check("node", `{"__address__": "never:1"}`, 200, `{"steps":[`+first+`{"__address__":"never:1","host":"never"},"keep":true},`+second+`{},"keep":false}]}}`)
	check("", `{}`, 400, "no scrapePool parameter provided")
	check("node", "", 400, "no labels parameter provided")
	check("node", "x", 400, "error parsing labels: invalid character 'x' looking for beginning of value")
	check("node", `{"a": 1}`, 400, "error parsing labels: found the JSON type number: labels are an object whose values are text")
	check("other", `{}`, 400, `error retrieving scrape config: scrape pool \"other\" not found`)
}

func TestStatusOfTheServer(t *testing.T) {
	reg := prometheus.NewRegistry()
	board, err := notices.New(1, reg)
	if err != nil {
		t.Fatal(err)
	}
	ready := false
	h := New(Options{
		Ready: func() bool { return ready }, Logger: slog.New(slog.DiscardHandler), Gatherer: reg, Notices: board,
		Replay:   func() ReplayStatus { return ReplayStatus{Min: 3, Max: 9, Current: 5} },
		Features: func() map[string]map[string]bool { return map[string]map[string]bool{"ui": {"x": true}} },
	})
	check := func(path string, status int, want string) {
		t.Helper()
		if got, body := call(t, h, path, ""); got != status || body != want {
			t.Errorf("%s\n got %d %s\nwant %d %s", path, got, body, status, want)
		}
	}
	check("/status/walreplay", 200, `{"status":"success","data":{"min":3,"max":9,"current":5}}`)
	check("/notifications", 200, `{"status":"success","data":[]}`)
	if status, _ := call(t, h, "/features", ""); status != 500 {
		t.Errorf("/features answers %d before the server is ready", status)
	}
	ready = true
	check("/features", 200, `{"status":"success","data":{"ui":{"x":true}}}`)
	check("/status/self_metrics?metric_name_pattern=no", 200, `{"status":"success","data":[]}`)
	check("/status/self_metrics?metric_name_pattern=(", 400,
		`{"status":"error","errorType":"bad_data","error":"invalid metric_name_pattern: error parsing regexp: missing closing ): `+"`^(?:()$`"+`"}`)
	_, body := call(t, h, "/status/self_metrics?metric_name_pattern=.*_active_subscribers", "")
	var answer struct {
		Data []struct {
			Name, Type string
			Metric     []struct{ Gauge struct{ Value float64 } }
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Data) != 1 || answer.Data[0].Type != "GAUGE" ||
		answer.Data[0].Name != "prometheus_api_notification_active_subscribers" || len(answer.Data[0].Metric) != 1 {
		t.Errorf("%s, %v", body, err)
	}
	board.Set("careful", true)
	if _, body := call(t, h, "/notifications", ""); !strings.Contains(body, `"data":[{"text":"careful","date":"20`) || !strings.Contains(body, `"active":true`) {
		t.Error(body)
	}
}

func TestLiveNotifications(t *testing.T) {
	board, err := notices.New(1, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(New(Options{Notices: board, Logger: slog.New(slog.DiscardHandler)}))
	defer s.Close()
	board.Set("first", true)
	listen := func(ctx context.Context) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/notifications/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := listen(t.Context())
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %q", ct)
	}
	lines := bufio.NewReader(resp.Body)
	want := func(text string, active bool) {
		t.Helper()
		line, err := lines.ReadString('\n')
		var n notices.Notice
		data, ok := strings.CutPrefix(line, "data: ")
		if err != nil || !ok || json.Unmarshal([]byte(data), &n) != nil || n.Text != text || n.Active != active {
			t.Fatalf("%q, %v", line, err)
		}
		if line, _ = lines.ReadString('\n'); line != "\n" {
			t.Errorf("%q", line)
		}
	}
	want("first", true)
	if second := listen(t.Context()); second.StatusCode != http.StatusNoContent || second.Body.Close() != nil {
		t.Errorf("one client too many gets %d", second.StatusCode)
	}
	board.Set("first", false)
	want("first", false)
	board.Close()
	if line, err := lines.ReadString('\n'); err == nil {
		t.Errorf("after the end: %q", line)
	}
}
