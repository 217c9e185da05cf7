package remote

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	sending "github.com/narthex-io/narthex/host/remote/send"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	ourtsdb "github.com/narthex-io/narthex/tsdb"
)

// into is a transport that ends in a handler.
type into struct{ h http.Handler }

func (t into) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	t.h.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// TestSendingDifferential stores random samples, has them sent to upstream's receiver, and compares what is in both storages.
func TestSendingDifferential(t *testing.T) {
	for _, message := range []string{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"} {
		t.Run(message, func(t *testing.T) { sendAll(t, message) })
	}
}

func sendAll(t *testing.T, message string) {
	t.Helper()
	to := newTheirs(t, settings{messages: []string{message}})
	reg := prometheus.NewRegistry()
	m, err := sending.New(sending.Options{
		Log: quiet(), Registerer: reg,
		NewClient: func(*sending.Config) (*http.Client, error) { return &http.Client{Transport: into{to.handler()}}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := ourtsdb.Open(t.Context(), ourtsdb.Options{
		Dir: t.TempDir(), MaxExemplars: 1000, Retention: ourtsdb.Retention{Time: 100 * 365 * 24 * time.Hour},
		OnCommit: func(c ourtsdb.Committed) { m.Committed(sending.Commit(c)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var cfgs []*sending.Config
	text := fmt.Sprintf(`[{url: "http://upstream/", protobuf_message: %s, send_exemplars: true, send_native_histograms: true, queue_config: {max_samples_per_send: 100, batch_send_deadline: 10ms, min_shards: 3}}]`, message)
	if err := yaml.Unmarshal([]byte(text), &cfgs); err != nil {
		t.Fatal(err)
	}
	if err := sending.CompleteAll(cfgs, "", false); err != nil {
		t.Fatal(err)
	}
	change, err := m.Prepare(cfgs, labels.EmptyLabels())
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = m.Run(ctx, db)
	}()
	rng := rand.New(rand.NewPCG(7, 7))
	at := time.Now().Add(-30 * time.Minute).UnixMilli()
	for round := range 100 {
		store(t, db, rng, at+int64(round)*15_000, message == "io.prometheus.write.v2.Request")
	}
	stop()
	<-ended
	got, want := to.stored(t), (&ours{db: db}).stored(t)
	if !slices.Equal(got, want) {
		t.Errorf("upstream has %d lines, %d were stored", len(got), len(want))
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("line %d is\n%s\nwant\n%s", i, got[i], want[i])
			}
		}
	}
	t.Logf("%d samples and exemplars are equal", len(want))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if name := f.GetName(); strings.HasSuffix(name, "_failed_total") && f.GetMetric()[0].GetCounter().GetValue() != 0 {
			t.Errorf("%s is %v", name, f.GetMetric())
		}
	}
}

// store stores a batch of random samples of all kinds.
func store(t *testing.T, db *ourtsdb.DB, rng *rand.Rand, at int64, custom bool) {
	t.Helper()
	var batch []storage.Entry
	for i := range 60 {
		e := storage.Entry{Labels: labels.FromStrings("__name__", fmt.Sprintf("m_%d", i%20), "instance", fmt.Sprint(i), "größe", "x\n\"y\\"), T: at}
		switch {
		case rng.IntN(10) == 0:
			continue
		case i%6 == 0:
			e.Histogram = randomHistogram(rng, custom && i%12 == 0)
		case i%6 == 1:
			e.FloatHistogram = randomHistogram(rng, custom && i%12 == 1).ToFloat()
		default:
			e.V = []float64{0, math.Copysign(0, -1), math.Inf(-1), sample.StaleNaN(), sample.NormalNaN(), rng.Float64()}[rng.IntN(6)]
			if i%6 == 2 {
				e.Exemplars = []sample.Exemplar{{Labels: labels.FromStrings("trace_id", fmt.Sprint(rng.Uint32())), Value: rng.Float64(), T: at, HasT: true}}
			}
		}
		batch = append(batch, e)
	}
	app := db.Appender()
	outcomes := make([]storage.Outcome, len(batch))
	if err := app.Append(t.Context(), batch, outcomes); err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if o.Err != nil || o.ExemplarErr != nil {
			t.Fatalf("%v: %v %v", batch[i], o.Err, o.ExemplarErr)
		}
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func randomHistogram(rng *rand.Rand, custom bool) *histogram.Histogram {
	h := &histogram.Histogram{CounterResetHint: histogram.GaugeType, Sum: rng.NormFloat64()}
	if custom {
		h.Schema, h.CustomValues = histogram.CustomBucketsSchema, []float64{0.1, 1, 10}
		h.PositiveSpans, h.PositiveBuckets, h.Count = []histogram.Span{{Offset: 1, Length: 2}}, []int64{4, -1}, 7
		return h
	}
	h.Schema, h.ZeroThreshold, h.ZeroCount = int32(rng.IntN(9)), 1e-3, uint64(rng.IntN(50))
	h.Count = h.ZeroCount
	for _, side := range []struct {
		spans  *[]histogram.Span
		deltas *[]int64
	}{{&h.PositiveSpans, &h.PositiveBuckets}, {&h.NegativeSpans, &h.NegativeBuckets}} {
		last := int64(0)
		for k := range rng.IntN(4) {
			s := histogram.Span{Offset: int32(1 + rng.IntN(9)), Length: uint32(1 + rng.IntN(3))}
			if k == 0 {
				s.Offset -= 20
			}
			*side.spans = append(*side.spans, s)
			for range s.Length {
				v := int64(1 + rng.IntN(1<<20))
				*side.deltas, last = append(*side.deltas, v-last), v
				h.Count += uint64(v)
			}
		}
	}
	return h
}
