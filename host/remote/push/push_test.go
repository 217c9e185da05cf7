package push

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/remote/receive"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// now is the time of all tests.
const now = 1_760_000_000_000

// endpoint is a receiver with a storage.
type endpoint struct {
	*httptest.Server
	store *storagetest.Store
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{store: storagetest.NewStore()}
	h, err := receive.New(receive.Options{
		Storage: e.store, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.UnixMilli(now) },
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Server = httptest.NewServer(h)
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) options(t *testing.T, m Message) Options {
	t.Helper()
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	return Options{URL: u, Client: e.Client(), Message: m, Labels: map[string]string{"job": "x"}, Now: time.UnixMilli(now)}
}

// stored returns all series with their samples, times counted from now.
func (e *endpoint) stored(t *testing.T) string {
	t.Helper()
	q, err := e.store.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".*"))
	var lines []string
	for set.Next() {
		var c storage.Columns
		line := set.At().Labels().String()
		for r := set.At().Samples(nil); r.Read(&c); {
			for i := range c.T {
				line += fmt.Sprintf(" %d:%v", c.T[i]-now, c.F[i])
			}
		}
		lines = append(lines, line)
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return strings.Join(lines, "\n")
}

const exposed = `# HELP h_seconds How long.
# TYPE h_seconds histogram
h_seconds_bucket{le="1"} 1
h_seconds_bucket{le="+Inf"} 2
h_seconds_sum 3.5
h_seconds_count 2
# TYPE late gauge
late 2 1760000000002
late 1 1760000000001
loose{b="2",a="",job="own"} NaN
`

func TestWhatIsPushedIsStored(t *testing.T) {
	want := strings.Join([]string{
		`{__name__="h_seconds_bucket", job="x", le="+Inf"} 0:2`,
		`{__name__="h_seconds_bucket", job="x", le="1"} 0:1`,
		`{__name__="h_seconds_count", job="x"} 0:2`,
		`{__name__="h_seconds_sum", job="x"} 0:3.5`,
		`{__name__="late", job="x"} 1:1 2:2`,
		`{__name__="loose", b="2", exported_job="own", job="x"} 0:NaN`,
	}, "\n")
	for _, m := range []Message{"", V1, V2} {
		e := newEndpoint(t)
		sent, err := Push(t.Context(), []byte(exposed), e.options(t, m))
		if err != nil || sent != (Sent{Series: 6, Samples: 7}) {
			t.Errorf("%s: sent %+v, %v", m, sent, err)
		}
		if got := e.stored(t); got != want {
			t.Errorf("%s: stored\n%s\nwant\n%s", m, got, want)
		}
	}
}

func TestOpenMetricsAndExemplars(t *testing.T) {
	body := "# TYPE a counter\na_total 3 1760000000.5 # {trace=\"t\"} 1 1760000000.25\na_created 1759999999\n# EOF\n"
	for _, m := range []Message{V1, V2} {
		e := newEndpoint(t)
		sent, err := Push(t.Context(), []byte(body), e.options(t, m))
		if err != nil || sent != (Sent{Series: 1, Samples: 1, Exemplars: 1}) {
			t.Errorf("%s: sent %+v, %v", m, sent, err)
		}
		if got, want := e.stored(t), `{__name__="a_total", job="x"} 500:3`; got != want {
			t.Errorf("%s: stored %s, want %s", m, got, want)
		}
	}
}

func TestPushFails(t *testing.T) {
	var answer http.HandlerFunc
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	check := func(m Message, body, want string, f http.HandlerFunc) {
		t.Helper()
		answer = f
		_, err := Push(t.Context(), []byte(body), Options{URL: u, Client: server.Client(), Message: m, Now: time.UnixMilli(now)})
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	const good = "a 1\n"
	check(V1, "a{ 1\n", "line 1: ", nil)
	check(V1, good, "answers 400 Bad Request: out of order", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order\nreally", http.StatusBadRequest)
	})
	check(V1, good, "answers 503 Service Unavailable", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	check(V1, good, "<nil>", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	check(V2, good, "it may not know io.prometheus.write.v2.Request", func(http.ResponseWriter, *http.Request) {})
	check(V2, good, "has stored 0 of 1 samples", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", "0")
	})
	check(V2, "", "<nil>", func(http.ResponseWriter, *http.Request) {})
}

func TestHeader(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", "1")
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	u, err := url.Parse(server.URL + "/api/v1/write")
	if err != nil {
		t.Fatal(err)
	}
	check := func(m Message, contentType, version string) {
		t.Helper()
		opts := Options{URL: u, Client: server.Client(), Message: m, Header: http.Header{"X-Scope-Orgid": {"me"}, "Host": {"example.org"}}}
		if _, err := Push(t.Context(), []byte("a 1\n"), opts); err != nil {
			t.Fatal(err)
		}
		h := got.Header
		if h.Get("Content-Type") != contentType || h.Get("X-Prometheus-Remote-Write-Version") != version || h.Get("Content-Encoding") != "snappy" ||
			h.Get("X-Scope-OrgID") != "me" || got.Host != "example.org" || got.URL.Path != "/api/v1/write" {
			t.Errorf("%s %s: %v", got.Host, got.URL, h)
		}
	}
	check(V1, "application/x-protobuf", "0.1.0")
	check(V2, "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0")
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(exposed))
	f.Add([]byte("# TYPE a counter\na_total 1 # {a=\"b\"} 1\n# EOF\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := read(body, &Options{})
		if err != nil {
			return
		}
		if n := b.count(); n.Samples < n.Series {
			t.Errorf("%+v", n)
		}
		_, _ = b.v1(), b.v2()
	})
}

// TestEndlessAnswer has a receiver that took everything go on talking.
func TestEndlessAnswer(t *testing.T) {
	e := &endpoint{Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "and so on ")
		}
	}))}
	defer e.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if sent, err := Push(ctx, []byte("a 1\n"), e.options(t, V1)); err != nil || sent.Samples != 1 {
		t.Errorf("got %v, %v", sent, err)
	}
}
