package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// fakeAdmin notes what it is asked to do.
type fakeAdmin struct {
	calls []string
	err   error
}

func (f *fakeAdmin) Delete(_ context.Context, mint, maxt int64, matchers ...*labels.Matcher) error {
	f.calls = append(f.calls, fmt.Sprintf("delete %d %d %v", mint, maxt, matchers))
	return f.err
}

func (f *fakeAdmin) CleanTombstones(context.Context) error {
	f.calls = append(f.calls, "clean")
	return f.err
}

func (f *fakeAdmin) Snapshot(_ context.Context, name string, withHead bool) error {
	f.calls = append(f.calls, fmt.Sprintf("snapshot %t", withHead))
	if !strings.HasPrefix(name, "20260203T040506Z-") || len(name) != len("20260203T040506Z-")+16 {
		return fmt.Errorf("named %s", name)
	}
	return f.err
}

func TestAdmin(t *testing.T) {
	for _, c := range []struct {
		method, path string
		err          error
		status       int
		calls, body  string
	}{
		{"POST", "/delete_series?match[]=up&start=1&end=2.5", nil, 204, `delete 1000 2500 [__name__="up"]`, ""},
		{"PUT", "/delete_series?match[]=a&match[]=b&start=1&end=2", nil, 204, `delete 1000 2000 [__name__="a"]; delete 1000 2000 [__name__="b"]`, ""},
		{"POST", "/delete_series", nil, 400, "", "no match[] parameter provided"},
		{"POST", "/delete_series?match[]=a&start=x", nil, 400, "", `invalid parameter \"start\"`},
		{"POST", "/delete_series?match[]=a{", nil, 400, "", `invalid parameter \"match[]\"`},
		{"POST", "/delete_series?match[]=a&start=1&end=2", errors.New("disk is gone"), 500, `delete 1000 2000 [__name__="a"]`, "disk is gone"},
		{"POST", "/clean_tombstones", nil, 204, "clean", ""},
		{"PUT", "/clean_tombstones", errors.New("disk is gone"), 500, "clean", `"errorType":"internal"`},
		{"POST", "/snapshot", nil, 200, "snapshot true", `{"status":"success","data":{"name":"20260203T040506Z-`},
		{"POST", "/snapshot?skip_head=true", nil, 200, "snapshot false", `{"name":"`},
		{"POST", "/snapshot?skip_head=maybe", nil, 400, "", "unable to parse boolean"},
		{"POST", "/snapshot", errors.New("disk is gone"), 500, "snapshot true", "disk is gone"},
		{"GET", "/snapshot", nil, 405, "", "Method Not Allowed"},
	} {
		f := &fakeAdmin{err: c.err}
		h := New(Options{
			Admin: f, Parser: parser.New(parser.Options{}), Ready: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC) },
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, "/admin/tsdb"+c.path, http.NoBody))
		calls := strings.Join(f.calls, "; ")
		if w.Code != c.status || calls != c.calls || !strings.Contains(w.Body.String(), c.body) || c.body == "" && w.Body.Len() > 0 {
			t.Errorf("%s %s: got %d %s, called %q", c.method, c.path, w.Code, w.Body, calls)
		}
	}
}

func TestAdminIsDisabled(t *testing.T) {
	h := New(Options{Ready: func() bool { return true }, Logger: slog.New(slog.DiscardHandler)})
	for _, path := range []string{"delete_series?match[]=a", "clean_tombstones", "snapshot"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/admin/tsdb/"+path, http.NoBody))
		if w.Code != 500 || !strings.Contains(w.Body.String(), `"errorType":"unavailable","error":"admin APIs disabled"`) {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
}

func TestStorageStatus(t *testing.T) {
	h := New(Options{
		Blocks: func() any { return []string{"a block"} },
		TSDB: func(limit int) TSDBStatus {
			return TSDBStatus{HeadStats: TSDBHeadStats{NumSeries: limit, MinTime: 5}, SeriesCountByMetricName: []TSDBStat{{"up", 3}}}
		},
		Ready: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
	})
	for query, want := range map[string]string{
		"":             `"data":{"headStats":{"numSeries":10,"numLabelPairs":0,"chunkCount":0,"minTime":5,"maxTime":0},"seriesCountByMetricName":[{"name":"up","value":3}],`,
		"?limit=77":    `"numSeries":77,`,
		"?limit=0":     "limit must be a positive number",
		"?limit=x":     "limit must be a positive number",
		"?limit=10001": "limit must not exceed 10000",
	} {
		if _, body := call(t, h, "/status/tsdb"+query, ""); !strings.Contains(body, want) {
			t.Errorf("%s: got %s", query, body)
		}
	}
	if status, body := call(t, h, "/status/tsdb/blocks", ""); status != 200 || body != `{"status":"success","data":{"blocks":["a block"]}}` {
		t.Errorf("got %d %s", status, body)
	}
}
