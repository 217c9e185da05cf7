package read

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const base = 1_760_000_000_000

// openDB returns a storage with so many series of so many samples, a second apart.
func openDB(tb testing.TB, series, samples int) *tsdb.DB {
	tb.Helper()
	db, err := tsdb.Open(context.Background(), tsdb.Options{Dir: tb.TempDir(), Retention: tsdb.Retention{Time: 100 * 365 * 24 * time.Hour}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	app := db.Appender()
	var entries []storage.Entry
	for i := range series {
		for k := range samples {
			entries = append(entries, storage.Entry{Labels: labels.FromStrings("__name__", "m", "i", fmt.Sprintf("%05d", i)), T: base + int64(k)*1000, V: float64(k + 1)})
		}
	}
	if err := errors.Join(app.Append(tb.Context(), entries, make([]storage.Outcome, len(entries))), app.Commit(tb.Context())); err != nil {
		tb.Fatal(err)
	}
	return db
}

func newHandler(tb testing.TB, s storage.Queryable, change func(*Options)) *Handler {
	tb.Helper()
	opts := Options{
		Storage: s, ExternalLabels: func() labels.Labels { return labels.FromStrings("region", "eu") }, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&opts)
	}
	h, err := New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func message(num protowire.Number, parts ...[]byte) []byte {
	return wire.AppendMessage(nil, num, bytes.Join(parts, nil))
}

func number(num protowire.Number, v int64) []byte { return wire.AppendNumber(nil, num, uint64(v)) }

func matcher(kind int64, name, value string) []byte {
	return message(wire.QueryMatchers, number(wire.MatcherType, kind), wire.AppendText(nil, wire.MatcherName, name), wire.AppendText(nil, wire.MatcherValue, value))
}

func queryOf(from, to int64, matchers ...[]byte) []byte {
	return message(wire.RequestQueries, number(wire.QueryStart, base+from), number(wire.QueryEnd, base+to), bytes.Join(matchers, nil))
}

var streamed = number(wire.RequestTypes, wire.TypeStreamedChunks)

func post(h http.Handler, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/read", bytes.NewReader(snappy.Encode(nil, body))))
	return w
}

// count returns how many series and samples each result has.
func count(t *testing.T, w *httptest.ResponseRecorder) (counts []string) {
	t.Helper()
	body, err := snappy.Decode(nil, w.Body.Bytes())
	if err != nil || w.Code != 200 {
		t.Fatalf("%d %q, %v", w.Code, w.Body, err)
	}
	err = fields(body, func(result field) error {
		series, samples := 0, 0
		err := fields(result.bytes, func(s field) error {
			series++
			return fields(s.bytes, func(f field) error {
				if f.num == wire.SeriesSamples {
					samples++
				}
				return nil
			})
		})
		counts = append(counts, fmt.Sprint(series, "×", samples))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func TestSamples(t *testing.T) {
	h := newHandler(t, openDB(t, 5, 300), nil)
	check := func(want string, queries ...[]byte) {
		t.Helper()
		if got := strings.Join(count(t, post(h, bytes.Join(queries, nil))), " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	name := matcher(0, "__name__", "m")
	check("5×1500", queryOf(0, 1e6, name))
	check("5×55", queryOf(100_000, 110_000, name))
	check("1×300 0×0 4×1200", queryOf(0, 1e6, name, matcher(0, "i", "00003")), queryOf(0, 1e6), queryOf(0, 1e6, name, matcher(1, "i", "00003")))
	check("2×600 3×900", queryOf(0, 1e6, matcher(2, "i", "0000[01]")), queryOf(0, 1e6, name, matcher(3, "i", "0000[01]")))
	check("5×1500 0×0", queryOf(0, 1e6, name, matcher(0, "region", "eu")), queryOf(0, 1e6, name, matcher(0, "region", "us")))
	check("0×0", queryOf(2e6, 3e6, name))
	check("")
	series := message(wire.QueryHints, number(wire.HintStart, base), number(wire.HintEnd, base+1e6), wire.AppendText(nil, wire.HintFunc, "series"))
	check("5×0", queryOf(0, 1e6, name, series))
	check("5×5", queryOf(0, 1e6, name, message(wire.QueryHints, number(wire.HintStart, base+1000), number(wire.HintEnd, base+1999))))
	if body, _ := snappy.Decode(nil, post(h, queryOf(0, 0, name, matcher(0, "i", "00001"))).Body.Bytes()); !bytes.Contains(body, []byte("\x0a\x0c\x0a\x06region\x12\x02eu")) {
		t.Errorf("the external label is missing in %q", body)
	}
}

func TestSampleLimit(t *testing.T) {
	h := newHandler(t, openDB(t, 2, 100), func(o *Options) { o.SampleLimit = 199 })
	q := queryOf(0, 1e6, matcher(0, "__name__", "m"))
	if w := post(h, q); w.Code != 400 || w.Body.String() != "exceeded sample limit (199)\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := post(h, append(q, streamed...)); w.Code != 200 {
		t.Errorf("the limit is for samples alone, but chunks are answered with %d", w.Code)
	}
	one := queryOf(0, 1e6, matcher(0, "i", "00001"))
	if got := count(t, post(h, bytes.Repeat(one, 3))); len(got) != 3 {
		t.Errorf("the limit is one of each query, but the answer is %s", got)
	}
}

func TestFrames(t *testing.T) {
	db := openDB(t, 3, 600)
	for _, size := range []int{1, 500, 0} {
		h := newHandler(t, db, func(o *Options) { o.MaxBytesInFrame = size })
		w := post(h, append(bytes.Repeat(queryOf(0, 1e6, matcher(0, "__name__", "m")), 2), streamed...))
		if got := w.Header().Get("Content-Type"); got != "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse" || w.Code != 200 {
			t.Fatalf("%d %s", w.Code, got)
		}
		frames, chunks := 0, 0
		for rest := w.Body; rest.Len() > 0; frames++ {
			n, err := binary.ReadUvarint(rest)
			if err != nil {
				t.Fatal(err)
			}
			sum, data := rest.Next(4), rest.Next(int(n))
			if binary.BigEndian.Uint32(sum) != crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) {
				t.Fatal("the checksum is wrong")
			}
			here := 0
			if err := fields(data, func(f field) error {
				if f.num != wire.ChunkedSeries {
					return nil
				}
				return fields(f.bytes, func(f field) error {
					if f.num == wire.ChunkedChunks {
						here++
					}
					return nil
				})
			}); err != nil {
				t.Fatal(err)
			}
			if chunks += here; size == 1 && here != 1 {
				t.Errorf("a frame has %d chunks", here)
			}
		}
		if size == 1 && frames != chunks || size == 0 && frames != 6 || chunks < 30 || size == 500 && (frames <= 6 || frames == chunks) {
			t.Errorf("with frames of %d bytes, %d chunks come in %d frames", size, chunks, frames)
		}
	}
}

func TestBadRequests(t *testing.T) {
	h := newHandler(t, openDB(t, 1, 1), nil)
	check := func(status int, text string, body []byte) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/read", bytes.NewReader(body)))
		if w.Code != status || !strings.HasPrefix(w.Body.String(), text) || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%.20q is answered with %d %q, want %d %q", body, w.Code, w.Body, status, text)
		}
	}
	packed := func(b []byte) []byte { return snappy.Encode(nil, b) }
	check(400, "snappy: corrupt input\n", nil)
	check(400, "snappy: corrupt input\n", []byte("abc"))
	check(400, "snappy: decoded length 536870912 exceeds limit 33554432\n", []byte{0x80, 0x80, 0x80, 0x80, 0x02, 0})
	check(400, "snappy: corrupt input\n", []byte{0x80, 0x80, 0x80, 0x08, 0})
	check(400, "proto: ", packed([]byte{0xff}))
	check(400, "proto: wrong wireType = 0 for field 1", packed([]byte{8, 1}))
	check(400, "server does not support any of the requested response types: [7]; supported: map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]\n", packed(number(wire.RequestTypes, 7)))
	check(400, "a query has more than 10000 matchers\n", packed(queryOf(0, 1, bytes.Repeat(matcher(0, "a", "b"), 10_001))))
	check(500, "invalid matcher type\n", packed(queryOf(0, 1, matcher(4, "a", "b"))))
	check(500, "error parsing regexp: ", packed(queryOf(0, 1, matcher(2, "a", "("))))
	check(500, "error parsing regexp: ", packed(append(queryOf(0, 1, matcher(2, "a", "(")), streamed...)))
}

// blocked is a storage that answers when it is let go.
type blocked struct {
	storage.Queryable
	entered, release chan struct{}
}

func (b blocked) Querier(mint, maxt int64) (storage.Querier, error) {
	b.entered <- struct{}{}
	<-b.release
	return b.Queryable.Querier(mint, maxt)
}

func TestConcurrentLimit(t *testing.T) {
	b := blocked{openDB(t, 1, 1), make(chan struct{}), make(chan struct{})}
	h := newHandler(t, b, func(o *Options) { o.ConcurrentLimit = 2 })
	q := queryOf(0, 1, matcher(0, "__name__", "m"))
	done := make(chan int, 3)
	for range 3 {
		go func() { done <- post(h, q).Code }()
	}
	<-b.entered
	<-b.entered
	select {
	case <-b.entered:
		t.Fatal("three are answered at once")
	case <-time.After(20 * time.Millisecond):
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/read", bytes.NewReader(snappy.Encode(nil, q))).WithContext(ctx))
	if w.Code != 500 {
		t.Errorf("a client that went while it waited is answered with %d", w.Code)
	}
	close(b.release)
	<-b.entered
	for range 3 {
		if code := <-done; code != 200 {
			t.Errorf("got %d", code)
		}
	}
	if n := testutil.ToFloat64(h.queries); n != 0 {
		t.Errorf("%v queries are left", n)
	}
}

// TestClientGoes has a client go away in the middle of an answer, which ends the work.
func TestClientGoes(t *testing.T) {
	h := newHandler(t, openDB(t, 2000, 100), func(o *Options) { o.MaxBytesInFrame = 1 })
	ended := make(chan any, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- recover() }()
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	body := append(bytes.Repeat(queryOf(0, 1e6, matcher(0, "__name__", "m")), 1000), streamed...)
	res, err := http.Post(server.URL, "", bytes.NewReader(snappy.Encode(nil, body)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(res.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := <-ended; got != http.ErrAbortHandler { //nolint:errorlint // it is the value of a panic
		t.Errorf("answering ended with %v", got)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(queryOf(0, 1, matcher(0, "a", "b"), message(wire.QueryHints, number(wire.HintEnd, 5), wire.AppendText(nil, wire.HintFunc, "rate"))))
	f.Add(append(queryOf(5, 1), number(wire.RequestTypes, 1)...))
	f.Add(message(wire.RequestTypes, []byte{1, 0}))
	f.Add([]byte{0x0b, 0x0c})
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parse(body)
		if err != nil {
			return
		}
		_, _ = r.streamed()
		if err := r.each(func(_ int, q *query) error {
			_, _ = q.matchers(nil)
			return nil
		}); err != nil {
			t.Errorf("what was checked is bad: %v", err)
		}
	})
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header       { return d.h }
func (discard) WriteHeader(int)             {}
func (discard) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkRead(b *testing.B) {
	const series, samples = 1000, 600
	h := newHandler(b, openDB(b, series, samples), nil)
	for name, types := range map[string][]byte{"samples": nil, "chunks": streamed} {
		body := snappy.Encode(nil, append(queryOf(0, 1e6, matcher(0, "__name__", "m")), types...))
		b.Run("type="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(discard{http.Header{}}, httptest.NewRequest(http.MethodPost, "/read", bytes.NewReader(body)))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series*samples), "ns/sample")
		})
	}
}
