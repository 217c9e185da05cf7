package promql_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// waitingStore selects nothing, after the query has ended.
type waitingStore struct{ brokenStore }

func (s waitingStore) Querier(int64, int64) (storage.Querier, error) { return s, nil }

func (waitingStore) Select(ctx context.Context, _ bool, _ *storage.SelectHints, _ ...*labels.Matcher) storage.SeriesSet {
	<-ctx.Done()
	return brokenSet{}
}

func TestQueriesAreListedAndCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, promql.Options{MaxConcurrency: 1})
		var mu sync.Mutex
		ended := map[string]error{}
		for _, query := range []string{"a", "b", "c"} {
			go func() {
				_, err := ask(t.Context(), e, waitingStore{}, query)
				mu.Lock()
				defer mu.Unlock()
				ended[query] = err
			}()
			synctest.Wait()
		}
		shown := func() string {
			var list []string
			for _, q := range e.Active() {
				state := "waits"
				if q.Running {
					state = "runs"
				}
				list = append(list, q.Query+" "+state)
			}
			return strings.Join(list, ", ")
		}
		if got := shown(); got != "a runs, b waits, c waits" {
			t.Error(got)
		}
		ids := map[string]uint64{}
		for _, q := range e.Active() {
			ids[q.Query] = q.ID
		}
		if !e.Cancel(ids["a"]) || !e.Cancel(ids["c"]) || e.Cancel(12345) {
			t.Error("canceling does not tell what there is")
		}
		synctest.Wait()
		if got := shown(); got != "b runs" {
			t.Error(got)
		}
		for query, text := range map[string]string{
			"a": "query was canceled by an operator in expression evaluation", "c": "query was canceled by an operator in query queue",
		} {
			if err := ended[query]; !errors.Is(err, promql.ErrCanceled) || promql.KindOf(err) != promql.KindCanceled || err.Error() != text {
				t.Errorf("%s: %v", query, err)
			}
		}
		e.Cancel(ids["b"])
	})
}

// stubbornStore selects nothing, and does not mind whether the query has ended.
type stubbornStore struct {
	brokenStore
	end chan struct{}
}

func (s stubbornStore) Querier(int64, int64) (storage.Querier, error) { return s, nil }

func (s stubbornStore) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	<-s.end
	return brokenSet{}
}

// TestAnswersAreInTime asks what does not end in time: there is an answer, but the place is taken until the end.
func TestAnswersAreInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEngine(t, promql.Options{MaxConcurrency: 1, Timeout: time.Second}), stubbornStore{end: make(chan struct{})}
		for _, want := range []string{"query timed out in query execution", "query timed out in query queue"} {
			begin := time.Now()
			if _, err := ask(t.Context(), e, s, "a"); err == nil || err.Error() != want || promql.KindOf(err) != promql.KindTimeout {
				t.Error(err)
			}
			if late := time.Since(begin) - time.Second; late < 0 || late > 100*time.Millisecond {
				t.Errorf("the answer is %s late", late)
			}
			if active := e.Active(); len(active) != 1 || !active[0].Running {
				t.Errorf("%+v", active)
			}
		}
		close(s.end)
		if e.Close(); len(e.Active()) != 0 {
			t.Error(e.Active())
		}
	})
}

func TestQueryLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "query.log")
	reg := prometheus.NewRegistry()
	e, store := newEngine(t, promql.Options{Registerer: reg, EnablePerStepStats: true}), newStore(t, 2)
	open := func() {
		t.Helper()
		l, err := promql.OpenQueryLog(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.SetQueryLog(l); err != nil {
			t.Fatal(err)
		}
	}
	open()
	rule := promql.QueryOptions{Origin: promql.Origin{Rule: &promql.RuleOrigin{File: "r.yml", Name: "g"}}, PerStepStats: true}
	if _, err := e.Range(t.Context(), store, "x_total < 1", rule, start, start.Add(90e9), 90e9); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	open()
	request := promql.QueryOptions{Origin: promql.Origin{Request: &promql.RequestOrigin{ClientIP: "::1", Method: "GET", Path: "/p"}}}
	_, err := e.Instant(t.Context(), store, "x_total / on (job) group_left x_total{instance=~\".*\"} + on () x_total", request, start)
	_, parseErr := e.Instant(t.Context(), store, "x_total +", request, start)
	if err == nil || parseErr == nil {
		t.Fatal(err, parseErr)
	}
	enabled := func(want string) {
		t.Helper()
		text := "# HELP prometheus_engine_query_log_enabled State of the query log.\n# TYPE prometheus_engine_query_log_enabled gauge\nprometheus_engine_query_log_enabled " + want + "\n"
		if err := testutil.GatherAndCompare(reg, strings.NewReader(text), "prometheus_engine_query_log_enabled"); err != nil {
			t.Error(err)
		}
	}
	enabled("1")
	if err := e.SetQueryLog(nil); err != nil {
		t.Fatal(err)
	}
	enabled("0")
	check := func(path, want string) {
		t.Helper()
		lines := readLines(t, path)
		if len(lines) != 1 {
			t.Fatalf("%d lines in %s", len(lines), path)
		}
		line := lines[0]
		stats, ok := line["stats"].(map[string]any)["timings"].(map[string]any)
		if !ok || len(stats) != 6 || line["time"] == "" {
			t.Error(line)
		}
		if samples, ok := line["stats"].(map[string]any)["samples"].(map[string]any); !ok || samples["totalQueryableSamples"] != 4. {
			t.Error(line)
		}
		delete(line, "time")
		delete(line, "stats")
		got, err := json.Marshal(line)
		if err != nil || string(got) != want {
			t.Errorf("%v\n%s, want\n%s", err, got, want)
		}
	}
	check(path+".old", `{"level":"INFO","msg":"promql query logged","params":{"end":"1970-01-01T00:11:30.000Z","query":"x_total \u003c 1","start":"1970-01-01T00:10:00.000Z","step":90},`+
		`"ruleGroup":{"file":"r.yml","name":"g"},"spanID":"0000000000000000","traceID":"00000000000000000000000000000000"}`)
	if got := readLines(t, path)[0]["error"]; got != err.Error() {
		t.Errorf("error %v, want %v", got, err)
	}
}

func readLines(t *testing.T, path string) []map[string]any {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []map[string]any
	for s := bufio.NewScanner(f); s.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		lines = append(lines, line)
	}
	return lines
}
