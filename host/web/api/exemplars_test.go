package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
)

// fakeExemplars answers with one exemplar and tells what it was asked.
type fakeExemplars struct {
	asked string
	err   error
}

func (f *fakeExemplars) Exemplars(_ context.Context, mint, maxt int64, sets ...[]*labels.Matcher) ([]storage.SeriesExemplars, error) {
	f.asked = fmt.Sprint(mint, " ", maxt, " ", sets)
	if maxt < math.MaxInt32 {
		return nil, f.err
	}
	one := sample.Exemplar{Labels: labels.FromStrings("trace_id", "ab"), Value: 0.3, T: 1795230138664}
	return []storage.SeriesExemplars{{Labels: labels.FromStrings("__name__", "m"), Exemplars: []sample.Exemplar{one, one}}}, f.err
}

func TestQueryExemplars(t *testing.T) {
	f := &fakeExemplars{}
	h := New(Options{
		Engine: newEngine(t), Exemplars: f, Parser: parser.New(parser.Options{}), Ready: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
	})
	check := func(path, form string, code int, want, asked string) {
		t.Helper()
		f.asked = ""
		status, body := call(t, h, path, form)
		if status != code || body != want+"\n" && body != want {
			t.Errorf("%s: got %d %s\nwant %d %s", path, status, body, code, want)
		}
		if f.asked != asked {
			t.Errorf("%s: asked for %s, want %s", path, f.asked, asked)
		}
	}
	one := `{"labels":{"trace_id":"ab"},"value":"0.3","timestamp":1795230138.664}`
	answer := `{"status":"success","data":[{"seriesLabels":{"__name__":"m"},"exemplars":[` + one + "," + one + `]}]}`
	check("/query_exemplars?query=rate(a[5m])/b{x='1'}&start=1&end=9999999999", "", http.StatusOK, answer,
		`1000 9999999999000 [[__name__="a"] [x="1" __name__="b"]]`)
	check("/query_exemplars", "query=a&start=1&end=2", http.StatusOK, `{"status":"success","data":[]}`, `1000 2000 [[__name__="a"]]`)
	check("/query_exemplars?query=a&start=2&end=1", "", http.StatusBadRequest,
		`{"status":"error","errorType":"bad_data","error":"end timestamp must not be before start timestamp"}`, "")
	f.err = errors.New("broken")
	check("/query_exemplars?query=a&start=1&end=2", "", http.StatusUnprocessableEntity,
		`{"status":"error","errorType":"execution","error":"broken"}`, `1000 2000 [[__name__="a"]]`)
}

// TestNoSelectors answers an expression without series with no content.
func TestNoSelectors(t *testing.T) {
	h := New(Options{Engine: newEngine(t), Parser: parser.New(parser.Options{}), Ready: func() bool { return true }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/query_exemplars?query=1", nil))
	if w.Code != http.StatusNoContent || w.Body.Len() > 0 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
