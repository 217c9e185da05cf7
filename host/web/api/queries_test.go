package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// endless selects nothing until the query ends.
type endless struct{ storage.LabelQuerier }

func (e endless) Querier(int64, int64) (storage.Querier, error) { return e, nil }
func (endless) Close() error                                    { return nil }

func (endless) Select(ctx context.Context, _ bool, _ *storage.SelectHints, _ ...*labels.Matcher) storage.SeriesSet {
	<-ctx.Done()
	return failed{err: ctx.Err()}
}

type failed struct {
	storage.SeriesSet
	err error
}

func (failed) Next() bool   { return false }
func (f failed) Err() error { return f.err }

func TestActiveQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, err := promql.New(promql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		opts := Options{
			Engine: engine, Storage: endless{}, Admin: &fakeAdmin{}, Logger: slog.New(slog.DiscardHandler),
			Ready: func() bool { return true }, Now: func() time.Time { return time.Now().Add(2500 * time.Millisecond) },
		}
		h := New(opts)
		do := func(h http.Handler, method, path string) (int, string) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
			return w.Code, w.Body.String()
		}
		var answer string
		go func() { _, answer = do(h, "GET", "/query_range?query=up&start=0&end=60&step=15") }()
		synctest.Wait()
		_, body := do(h, "GET", "/status/queries")
		var list struct{ Data ActiveQueries }
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Data.Queries) != 1 {
			t.Fatal(err, body)
		}
		q := list.Data.Queries[0]
		if q.ID != "1" || q.State != "running" || q.Query != "up" || q.StepSeconds != 15 || q.End.Unix() != 60 || q.Seconds != 2.5 ||
			q.Request == nil || q.Request.Path != "/query_range" || q.Request.ClientIP != "192.0.2.1" {
			t.Errorf("%+v", q)
		}
		for path, status := range map[string]int{"/admin/queries/7/cancel": 404, "/admin/queries/x/cancel": 400} {
			if got, body := do(h, "POST", path); got != status {
				t.Error(path, got, body)
			}
		}
		locked := opts
		locked.Admin = nil
		if got, body := do(New(locked), "POST", "/admin/queries/1/cancel"); got != 500 || !strings.Contains(body, "admin APIs disabled") {
			t.Error(got, body)
		}
		if got, body := do(h, "POST", "/admin/queries/1/cancel"); got != 204 {
			t.Error(got, body)
		}
		synctest.Wait()
		if answer != `{"status":"error","errorType":"canceled","error":"query was canceled by an operator in expression evaluation"}` {
			t.Error(answer)
		}
		if _, body := do(h, "GET", "/status/queries"); body != `{"status":"success","data":{"queries":[]}}` {
			t.Error(body)
		}
	})
}
