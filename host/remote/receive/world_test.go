package receive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
	"github.com/narthex-io/narthex/tsdb"
)

// at is the time of all tests.
const at = 1_760_000_000_000

func newHandler(tb testing.TB, store storage.Appendable, change func(*Options)) *Handler {
	tb.Helper()
	opts := Options{
		Storage: store, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.UnixMilli(at) },
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

// field appends a field of bytes.
func field(dst []byte, num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), b)
}

// series makes the message of a series of 1.0 with samples of the value 1 at the given times, after at.
func series(pairs []string, times ...int64) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = field(b, 1, field(field(nil, 1, []byte(pairs[i])), 2, []byte(pairs[i+1])))
	}
	for _, t := range times {
		p := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(1))
		b = field(b, 2, protowire.AppendVarint(protowire.AppendTag(p, 2, protowire.VarintType), uint64(at+t)))
	}
	return b
}

// v1 makes a request of 1.0 of messages of series.
func v1(all ...[]byte) []byte {
	var b []byte
	for _, s := range all {
		b = field(b, 1, s)
	}
	return b
}

// post sends a message and returns the answer.
func post(h http.Handler, contentType string, message []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(s2.EncodeSnappy(nil, message)))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Content-Encoding", "snappy")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// expect sends a message of 1.0 and checks the answer's status, and that the text has a part.
func expect(t *testing.T, h http.Handler, message []byte, status int, part string) {
	t.Helper()
	if w := post(h, mediaType, message); w.Code != status || !strings.Contains(w.Body.String(), part) {
		t.Errorf("answer %d %q, want %d and %q", w.Code, w.Body, status, part)
	}
}

// stored returns the series of a storage with the times of their samples, after at.
func stored(tb testing.TB, q storage.Queryable) string {
	tb.Helper()
	querier, err := q.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := querier.Close(); err != nil {
			tb.Error(err)
		}
	}()
	set := querier.Select(tb.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".*"))
	var lines []string
	for set.Next() {
		var c storage.Columns
		for r := set.At().Samples(nil); r.Read(&c); {
		}
		line := set.At().Labels().String()
		for _, t := range c.T {
			line += fmt.Sprint(" ", t-at)
		}
		lines = append(lines, line)
	}
	if set.Err() != nil {
		tb.Fatal(set.Err())
	}
	return strings.Join(lines, "\n")
}

func named(name string, more ...string) []string { return append([]string{"__name__", name}, more...) }

// target names a series with as many labels as they have on average.
func target(i int) []string {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(i))
	return named("http_request_duration_seconds_bucket", "code", "200", "handler", fmt.Sprintf("/api/v1/%x", n), "instance", "host-12.example.org:9100", "job", "node", "le", fmt.Sprint(i))
}

func newStore() *storagetest.Store { return storagetest.NewStore() }

func openTSDB(tb testing.TB) *tsdb.DB {
	tb.Helper()
	db, err := tsdb.Open(tb.Context(), tsdb.Options{Dir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}
