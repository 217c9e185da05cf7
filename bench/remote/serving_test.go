package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	theirlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/web"

	"github.com/narthex-io/narthex/host/remote/read"
	"github.com/narthex-io/narthex/host/web/federate"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// reads are settings of what others read.
type reads struct {
	lookback           time.Duration
	external           labels.Labels
	sampleLimit, frame int
}

// localStorage is what upstream's server wants of a storage.
type localStorage struct{ *tsdb.DB }

func (s localStorage) Stats(string, int) (*tsdb.Stats, error) { return &tsdb.Stats{}, nil }
func (s localStorage) WALReplayStatus() (tsdb.WALReplayStatus, error) {
	return tsdb.WALReplayStatus{}, nil
}
func (s localStorage) BlockMetas() ([]tsdb.BlockMeta, error) { return nil, nil }

// ChunkQuerier is there twice otherwise.
func (s localStorage) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	return s.DB.ChunkQuerier(mint, maxt)
}

// serveTheirs runs upstream's web server over a storage and returns its URL.
func serveTheirs(t *testing.T, s *theirs, r reads) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h := web.New(quiet(), &web.Options{
		Context: ctx, LocalStorage: localStorage{s.db}, Storage: s.db, LookbackDelta: r.lookback, Gatherer: prometheus.NewRegistry(),
		Registerer: prometheus.NewRegistry(), ListenAddresses: []string{"127.0.0.1:0"}, RoutePrefix: "/", ExternalURL: &url.URL{Scheme: "http", Host: "x"},
		RemoteReadSampleLimit: r.sampleLimit, RemoteReadConcurrencyLimit: 10, RemoteReadBytesInFrame: r.frame, MaxConnections: 100,
		Version: &web.PrometheusVersion{},
	})
	cfg := config.DefaultConfig
	cfg.GlobalConfig.ExternalLabels = theirlabels.FromMap(r.external.Map())
	if err := h.ApplyConfig(&cfg); err != nil {
		t.Fatal(err)
	}
	h.SetReady(web.Ready)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, []net.Listener{l}, "") }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return "http://" + l.Addr().String()
}

// serveOurs serves the same from our storage.
func serveOurs(t *testing.T, s *ours, r reads) string {
	t.Helper()
	f, err := federate.New(federate.Options{
		Storage: s.db, Parser: parser.New(parser.Options{}), Lookback: r.lookback,
		ExternalLabels: func() labels.Labels { return r.external }, Registerer: prometheus.NewRegistry(), Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := read.New(read.Options{
		Storage: s.db, ExternalLabels: func() labels.Labels { return r.external }, SampleLimit: r.sampleLimit, ConcurrentLimit: 10,
		MaxBytesInFrame: r.frame, Registerer: prometheus.NewRegistry(), Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/federate", f)
	mux.Handle("/api/v1/read", h)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// got is an answer as it came.
type got struct {
	status int
	header http.Header
	body   []byte
}

func fetch(t *testing.T, method, url string, body []byte, header http.Header) got {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got{res.StatusCode, res.Header, answer}
}

// fill writes the same to both.
func fill(t *testing.T, rows ...[]one) (*theirs, *ours) {
	t.Helper()
	s := settings{window: time.Hour, messages: []string{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"}}
	a, b := newTheirs(t, s).(*theirs), newOurs(t, s).(*ours)
	for i, row := range rows {
		for _, server := range []server{a, b} {
			if res := send(server, v2(row...)); res.status != http.StatusNoContent {
				t.Fatalf("row %d: %d %s", i, res.status, res.body)
			}
		}
	}
	if want, got := a.stored(t), b.stored(t); !slices.Equal(want, got) {
		t.Fatal("the storages differ")
	}
	return a, b
}

// variety are rows of series of all sorts.
func variety(soon int64) [][]one {
	odd := []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e5, 123456, 999999, 1e6, 1234567, -999999.5, 1e21, 1e-7, 5e-324, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN()}
	var first, second []one
	for i, v := range odd {
		first = append(first, one{labels: named("odd", "i", fmt.Sprint(i)), samples: []writev2Sample{sm(20_000, v)}})
	}
	for i := range 200 {
		s := one{labels: named(fmt.Sprintf("metric_%d", i%7), "instance", fmt.Sprintf("host%02d:9100", i), "job", "node"), samples: []writev2Sample{sm(15_000, float64(i)), sm(30_000, float64(i)/3)}}
		if i%10 == 3 {
			s.labels = append(s.labels, "region", "own")
		}
		first = append(first, s)
	}
	first = append(first,
		floats("bare", sm(20_000, 1)), floats("old", sm(1000, 1)), floats("stale", sm(20_000, 1), sm(30_000, staleNaN)),
		floats("back", sm(20_000, 1), sm(25_000, staleNaN), sm(30_000, 2)), floats("colons:are:fine", sm(20_000, 1)),
		floats("future", sm(20_000, 1)),
		floats("größe.in.m", sm(20_000, 1)), floats("a b", sm(20_000, 1)), floats("1st", sm(20_000, 1)), floats("quo\"te\\d\n", sm(20_000, 1)),
		one{labels: named("utf8_labels", "dotted.label", "x", "ключ", "значение", "quo\"te", "\\"), samples: []writev2Sample{sm(20_000, 1)}},
		one{labels: named("a.b_c", "d.e_f", "x"), samples: []writev2Sample{sm(20_000, 1)}},
		one{labels: named("escapes", "v", "a\\b\"c\nd", "w", "\\", "x", "\n", "y", "ü", "z", "}{,="), samples: []writev2Sample{sm(20_000, 1)}},
		one{labels: named("colon_label", "a:b", "x"), samples: []writev2Sample{sm(20_000, 1)}},
		natives("native_whole", whole(20_000), whole(30_000)), natives("native_gauge", floating(20_000)), natives("native_custom", custom(20_000)),
		natives("native_stale", whole(20_000), with(whole(30_000), func(h *writev2Histogram) { h.Sum = staleNaN })),
		natives("native_gap", with(custom(20_000), func(h *writev2Histogram) {
			h.PositiveSpans, h.PositiveDeltas, h.CustomValues = []writev2Span{{Offset: 1, Length: 1}, {Offset: 2, Length: 1}}, []int64{2, 2}, []float64{-1, 0, 1, 2, 3}
		})),
		one{labels: named("mixed", "k", "a"), samples: []writev2Sample{sm(20_000, 1)}},
		one{labels: named("mixed", "k", "b"), histograms: []writev2Histogram{whole(20_000)}},
		one{labels: named("mixed", "k", "c"), histograms: []writev2Histogram{floating(20_000)}},
		one{labels: named("mixed", "k", "d"), histograms: []writev2Histogram{custom(20_000)}},
		one{labels: named("mixed", "k", "e"), samples: []writev2Sample{sm(20_000, 2)}},
		one{labels: named("mixed", "k", "f"), histograms: []writev2Histogram{custom(20_000)}},
		one{labels: named("turned", "k", "g"), histograms: []writev2Histogram{whole(20_000)}},
	)
	second = append(second, one{labels: named("turned", "k", "g"), samples: []writev2Sample{sm(40_000, 7)}})
	return [][]one{first, second, {floats("future", sm(soon, 2)), floats("only_future", sm(soon, 2))}}
}

// untilNow is the time from when the samples of all tests are, in the past.
func untilNow() time.Duration { return time.Since(model.Time(base).Time()) }
