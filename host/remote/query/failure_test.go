package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// TestFailuresAreWarnings has remotes fail in all ways: the query goes on without them, and says why.
func TestFailuresAreWarnings(t *testing.T) {
	good := frame(chunked([]storage.Chunk{floats(1, 2)}, "__name__", "remote"))
	checkURL := func(title, url, want string) {
		t.Helper()
		timeout := "1m"
		if strings.HasPrefix(title, "stalled") {
			timeout = "100ms"
		}
		w := newWorld(t, nil, section(url, "chunked_read_limit: 1000, remote_timeout: "+timeout), section(serve(t, streams(good))))
		store(t, w.local, entry(named("local"), 1, 1))
		f := selects(t, w, 0, 10, all())
		if f.err != nil || strings.Join(f.lines, "; ") != `{__name__="local"} 1@1; {__name__="remote"} 1@1 2@2` {
			t.Errorf("%s: got %q, %v", title, f.lines, f.err)
		}
		if len(f.warnings) != 1 || !strings.Contains(f.warnings[0], want) || !strings.HasPrefix(f.warnings[0], "remote_read: ") {
			t.Errorf("%s: got warnings %q, want %q", title, f.warnings, want)
		}
		if held := w.memory.held.Load(); held != 0 {
			t.Errorf("%s: %d bytes are held in the end", title, held)
		}
	}
	check := func(title, want string, h http.HandlerFunc) {
		t.Helper()
		checkURL(title, serve(t, h), want)
	}
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) }
	}
	other := chunked([]storage.Chunk{floats(5, 6)}, "__name__", "other")
	broken := func(change func(c *storage.Chunk)) http.HandlerFunc {
		c := floats(5, 6, 7)
		change(&c)
		return streams(good, frame(chunked([]storage.Chunk{c}, "__name__", "other")))
	}
	checkURL("nobody there", "http://127.0.0.1:1/", "error sending request: ")
	check("bad request", "returned http status 400 Bad Request: exceeded sample limit (5)", status(400, "exceeded sample limit (5)"))
	check("failure", "returned http status 503 Service Unavailable: later\nmaybe", status(503, "later\nmaybe\n"))
	check("long text", "http status 500", status(500, strings.Repeat("x", 1<<20)))
	check("another page", "unsupported content type: text/html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>")
	})
	check("stalled", "request timed out after 100ms", func(_ http.ResponseWriter, r *http.Request) { stall(r) })
	check("stalled in the middle", "", func(w http.ResponseWriter, r *http.Request) {
		streams(good)(w, r)
		_ = http.NewResponseController(w).Flush()
		stall(r)
	})
	check("wrong checksum", "frame 2: corrupted frame; checksum mismatch", streams(good, func() []byte { b := frame(other); b[3]++; return b }()))
	check("changed byte", "frame 2: corrupted frame; checksum mismatch", streams(good, func() []byte { b := frame(other); b[len(b)-1]++; return b }()))
	check("cut off", "frame 2: unexpected EOF", streams(good, frame(other)[:20]))
	check("cut off in the checksum", "frame 2: unexpected EOF", streams(good, frame(other)[:3]))
	check("cut off in the length", "frame 2: unexpected EOF", streams(good, []byte{0x80}))
	check("connection lost", "unexpected EOF", func(w http.ResponseWriter, r *http.Request) {
		streams(good)(w, r)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	check("large frame", "frame 2: message size exceeded the limit 1000 bytes; got: 1001 bytes", streams(good, []byte{0xe9, 0x07}))
	check("endless number", "frame 2: ", streams(good, []byte(strings.Repeat("\xff", 20))))
	check("no message", "frame 2: malformed protobuf message", streams(good, frame([]byte{0xff})))
	check("text for errors", "frame 2: ", streams(good, []byte("error: the storage failed\n")))
	check("another query", "this is of query 1, but there is one", streams(frame(wire.AppendNumber(other, wire.ChunkedQuery, 1))))
	check("unknown encoding", "chunk", broken(func(c *storage.Chunk) { c.Encoding = 99 }))
	check("larger encoding", "invalid chunk encoding: 257", streams(frame(wire.AppendMessage(nil, wire.ChunkedSeries, wire.AppendMessage(nil, wire.ChunkedChunks, wire.AppendNumber(nil, wire.ChunkEncoding, 257))))))
	check("damaged chunk", "corrupt chunk", broken(func(c *storage.Chunk) { c.Data = c.Data[:len(c.Data)-3] }))
	check("samples in no order", "not in order of time", broken(func(c *storage.Chunk) { *c = floats(7, 5, 6) }))
	check("no name of a label", "invalid label name", streams(frame(chunked(nil, "", "x"))))
	check("bad name of a label", "invalid label name", streams(frame(chunked(nil, "\xff", "x"))))
	check("bad value of a label", "invalid label value", streams(frame(chunked(nil, "x", "\xff"))))
	check("empty name", "invalid metric name", streams(frame(chunked(nil, "__name__", ""))))
	check("label twice", "duplicate label with name: x", streams(frame(chunked(nil, "x", "1", "y", "1", "x", "2"))))

	packed := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", wire.MediaSamples)
			_, _ = w.Write(b)
		}
	}
	check("no snappy", "error reading response: snappy: corrupt input", packed([]byte("abc")))
	check("bomb", "error reading response: snappy: ", packed([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}))
	check("cut off samples", "error reading response", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		packed(snappy.Encode(nil, result(samplesOf([]int64{1}, "a", "b"))))(w, r)
	})
	check("no samples' message", "malformed protobuf message", sends([]byte{0xff}))
	check("no result", "responses: want 1, got 0", sends(nil))
	check("two results", "responses: want 1, got 2", sends(append(result(), result()...)))
	check("bad labels of samples", "duplicate label with name: x", sends(result(samplesOf(nil, "x", "1", "x", "2"))))
	bad := wholeNative(5)
	bad.Count = 3
	series := wire.AppendMessage(pairsMessage(wire.SeriesLabels, "a", "b"), wire.SeriesHistograms, wire.AppendWhole(nil, 1, 0, bad))
	check("bad histogram", "observations found in buckets", sends(result(wire.AppendMessage(nil, wire.ResultSeries, series))))
}

// stall waits until the client goes, which a server notices once it has read the request.
func stall(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// TestFailedRemoteIsAskedOnce saves queries of many selectors the wait for a remote that is down.
func TestFailedRemoteIsAskedOnce(t *testing.T) {
	asked := 0
	w := newWorld(t, nil, section(serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusInternalServerError)
	})))
	q, err := w.Querier(0, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	for i, want := range []int{1, 0, 0} {
		if f := drain(q.Select(t.Context(), true, nil, equal("a", fmt.Sprint(i)))); len(f.warnings) != want || f.err != nil {
			t.Errorf("selection %d: warnings %q, %v", i, f.warnings, f.err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestLocalFailureIsAnError has the local storage fail.
func TestLocalFailureIsAnError(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Local = closed{} }, section("http://127.0.0.1:1/"))
	if _, err := w.Querier(0, 1); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}

type closed struct{}

var errClosed = errors.New("closed")

func (closed) Querier(int64, int64) (storage.Querier, error) { return nil, errClosed }

// TestQueryEnds has a query end while a remote does not answer.
func TestQueryEnds(t *testing.T) {
	began := make(chan struct{})
	w := newWorld(t, nil, section(serve(t, func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		stall(r)
	})))
	q, err := w.Querier(0, 10)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	set := q.Select(ctx, true, nil, all())
	<-began
	cancel()
	if f := drain(set); !errors.Is(f.err, context.Canceled) || len(f.warnings) > 0 {
		t.Errorf("got %v, warnings %q", f.err, f.warnings)
	}
	q.Select(t.Context(), true, nil, all(), equal("a", "b")) // Nobody waits for this one.
	<-began
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

// budget is one of a query.
type budget struct{ left int64 }

var errSpent = errors.New("the query would use too much memory")

func (b *budget) Hold(n int64) error {
	b.left -= n
	if b.left < 0 {
		return errSpent
	}
	return nil
}

// TestMemory has answers larger than the query, or all queries, may hold.
func TestMemory(t *testing.T) {
	var frames [][]byte
	var list [][]byte
	var times []int64
	for i := range int64(5000) {
		times = append(times, i)
	}
	for i := range 100 {
		frames = append(frames, frame(chunked([]storage.Chunk{floats(times...)}, "i", fmt.Sprint(i))))
		list = append(list, samplesOf(times, "i", fmt.Sprint(i)))
	}
	for title, h := range map[string]http.HandlerFunc{"frames": streams(frames...), "samples": sends(result(list...))} {
		url := serve(t, h)
		query := func(w *world, left int64) found {
			q, err := w.Querier(0, 1e6)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = q.Close() }()
			return drain(q.Select(t.Context(), true, &storage.SelectHints{Start: 0, End: 1e6, Budget: &budget{left: left}}, all()))
		}
		w := newWorld(t, nil, section(url))
		if f := query(w, 100_000); !errors.Is(f.err, errSpent) || len(f.lines) > 0 {
			t.Errorf("%s: got %v and %d series, want an error of the query", title, f.err, len(f.lines))
		}
		if f := query(w, 1<<30); f.err != nil || len(f.lines) != 100 || len(f.warnings) > 0 {
			t.Errorf("%s: got %d series, %v, warnings %q", title, len(f.lines), f.err, f.warnings)
		}
		w = newWorld(t, func(o *Options) { o.MaxBytes = 100_000 }, section(url))
		for range 2 {
			if f := query(w, 1<<30); f.err != nil || len(f.warnings) != 1 || !strings.Contains(f.warnings[0], "more than 100000 bytes") {
				t.Errorf("%s: got %v, warnings %q", title, f.err, f.warnings)
			}
		}
		if held := w.memory.held.Load(); held != 0 {
			t.Errorf("%s: %d bytes are held in the end", title, held)
		}
	}
}

// TestReload exchanges remotes under a query.
func TestReload(t *testing.T) {
	release := make(chan struct{})
	slow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		streams(frame(chunked([]storage.Chunk{floats(1)}, "from", "slow")))(w, r)
	})
	other := serve(t, streams(frame(chunked([]storage.Chunk{floats(1)}, "from", "other"))))
	w := newWorld(t, nil, section(slow, "name: slow"))
	q, err := w.Querier(0, 10)
	if err != nil {
		t.Fatal(err)
	}
	set := q.Select(t.Context(), true, nil, all())
	w.configure(t, labels.EmptyLabels(), section(other, "name: other"), section(other, "name: another, required_matchers: {a: b}"))
	selects(t, w, 0, 10, all()).want(t, "new", `{from="other"} 1@1`)
	close(release)
	drain(set).want(t, "old", `{from="slow"} 1@1`)
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(fmt.Sprintf(`
# HELP prometheus_remote_read_client_queries The number of in-flight remote read queries.
# TYPE prometheus_remote_read_client_queries gauge
prometheus_remote_read_client_queries{remote_name="another",url=%q} 0
prometheus_remote_read_client_queries{remote_name="other",url=%q} 0
`, other, other)), "prometheus_remote_read_client_queries"); err != nil {
		t.Error(err)
	}
	w.configure(t, labels.EmptyLabels())
	if n := testutil.CollectAndCount(w.metrics.inFlight); n != 0 {
		t.Errorf("%d gauges of remotes that are gone", n)
	}
}

// TestDiscard has connections of a change that is not made not be kept.
func TestDiscard(t *testing.T) {
	w := newWorld(t, nil)
	entries, err := parsed("[{url: 'http://x/'}]")
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.Prepare(entries, labels.EmptyLabels())
	if err != nil {
		t.Fatal(err)
	}
	c.Discard()
	if n := len(*w.remotes.Load()); n != 0 {
		t.Errorf("%d remotes", n)
	}
	entries[0].HTTPClient.TLSConfig.CAFile = "/nonexistent"
	if _, err := w.Prepare(entries, labels.EmptyLabels()); err == nil || !strings.HasPrefix(err.Error(), "remote_read[0].tls_config: ") {
		t.Errorf("got %v", err)
	}
}

// TestTimeoutIsTheRemotes has the timeout of a remote pass, with time that is not real.
func TestTimeoutIsTheRemotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, section("http://remote/", "remote_timeout: 90s"))
		r := (*w.remotes.Load())[0]
		r.client.Transport = stalling{}
		begin := time.Now()
		f := selects(t, w, 0, 10, all())
		if len(f.warnings) != 1 || !strings.Contains(f.warnings[0], "request timed out after 1m30s") || time.Since(begin) != 90*time.Second {
			t.Errorf("after %v: %v, %q", time.Since(begin), f.err, f.warnings)
		}
	})
}

// stalling answers nothing until the request ends.
type stalling struct{}

func (stalling) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}
