package send

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/remote/receive"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// made is a request of random items, and what of it is stored in the end.
type made struct {
	items []item
	want  []string
}

// makeItems makes items of which a storage takes everything.
func makeItems(rng *rand.Rand, n *namer, now int64) (m made) {
	texts := []string{"a", "b", "größe", "x y", "\n\"\\", "long-" + string(bytes.Repeat([]byte("z"), 300)), "le", "0.5"}
	for i := range 1 + rng.IntN(30) {
		b := labels.NewBuilder(ls("__name__", fmt.Sprintf("metric_%d", i)))
		for range rng.IntN(6) {
			b.Set(texts[rng.IntN(len(texts))], texts[rng.IntN(len(texts))])
		}
		set := b.Labels()
		s := n.series(set)
		kind := rng.IntN(4)
		for k := range 1 + rng.IntN(3) {
			it := item{series: s, t: now + int64(k)}
			switch kind {
			case 0:
				it.more = &more{whole: randomWhole(rng)}
				m.want = append(m.want, fmt.Sprintf("%s %d %s", set, it.t, it.more.whole.ToFloat()))
			case 1:
				it.more = &more{floating: randomWhole(rng).ToFloat()}
				m.want = append(m.want, fmt.Sprintf("%s %d %s", set, it.t, it.more.floating))
			default:
				it.v = []float64{0, math.Copysign(0, -1), 1, math.Inf(1), sample.NormalNaN(), sample.StaleNaN(), rng.Float64()}[rng.IntN(7)]
				m.want = append(m.want, fmt.Sprintf("%s %d %x", set, it.t, math.Float64bits(it.v)))
			}
			m.items = append(m.items, it)
			if rng.IntN(3) == 0 && kind > 1 {
				e := item{series: s, t: it.t, v: rng.Float64(), more: &more{labels: ls("trace_id", fmt.Sprint(rng.Uint64()))}}
				m.items = append(m.items, e)
				m.want = append(m.want, fmt.Sprintf("exemplar of %s: %s %g %d", set, e.more.labels, e.v, e.t))
			}
		}
	}
	slices.Sort(m.want)
	return m
}

func randomWhole(rng *rand.Rand) *histogram.Histogram {
	h := &histogram.Histogram{
		CounterResetHint: histogram.GaugeType, Schema: int32(rng.IntN(13) - 4), ZeroThreshold: 0.001, ZeroCount: uint64(rng.IntN(1000)), Sum: rng.Float64() * 1e6,
	}
	h.Count = h.ZeroCount
	side := func() (spans []histogram.Span, deltas []int64) {
		last := int64(0)
		for range rng.IntN(3) {
			s := histogram.Span{Offset: int32(rng.IntN(5)) + 1, Length: uint32(1 + rng.IntN(4))}
			if len(spans) == 0 {
				s.Offset = int32(rng.IntN(200) - 100)
			}
			spans = append(spans, s)
			for range s.Length {
				v := int64(rng.IntN(100_000))
				h.Count += uint64(v)
				deltas = append(deltas, v-last)
				last = v
			}
		}
		return spans, deltas
	}
	h.PositiveSpans, h.PositiveBuckets = side()
	if rng.IntN(4) == 0 {
		h.Schema, h.ZeroThreshold, h.Count, h.ZeroCount = histogram.CustomBucketsSchema, 0, 0, 0
		h.PositiveSpans, h.PositiveBuckets = []histogram.Span{{Offset: 1, Length: 2}}, []int64{5, -2}
		h.Count, h.CustomValues = 8, []float64{0.5, 1, 2.5}
		return h
	}
	h.NegativeSpans, h.NegativeBuckets = side()
	return h
}

// TestReceiverUnderstands has what is encoded taken by the receiver that this server is too, and stored.
func TestReceiverUnderstands(t *testing.T) {
	for _, message := range []Message{V1, V2} {
		for seed := range uint64(30) {
			rng := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // replayable
			n := newNamer(&Config{ProtobufMessage: message}, labels.EmptyLabels(), false)
			m := makeItems(rng, n, time.Now().UnixMilli())
			got := received(t, message, newEncoder(message).encode(m.items))
			if !slices.Equal(got, m.want) {
				t.Fatalf("%s, seed %d: stored\n%q\nwant\n%q", message, seed, got, m.want)
			}
		}
	}
}

// received stores a message and returns all that is stored then.
func received(t *testing.T, message Message, body []byte) (lines []string) {
	t.Helper()
	db, err := tsdb.Open(t.Context(), tsdb.Options{Dir: t.TempDir(), MaxExemplars: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	h, err := receive.New(receive.Options{Storage: db, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(s2.EncodeSnappy(nil, body)))
	r.Header.Set("Content-Type", "application/x-protobuf;proto="+string(message))
	r.Header.Set("Content-Encoding", "snappy")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent {
		t.Fatalf("answer is %d %s", w.Code, w.Body)
	}
	return stored(t, db)
}

// stored returns all samples and exemplars as sorted lines.
func stored(t *testing.T, db *tsdb.DB) (lines []string) {
	t.Helper()
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	all := labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*")
	set := q.Select(context.Background(), true, nil, all)
	for set.Next() {
		s := set.At()
		var c storage.Columns
		r := s.Samples(nil)
		for r.Read(&c) {
		}
		for i := range c.T {
			if len(c.H) > 0 && c.H[i] != nil {
				lines = append(lines, fmt.Sprintf("%s %d %s", s.Labels(), c.T[i], c.H[i]))
				continue
			}
			lines = append(lines, fmt.Sprintf("%s %d %x", s.Labels(), c.T[i], math.Float64bits(c.F[i])))
		}
	}
	found, err := db.Exemplars(context.Background(), math.MinInt64, math.MaxInt64, []*labels.Matcher{all})
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

// Texts of 2.0 stand once in a request, and the first is empty.
func TestSymbols(t *testing.T) {
	n := newNamer(&Config{ProtobufMessage: V2}, labels.EmptyLabels(), false)
	a, b := n.series(ls("__name__", "a", "job", "x")), n.series(ls("__name__", "b", "job", "x"))
	n.describe(a, &sample.Metadata{Type: sample.TypeCounter, Help: "what a is", Unit: "x"})
	var e encoder2
	for range 3 {
		d := decoded{v2: true}
		if err := d.decode(e.encode([]item{{series: a, t: 5, st: 3, v: 1}, {series: b, t: 6, v: 2}, {series: a, t: 7, v: 2}})); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%q", d.symbols) != `["" "__name__" "a" "job" "x" "what a is" "b"]` {
			t.Errorf("symbols are %q", d.symbols)
		}
		want := []string{`5 from 3: 3ff0000000000000`, `6: 4000000000000000`, `7: 4000000000000000`}
		for i, s := range d.series {
			if s.samples[0] != want[i] {
				t.Errorf("sample %d is %s", i, s.samples[0])
			}
		}
		if wantName := a2(t, `a`, "x") + ` type 1 help "what a is" unit "x"`; d.series[0].name != wantName {
			t.Errorf("series is %s, want %s", d.series[0].name, wantName)
		}
	}
	// A number that is used again does not lead to the text that had it before.
	n.forget(b)
	c := n.series(ls("__name__", "c", "job", "x"))
	d := decoded{v2: true}
	if err := d.decode(e.encode([]item{{series: b, t: 1}, {series: c, t: 1}, {series: b, t: 2}})); err != nil {
		t.Fatal(err)
	}
	if d.series[0].name == d.series[1].name || d.series[0].name != d.series[2].name {
		t.Errorf("series are %v", d.series)
	}
	n.forget(a)
	n.forget(c)
	if len(n.symbols) != 0 {
		t.Errorf("%d symbols are left when no series is", len(n.symbols))
	}
}

func a2(t *testing.T, name, job string) string {
	t.Helper()
	return ls("__name__", name, "job", job).String()
}

// FuzzFloats checks the sizes that the encoder calculates.
func FuzzFloats(f *testing.F) {
	f.Add("name", "value", int64(1), int64(0), uint64(1))
	f.Add("", "", int64(-1), int64(-5), uint64(0))
	f.Add("x", string(bytes.Repeat([]byte("y"), 200)), int64(math.MaxInt64), int64(math.MinInt64), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, name, value string, at, st int64, bits uint64) {
		if name == "" || value == "" {
			return
		}
		for _, message := range []Message{V1, V2} {
			n := newNamer(&Config{ProtobufMessage: message}, labels.EmptyLabels(), false)
			s := n.series(ls(name, value))
			body := newEncoder(message).encode([]item{{series: s, t: at, st: st, v: math.Float64frombits(bits)}, {series: s, t: at, v: 1}})
			d := decoded{v2: message == V2}
			if err := d.decode(body); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("%d: %x", at, bits)
			if message == V2 && st != 0 {
				want = fmt.Sprintf("%d from %d: %x", at, st, bits)
			}
			if len(d.series) != 2 || d.series[0].name != ls(name, value).String() || d.series[0].samples[0] != want {
				t.Fatalf("%s: got %v, want %s", message, d.series, want)
			}
		}
	})
}

func TestSizeOfVarint(t *testing.T) {
	for shift := range 64 {
		for _, v := range []uint64{1 << shift, 1<<shift - 1} {
			if got, want := sizeOfVarint(v), len(binary.AppendUvarint(nil, v)); got != want {
				t.Errorf("size of %d is %d, want %d", v, got, want)
			}
		}
	}
}

// TestEncoderIsAsLargeAsRequests encodes requests of series that are many, among them such whose symbols have the same number.
func TestEncoderIsAsLargeAsRequests(t *testing.T) {
	n := newNamer(&Config{ProtobufMessage: V2}, labels.EmptyLabels(), false)
	e := &encoder2{}
	for range 500 {
		var items []item
		var want []string
		for i := range 100 {
			n.next %= 3000
			set := ls("__name__", "metric", "instance", fmt.Sprint(n.next, i), "empty", "")
			items = append(items, item{series: n.series(set), t: 1, v: 1})
			want = append(want, set.String())
		}
		d := decoded{v2: true}
		if err := d.decode(e.encode(items)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range d.series {
			got = append(got, s.name)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if len(d.symbols) > 110+100 {
			t.Fatalf("%d symbols", len(d.symbols))
		}
	}
	if len(e.places) > 1024 {
		t.Errorf("the encoder remembers %d places", len(e.places))
	}
}
