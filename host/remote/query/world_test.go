package query

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/read"
	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
	"github.com/narthex-io/narthex/tsdb"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a storage that is tested, over a local one.
type world struct {
	*Storage
	local    *storagetest.Store
	registry *prometheus.Registry
}

// newWorld returns a storage with remotes at the addresses, each with what is said of it in YAML.
func newWorld(tb testing.TB, change func(*Options), remotes ...string) *world {
	tb.Helper()
	w := &world{local: storagetest.NewStore(), registry: prometheus.NewRegistry()}
	opts := Options{Local: w.local, LocalStart: func() int64 { return math.MaxInt64 }, Registerer: w.registry, Log: slog.New(slog.DiscardHandler), UserAgent: "Narthex/test"}
	if change != nil {
		change(&opts)
	}
	var err error
	if w.Storage, err = New(opts); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = w.Close() })
	w.configure(tb, labels.EmptyLabels(), remotes...)
	return w
}

// configure exchanges the remotes.
func (w *world) configure(tb testing.TB, external labels.Labels, remotes ...string) {
	tb.Helper()
	entries, err := parsed("[" + strings.Join(remotes, ", ") + "]")
	if err != nil {
		tb.Fatal(err)
	}
	c, err := w.Prepare(entries, external)
	if err != nil {
		tb.Fatal(err)
	}
	c.Apply()
}

// parsed decodes and checks a section.
func parsed(text string) (entries []*Config, err error) {
	doc, err := strictyaml.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	if err := doc.Decode(&entries); err != nil {
		return nil, err
	}
	return entries, Complete(entries, "/etc")
}

// entry is a line of a series of the world: a float, or a native histogram in place of it.
func entry(ls labels.Labels, t int64, v float64) storage.Entry {
	return storage.Entry{Labels: ls, T: t, V: v}
}

func named(name string, pairs ...string) labels.Labels {
	return labels.FromStrings(append([]string{labels.MetricName, name}, pairs...)...)
}

func store(tb testing.TB, s storage.Appendable, entries ...storage.Entry) {
	tb.Helper()
	app := s.Appender()
	outcomes := make([]storage.Outcome, len(entries))
	if err := errors.Join(app.Append(context.Background(), entries, outcomes), app.Commit(context.Background())); err != nil {
		tb.Fatal(err)
	}
	for i, o := range outcomes {
		if o.Err != nil {
			tb.Fatalf("%s at %d: %v", entries[i].Labels, entries[i].T, o.Err)
		}
	}
}

// found is what a selection came to.
type found struct {
	lines    []string
	warnings []string
	err      error
}

// all selects every series.
func all() *labels.Matcher { return labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".*") }

func equal(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

// selects reads what a selection finds in a storage.
func selects(tb testing.TB, s storage.Queryable, mint, maxt int64, matchers ...*labels.Matcher) (f found) {
	tb.Helper()
	q, err := s.Querier(mint, maxt)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := q.Close(); err != nil {
			tb.Error(err)
		}
	}()
	return drain(q.Select(tb.Context(), true, &storage.SelectHints{Start: mint, End: maxt}, matchers...))
}

// drain reads a set to its end, a line for each series.
func drain(set storage.SeriesSet) (f found) {
	var reuse storage.ColumnReader
	for set.Next() {
		s := set.At()
		var line strings.Builder
		line.WriteString(s.Labels().String())
		var c storage.Columns
		reuse = s.Samples(reuse)
		for reuse.Read(&c) {
			continue
		}
		if f.err = reuse.Err(); f.err != nil {
			return f
		}
		for i, t := range c.T {
			if len(c.H) > 0 && c.H[i] != nil {
				fmt.Fprintf(&line, " %s@%d", c.H[i], t)
			} else {
				fmt.Fprintf(&line, " %v@%d", c.F[i], t)
			}
		}
		f.lines = append(f.lines, line.String())
	}
	f.err = set.Err()
	for _, w := range set.Warnings() {
		f.warnings = append(f.warnings, w.Error())
	}
	return f
}

// serve runs a remote and returns the URL to read from.
func serve(tb testing.TB, h http.HandlerFunc) string {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	return server.URL + "/api/v1/read"
}

// section is an entry for a remote that is always asked.
func section(url string, more ...string) string {
	return "{url: '" + url + "', read_recent: true" + strings.Join(append([]string{""}, more...), ", ") + "}"
}

// openDB returns a storage on disk.
func openDB(tb testing.TB) *tsdb.DB {
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
	return db
}

// answering returns our own server for a storage. With samples, it is one that knows no chunks.
func answering(tb testing.TB, s storage.Queryable, samples bool, external labels.Labels) http.HandlerFunc {
	tb.Helper()
	h, err := read.New(read.Options{
		Storage: s, ExternalLabels: func() labels.Labels { return external }, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), MaxBytesInFrame: 300,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		body := requestOf(tb, r)
		if samples {
			body = bytes.TrimSuffix(body, []byte{wire.RequestTypes<<3 | 2, 2, wire.TypeStreamedChunks, wire.TypeSamples})
		}
		h.ServeHTTP(w, httptest.NewRequestWithContext(r.Context(), http.MethodPost, "/api/v1/read", bytes.NewReader(snappy.Encode(nil, body))))
	}
}

// requestOf reads the message of a request.
func requestOf(tb testing.TB, r *http.Request) []byte {
	tb.Helper()
	compressed, err := io.ReadAll(r.Body)
	if err != nil {
		tb.Error(err)
	}
	body, err := snappy.Decode(nil, compressed)
	if err != nil {
		tb.Error(err)
	}
	return body
}

// The functions below make messages of the other end.

func pairsMessage(num protowire.Number, pairs ...string) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b, _ = wire.AppendLabel(b, num, pairs[i], pairs[i+1])
	}
	return b
}

func chunkMessage(c storage.Chunk) []byte {
	b := wire.AppendNumber(nil, wire.ChunkMin, uint64(c.MinT))
	b = wire.AppendNumber(b, wire.ChunkMax, uint64(c.MaxT))
	b = wire.AppendNumber(b, wire.ChunkEncoding, uint64(c.Encoding))
	return wire.AppendMessage(b, wire.ChunkData, c.Data)
}

// floats makes a chunk of samples whose values are their times.
func floats(times ...int64) storage.Chunk {
	var x chunk.XORState
	c := storage.Chunk{MinT: times[0], MaxT: times[len(times)-1], Encoding: uint8(chunk.EncXOR)}
	for _, t := range times {
		c.Data = x.Append(c.Data, t, float64(t))
	}
	return c
}

// chunked makes the message of a frame of one series.
func chunked(chunks []storage.Chunk, pairs ...string) []byte {
	b := pairsMessage(wire.ChunkedLabels, pairs...)
	for _, c := range chunks {
		b = wire.AppendMessage(b, wire.ChunkedChunks, chunkMessage(c))
	}
	return wire.AppendMessage(nil, wire.ChunkedSeries, b)
}

// frame puts length and checksum before a message.
func frame(message []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(len(message)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(message, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, message...)
}

// streams is a remote that sends frames.
func streams(frames ...[]byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.MediaChunks)
		for _, f := range frames {
			_, _ = w.Write(f)
		}
	}
}

// samplesOf makes the message of a series of samples whose values are their times.
func samplesOf(times []int64, pairs ...string) []byte {
	b := pairsMessage(wire.SeriesLabels, pairs...)
	for _, t := range times {
		b = wire.AppendSample(b, wire.SeriesSamples, t, float64(t))
	}
	return wire.AppendMessage(nil, wire.ResultSeries, b)
}

// sends is a remote that sends the message of a response.
func sends(message []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.MediaSamples)
		_, _ = w.Write(snappy.Encode(nil, message))
	}
}

// result makes a response of one result.
func result(series ...[]byte) []byte {
	return wire.AppendMessage(nil, wire.ResponseResults, bytes.Join(series, nil))
}

func wholeNative(n uint64) *histogram.Histogram {
	return &histogram.Histogram{Schema: 1, Count: 2 * n, Sum: float64(n), PositiveSpans: []histogram.Span{{Offset: 2, Length: 2}}, PositiveBuckets: []int64{int64(n), 0}}
}

func (f found) want(t *testing.T, title string, lines ...string) {
	t.Helper()
	if f.err != nil || len(f.warnings) > 0 || !slices.Equal(f.lines, lines) {
		t.Errorf("%s: got\n%s\n%v, warnings %q, want\n%s", title, strings.Join(f.lines, "\n"), f.err, f.warnings, strings.Join(lines, "\n"))
	}
}
