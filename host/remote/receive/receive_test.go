package receive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/storage"
)

// What is taken and what is refused, request by request, is tested beside upstream, in bench/remote.

func TestParseMessages(t *testing.T) {
	check := func(want []Message, names ...string) {
		t.Helper()
		if got, err := ParseMessages(names); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q and %v, want %q", names, got, err, want)
		}
	}
	check(nil)
	check([]Message{V1}, string(V1))
	check([]Message{V2, V1}, string(V2), string(V1))
	check([]Message{V1, V2}, "prometheus.WriteRequest,io.prometheus.write.v2.Request")
	for _, bad := range [][]string{{""}, {"x"}, {string(V1), string(V1)}, {"prometheus.WriteRequest, io.prometheus.write.v2.Request"}} {
		if got, err := ParseMessages(bad); err == nil {
			t.Errorf("%q: got %q, want an error", bad, got)
		}
	}
}

func TestKnownSeriesAreFound(t *testing.T) {
	store := newStore()
	h := newHandler(t, store, nil)
	expect(t, h, v1(series(named("a", "x", "1"), 1), series(named("b"), 1)), http.StatusNoContent, "")
	if h.refs.used != 2 {
		t.Errorf("%d series are known, want 2", h.refs.used)
	}
	// The same series, with labels in another order and in other bytes.
	expect(t, h, v1(series([]string{"x", "1", "__name__", "a"}, 2)), http.StatusNoContent, "")
	expect(t, h, v1(series(named("a", "x", "1"), 3), series(named("b"), 3)), http.StatusNoContent, "")
	if got, want := stored(t, store), `{__name__="a", x="1"} 1 2 3`+"\n"+`{__name__="b"} 1 3`; got != want {
		t.Errorf("stored\n%s\nwant\n%s", got, want)
	}
}

func TestRequestIsAllOrNothing(t *testing.T) {
	store := newStore()
	h := newHandler(t, store, nil)
	expect(t, h, v1(series(named("a"), 10)), http.StatusNoContent, "")
	expect(t, h, v1(series(named("b"), 10), series(named("a"), 5), series(named("c"), 10)), http.StatusBadRequest,
		`out of order sample for series {__name__="a"} at 1760000000005`)
	expect(t, h, append(v1(series(named("d"), 10)), 0x80), http.StatusBadRequest, "malformed protobuf message")
	if got, want := stored(t, store), `{__name__="a"} 10`; got != want {
		t.Errorf("stored\n%s\nwant\n%s", got, want)
	}
}

// forgetful is a storage that forgets all series when it is told to.
type forgetful struct {
	storage.Appendable
	forgot storage.SeriesRef
}

func (f *forgetful) Appender() storage.Appender {
	return &forgetfulAppender{f.Appendable.Appender(), f}
}

type forgetfulAppender struct {
	storage.Appender
	f *forgetful
}

// Append takes all references up to the one that was forgotten for unknown, and those that are new for later ones.
func (a *forgetfulAppender) Append(ctx context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	for i := range entries {
		e := entries[i]
		if e.Ref != 0 && e.Ref <= a.f.forgot {
			if e.Ref = 0; e.Labels.IsEmpty() {
				outcomes[i] = storage.Outcome{Err: storage.ErrUnknownSeries}
				continue
			}
		}
		if e.Ref > a.f.forgot {
			e.Ref -= a.f.forgot
		}
		if err := a.Appender.Append(ctx, []storage.Entry{e}, outcomes[i:i+1]); err != nil {
			return err
		}
		if outcomes[i].Ref != 0 {
			outcomes[i].Ref += a.f.forgot
		}
	}
	return nil
}

func TestForgottenSeries(t *testing.T) {
	store := newStore()
	f := &forgetful{Appendable: store}
	h := newHandler(t, f, nil)
	expect(t, h, v1(series(named("a"), 1), series(named("b"), 1)), http.StatusNoContent, "")
	for i := range int64(3) {
		f.forgot += 100
		expect(t, h, v1(series(named("b"), 10*i+10, 10*i+11), series(named("a"), 10*i+10), series(named("c"), 10*i+10)), http.StatusNoContent, "")
		expect(t, h, v1(series(named("a"), 10*i+12)), http.StatusNoContent, "")
	}
	want := strings.Join([]string{`{__name__="a"} 1 10 12 20 22 30 32`, `{__name__="b"} 1 10 11 20 21 30 31`, `{__name__="c"} 10 20 30`}, "\n")
	if got := stored(t, store); got != want {
		t.Errorf("stored\n%s\nwant\n%s", got, want)
	}
}

// broken is a storage that fails.
type broken struct {
	storage.Appendable
	append, commit error
	rolledBack     int
}

func (b *broken) Appender() storage.Appender { return &brokenAppender{b.Appendable.Appender(), b} }

type brokenAppender struct {
	storage.Appender
	b *broken
}

func (a *brokenAppender) Append(ctx context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	return errors.Join(a.b.append, a.Appender.Append(ctx, entries, outcomes))
}

func (a *brokenAppender) Commit(ctx context.Context) error {
	if a.b.commit != nil {
		return errors.Join(a.b.commit, a.Appender.Rollback())
	}
	return a.Appender.Commit(ctx)
}

func (a *brokenAppender) Rollback() error {
	a.b.rolledBack++
	return a.Appender.Rollback()
}

func TestStorageFails(t *testing.T) {
	store := newStore()
	b := &broken{Appendable: store, append: errors.New("no disk")}
	h := newHandler(t, b, nil)
	expect(t, h, v1(series(named("a"), 1)), http.StatusInternalServerError, "store samples: no disk")
	if b.rolledBack != 1 {
		t.Errorf("rolled back %d times, want once", b.rolledBack)
	}
	b.append, b.commit = nil, errors.New("disk full")
	expect(t, h, v1(series(named("a"), 1)), http.StatusInternalServerError, "store samples: disk full")
	b.commit = nil
	expect(t, h, v1(series(named("a"), 1)), http.StatusNoContent, "")
	if got, want := stored(t, store), `{__name__="a"} 1`; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
}

func TestUnnamedSeriesAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := newHandler(t, newStore(), func(o *Options) { o.Registerer = reg })
	expect(t, h, v1(series([]string{"a", "b"}, 1), series(named("x", "a", "1", "a", "2"), 1), series(named("y"), 1)), http.StatusNoContent, "")
	const want = `
# HELP prometheus_api_remote_write_invalid_labels_samples_total The total number of received remote write samples and histogram samples which were rejected due to invalid labels.
# TYPE prometheus_api_remote_write_invalid_labels_samples_total counter
prometheus_api_remote_write_invalid_labels_samples_total 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "prometheus_api_remote_write_invalid_labels_samples_total"); err != nil {
		t.Error(err)
	}
}

func TestLabelsThatNothingCanHold(t *testing.T) {
	store := newStore()
	h := newHandler(t, store, nil)
	many := named("many")
	for i := range maxLabels {
		many = append(many, "l"+strconv.Itoa(i), "v")
	}
	expect(t, h, v1(series(named("long", "a", strings.Repeat("x", maxLabelBytes+1)), 1), series(many, 1), series(named("good"), 1)), http.StatusNoContent, "")
	if got, want := stored(t, store), `{__name__="good"} 1`; got != want {
		t.Errorf("stored %.100s, want %s", got, want)
	}
}

func TestNoRoom(t *testing.T) {
	h := newHandler(t, newStore(), nil)
	message := v1(series(named("a"), 1))
	// A request that holds all there is, and one whose client goes away while it waits.
	release, err := h.memory.reserve(t.Context(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(s2.EncodeSnappy(nil, message)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("without room: answer %d with Retry-After %q, want 503 and one", w.Code, w.Header().Get("Retry-After"))
	}
	release()
	expect(t, h, message, http.StatusNoContent, "")
	if !h.memory.storing.TryAcquire(h.memory.half) || !h.memory.bodies.TryAcquire(h.memory.half) {
		t.Error("memory was not given back")
	}
}

// endless never ends.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

func TestEndlessBodies(t *testing.T) {
	h := newHandler(t, newStore(), nil)
	check := func(status int) {
		t.Helper()
		e := &endless{}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", io.NopCloser(e)))
		if w.Code != status || e.read > 2*maxBody {
			t.Errorf("answer %d after %d bytes, want %d", w.Code, e.read, status)
		}
	}
	check(http.StatusRequestEntityTooLarge)
	if !h.memory.bodies.TryAcquire(h.memory.half) {
		t.Fatal("memory was not given back")
	}
	check(http.StatusServiceUnavailable)
}

// TestInHead sends to the real thing what is worth it: many series, over many calls of the storage, again and again.
func TestInHead(t *testing.T) {
	hd := openTSDB(t)
	h := newHandler(t, hd, nil)
	const count = 3*batchSize + 7
	for round := range int64(5) {
		var all [][]byte
		for i := range count {
			all = append(all, series(target(i), 10*round, 10*round+5))
		}
		expect(t, h, v1(all...), http.StatusNoContent, "")
	}
	lines := strings.Split(stored(t, hd), "\n")
	if len(lines) != count {
		t.Fatalf("%d series, want %d", len(lines), count)
	}
	for _, line := range lines {
		if !strings.HasSuffix(line, "} 0 5 10 15 20 25 30 35 40 45") {
			t.Errorf("samples %s", line)
		}
	}
	if h.refs.used != count {
		t.Errorf("%d series are known, want %d", h.refs.used, count)
	}
}
