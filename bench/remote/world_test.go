package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	theirlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/narthex-io/narthex/host/remote/receive"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	ourtsdb "github.com/narthex-io/narthex/tsdb"
)

// settings are those of both servers.
type settings struct {
	window      time.Duration
	messages    []string
	zeros, unit bool
}

// server is one of the two.
type server interface {
	handler() http.Handler
	// stored returns all series with all samples, and all exemplars, as sorted lines.
	stored(t *testing.T) []string
	// counters returns the metrics of the receiver.
	counters(t *testing.T) string
}

type theirs struct {
	h   http.Handler
	db  *tsdb.DB
	reg *prometheus.Registry
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newTheirs(t *testing.T, s settings) server {
	t.Helper()
	opts := tsdb.DefaultOptions()
	opts.OutOfOrderTimeWindow = s.window.Milliseconds()
	opts.EnableExemplarStorage, opts.MaxExemplars = true, 1000
	opts.RetentionDuration = (100 * 365 * 24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(t.TempDir(), quiet(), nil, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.DisableCompactions()
	db.ApplyConfig(&config.Config{StorageConfig: config.StorageConfig{
		TSDBConfig:      &config.TSDBConfig{OutOfOrderTimeWindow: s.window.Milliseconds()},
		ExemplarsConfig: &config.ExemplarsConfig{MaxExemplars: 1000},
	}})
	t.Cleanup(func() { db.Close() })
	reg := prometheus.NewRegistry()
	var messages remoteapi.MessageTypes
	for _, m := range s.messages {
		messages = append(messages, remoteapi.WriteMessageType(m))
	}
	return &theirs{remote.NewWriteHandler(quiet(), reg, db, messages, s.zeros, s.unit, false), db, reg}
}

func (s *theirs) handler() http.Handler { return s.h }

func (s *theirs) counters(t *testing.T) string { return gathered(t, s.reg) }

func (s *theirs) stored(t *testing.T) (lines []string) {
	t.Helper()
	q, err := s.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(context.Background(), true, nil, theirlabels.MustNewMatcher(theirlabels.MatchRegexp, "__name__", ".*"))
	for set.Next() {
		series := set.At()
		it := series.Iterator(nil)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if kind == chunkenc.ValFloat {
				at, v := it.At()
				lines = append(lines, fmt.Sprintf("%s %d %x", series.Labels(), at, math.Float64bits(v)))
				continue
			}
			at, h := it.AtFloatHistogram(nil)
			lines = append(lines, fmt.Sprintf("%s %d %s", series.Labels(), at, h))
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	eq, err := s.db.ExemplarQuerier(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all, err := eq.Select(math.MinInt64, math.MaxInt64, []*theirlabels.Matcher{theirlabels.MustNewMatcher(theirlabels.MatchRegexp, "__name__", ".*")})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		for _, e := range one.Exemplars {
			lines = append(lines, fmt.Sprintf("exemplar of %s: %s %g %d", one.SeriesLabels, e.Labels, e.Value, e.Ts))
		}
	}
	slices.Sort(lines)
	return lines
}

type ours struct {
	h   http.Handler
	db  *ourtsdb.DB
	reg *prometheus.Registry
}

func newOurs(t *testing.T, s settings) server {
	t.Helper()
	db, err := ourtsdb.Open(context.Background(), ourtsdb.Options{
		Dir: t.TempDir(), MaxExemplars: 1000, OutOfOrderWindow: s.window, Retention: ourtsdb.Retention{Time: 100 * 365 * 24 * time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	reg := prometheus.NewRegistry()
	messages, err := receive.ParseMessages(s.messages)
	if err != nil {
		t.Fatal(err)
	}
	h, err := receive.New(receive.Options{
		Storage: db, Registerer: reg, Log: quiet(), Messages: messages, StartZeros: s.zeros, TypeAndUnit: s.unit,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &ours{h, db, reg}
}

func (s *ours) handler() http.Handler { return s.h }

func (s *ours) counters(t *testing.T) string { return gathered(t, s.reg) }

func (s *ours) stored(t *testing.T) (lines []string) {
	t.Helper()
	q, err := s.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	all := labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*")
	set := q.Select(context.Background(), true, nil, all)
	for set.Next() {
		series := set.At()
		var c storage.Columns
		r := series.Samples(nil)
		for r.Read(&c) {
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		for i := range c.T {
			if len(c.H) > 0 && c.H[i] != nil {
				lines = append(lines, fmt.Sprintf("%s %d %s", series.Labels(), c.T[i], shown(c.H[i])))
				continue
			}
			lines = append(lines, fmt.Sprintf("%s %d %x", series.Labels(), c.T[i], math.Float64bits(c.F[i])))
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	found, err := s.db.Exemplars(context.Background(), math.MinInt64, math.MaxInt64, []*labels.Matcher{all})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range found {
		for _, e := range one.Exemplars {
			lines = append(lines, fmt.Sprintf("exemplar of %s: %s %g %d", one.Labels, e.Labels, e.Value, e.T))
		}
	}
	slices.Sort(lines)
	return lines
}

func shown(h *histogram.FloatHistogram) string { return h.String() }

func gathered(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		fmt.Fprintf(&b, "%s %g\n", f.GetName(), f.GetMetric()[0].GetCounter().GetValue())
	}
	return b.String()
}

// request is one that is sent to both.
type request struct {
	method, contentType, encoding string
	body                          []byte
}

// answer is what is compared of one.
type answer struct {
	status  int
	headers string
	body    string
	reasons []string
}

// reasons are what errors are told apart by.
var reasons = []string{
	"out of order sample", "out of bounds", "duplicate sample for timestamp", "too old sample", "out of order exemplar", "too far in the future",
	"histogram's observation count", "spans", "custom", "invalid schema", "invalid metric name or labels", "duplicated label",
	"at least one sample or histogram", "outside of symbols table", "invalid labelRefs length", "corrupt input", "is not accepted", "bytes limit",
	"unknown type", "as the first (media) part",
}

func send(s server, r request) answer {
	req := httptest.NewRequest(r.method, "/api/v1/write", bytes.NewReader(r.body))
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.encoding != "" {
		req.Header.Set("Content-Encoding", r.encoding)
	}
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, req)
	res := w.Result()
	text, _ := io.ReadAll(res.Body)
	a := answer{status: res.StatusCode, body: string(text)}
	for _, name := range []string{"Samples", "Histograms", "Exemplars"} {
		a.headers += fmt.Sprintf("%s=%q ", name, res.Header.Values("X-Prometheus-Remote-Write-"+name+"-Written"))
	}
	a.headers += fmt.Sprintf("type=%q", res.Header.Get("Content-Type"))
	for _, reason := range reasons {
		if strings.Contains(a.body, reason) {
			a.reasons = append(a.reasons, reason)
		}
	}
	return a
}
