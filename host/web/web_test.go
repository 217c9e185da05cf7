package web

import (
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// start runs a server on a free port and returns it with its address and a function that stops it.
func start(t *testing.T, change func(*Options)) (s *Server, url string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	opts := Options{
		ListenAddresses: []string{"127.0.0.1:0"},
		EnableLifecycle: true,
		Gatherer:        registry,
		Registerer:      registry,
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "api "+r.URL.Path)
		}),
		Plugins: http.NotFoundHandler(), Consoles: http.NotFoundHandler(),
		Federate: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("federated "+r.URL.RawQuery+"\n", 100))
		}),
		Reload:  func(context.Context) error { return nil },
		Quit:    func() {},
		Version: map[string]string{"version": "1"},
		Logger:  slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&opts)
	}
	s, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s, "http://" + s.Addresses()[0].String()
}

func request(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestReadiness(t *testing.T) {
	s, url := start(t, nil)
	check := func(path string, want int) {
		t.Helper()
		if got, body := request(t, http.MethodGet, url+path); got != want {
			t.Errorf("%s answers %d %s, want %d", path, got, body, want)
		}
	}
	check("/-/healthy", 200)
	check("/-/ready", 503)
	s.SetReady()
	check("/-/ready", 200)
	s.SetStopping()
	check("/-/ready", 503)
	s.SetReady()
	check("/-/ready", 503)
	check("/api/v1/query", 200)
	check("/nonsense", 404)
	check("/-/reload", 405)
	check("/debug/pprof/", 200)
}

func TestReloadSaysWhyItFailed(t *testing.T) {
	_, url := start(t, func(o *Options) {
		o.Reload = func(context.Context) error { return errors.New("prometheus.yml:3: bad") }
	})
	status, body := request(t, http.MethodPost, url+"/-/reload")
	if status != 500 || body != "failed to reload config: prometheus.yml:3: bad\n" {
		t.Errorf("got %d %q", status, body)
	}
	_, closed := start(t, func(o *Options) { o.EnableLifecycle = false })
	if status, _ := request(t, http.MethodPost, closed+"/-/reload"); status != 403 {
		t.Errorf("a disabled life cycle answers %d", status)
	}
}

func TestLinksOfAlertsLeadToAPage(t *testing.T) {
	_, url := start(t, func(o *Options) { o.RoutePrefix = "/nx" })
	for _, path := range []string{"/nx/", "/nx/graph?g0.expr=up&g0.tab=1", "/nx/query?g0.expr=up"} {
		if status, body := request(t, http.MethodGet, url+path); status != 200 || !strings.Contains(body, "g0.expr") {
			t.Errorf("%s answers %d: %s", path, status, body)
		}
	}
}

func TestRoutePrefix(t *testing.T) {
	_, url := start(t, func(o *Options) { o.RoutePrefix = "prom/" })
	for path, want := range map[string]string{
		"/prom/api/v1/labels": "api /labels", "/prom/-/healthy": "Healthy", "/prom/-/healthy/": "Healthy", "/": "<title>Narthex",
	} {
		if status, body := request(t, http.MethodGet, url+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s answers %d %q", path, status, body)
		}
	}
	if status, _ := request(t, http.MethodGet, url+"/api/v1/labels"); status != 404 {
		t.Errorf("a path without the prefix answers %d", status)
	}
}

func TestPageTitle(t *testing.T) {
	_, url := start(t, func(o *Options) { o.PageTitle = `R&D <"1">` })
	if _, body := request(t, http.MethodGet, url+"/query"); !strings.Contains(body, "<title>R&amp;D &lt;&#34;1&#34;&gt;</title>") {
		t.Errorf("got %s", body)
	}
}

func TestExternalURLOfPathAlone(t *testing.T) {
	s, base := start(t, func(o *Options) { o.ExternalURL = &url.URL{Path: "/prom"} })
	if got := s.URL().String(); got != base+"/prom" {
		t.Errorf("the server is at %s, want %s/prom", got, base)
	}
	if status, _ := request(t, http.MethodGet, base+"/prom/-/healthy"); status != 200 {
		t.Errorf("got %d", status)
	}
}

func TestImpossiblePrefixIsAnError(t *testing.T) {
	for _, prefix := range []string{"/a b", "/{x}"} {
		_, err := New(t.Context(), Options{
			ListenAddresses: []string{"127.0.0.1:0"}, RoutePrefix: prefix, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		})
		if err == nil || !strings.Contains(err.Error(), "leave out blanks and braces") {
			t.Errorf("%s: got %v", prefix, err)
		}
	}
}

func TestRequestsAreCounted(t *testing.T) {
	_, url := start(t, nil)
	request(t, http.MethodGet, url+"/api/v1/label/job/values")
	request(t, http.MethodGet, url+"/api/v1/never/heard/of")
	_, body := request(t, http.MethodGet, url+"/metrics")
	for _, want := range []string{
		`prometheus_http_requests_total{code="200",handler="/api/v1/label/:name/values"} 1`,
		`prometheus_http_requests_total{code="200",handler="/api/v1/*"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestSharedLimitOverListeners(t *testing.T) {
	s, _ := start(t, func(o *Options) {
		o.ListenAddresses = []string{"127.0.0.1:0", "127.0.0.1:0"}
		o.MaxConnections = 2
	})
	for range 5 {
		for _, a := range s.Addresses() {
			if status, _ := request(t, http.MethodGet, "http://"+a.String()+"/-/healthy"); status != 200 {
				t.Errorf("%v answers %d", a, status)
			}
		}
	}
}

func TestPortInUse(t *testing.T) {
	s, _ := start(t, nil)
	address := s.Addresses()[0].String()
	registry := prometheus.NewRegistry()
	_, err := New(t.Context(), Options{
		ListenAddresses: []string{"127.0.0.1:0", address}, Registerer: registry, Gatherer: registry, Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), "listen on "+address) {
		t.Errorf("got %v", err)
	}
}

func TestListenAddressThatIsNone(t *testing.T) {
	for _, address := range []string{"localhost", "http://localhost:9090", ":99999"} {
		registry := prometheus.NewRegistry()
		_, err := New(t.Context(), Options{
			ListenAddresses: []string{address}, Registerer: registry, Gatherer: registry, Logger: slog.New(slog.DiscardHandler),
		})
		if err == nil || !strings.Contains(err.Error(), "give --web.listen-address as host:port or :port, without a scheme") {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

func TestFederationWaitsUntilReady(t *testing.T) {
	s, url := start(t, nil)
	if status, _ := request(t, http.MethodGet, url+"/federate?match[]=up"); status != 503 {
		t.Errorf("before the server is ready: %d", status)
	}
	s.SetReady()
	if status, body := request(t, http.MethodGet, url+"/federate?match[]=up"); status != 200 || !strings.HasPrefix(body, "federated match[]=up\n") {
		t.Errorf("got %d %.30s", status, body)
	}
	for _, method := range []string{http.MethodPost, http.MethodHead} {
		if status, _ := request(t, method, url+"/federate"); status != 405 {
			t.Errorf("%s answers %d", method, status)
		}
	}
}

func TestCompression(t *testing.T) {
	s, url := start(t, nil)
	s.SetReady()
	for accepted, want := range map[string]string{
		"gzip": "gzip", "deflate": "deflate", "gzip, deflate": "gzip", "deflate, gzip": "gzip", "identity": "", "gzip;q=0, deflate;q=0.5": "deflate", "deflate;q=0": "",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/federate?match[]=up", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", accepted)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := io.Reader(resp.Body)
		switch got := resp.Header.Get("Content-Encoding"); {
		case got != want:
			t.Errorf("%s is answered in %q, want %q", accepted, got, want)
		case got == "gzip":
			body, err = gzip.NewReader(body)
		case got == "deflate":
			body, err = zlib.NewReader(body)
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		if err != nil || strings.Count(string(text), "federated match[]=up\n") != 100 {
			t.Errorf("%s: got %d bytes, %v", accepted, len(text), err)
		}
		_ = resp.Body.Close()
	}
}
