package host

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/tsdb"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// server is a running host.
type server struct {
	t      *testing.T
	host   *Host
	url    *url.URL
	config string
}

// start runs a host with a configuration until the test ends. It is ready when start returns.
func start(t *testing.T, text string, change ...func(*Options)) *server {
	t.Helper()
	s := &server{t: t, config: filepath.Join(t.TempDir(), "prometheus.yml")}
	s.write(text)
	ready := make(chan *url.URL, 1)
	opts := Options{
		ConfigFile:              s.config,
		ListenAddresses:         []string{"127.0.0.1:0"},
		EnableLifecycle:         true,
		EnableAdminAPI:          true,
		Storage:                 tsdb.Options{Dir: filepath.Join(t.TempDir(), "data")},
		DiscoveryReloadInterval: 10 * time.Millisecond,
		PluginCache:             t.TempDir(),
		OnReady:                 func(u *url.URL) { ready <- u },
		Logger:                  slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&opts)
	}
	h, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	s.host, s.url = h, <-ready
	return s
}

func (s *server) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) do(method, path string) (int, string) {
	s.t.Helper()
	u, err := s.url.Parse(path)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, u.String(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// eventually asks until the answer contains want.
func (s *server) eventually(path, want string) {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, body := s.do(http.MethodGet, path)
		if strings.Contains(body, want) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not come to contain %s: %s", path, want, body)
		}
		time.Sleep(5 * time.Millisecond) // The only way to wait for another program's answer is to ask again.
	}
}

// target serves one metric and counts its scrapes.
func target(t *testing.T) (address string, scrapes *atomic.Int64) {
	t.Helper()
	scrapes = &atomic.Int64{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "scrapes_total %d\n", scrapes.Add(1))
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), scrapes
}

func job(name, address string) string {
	return fmt.Sprintf("- job_name: %s\n  scrape_interval: 50ms\n  static_configs: [{targets: ['%s']}]\n", name, address)
}

func TestFromTargetToQuery(t *testing.T) {
	address, _ := target(t)
	s := start(t, "scrape_configs:\n"+job("one", address))
	s.eventually("/api/v1/query?query=up", `"value":[`)
	s.eventually("/api/v1/query?query=scrapes_total%3E2", `"job":"one"`)
	s.eventually("/api/v1/targets", `"health":"up"`)
	s.eventually("/metrics", "prometheus_config_last_reload_successful 1")
}

func TestBadReloadChangesNothing(t *testing.T) {
	address, scrapes := target(t)
	good := "scrape_configs:\n" + job("one", address)
	s := start(t, good)
	s.eventually("/api/v1/query?query=scrapes_total", `"job":"one"`)
	_, before := s.do(http.MethodGet, "/api/v1/status/config")
	for _, bad := range []string{
		"scrape_configs: [{job: x}]",
		good + job("one", address),
		good + "- job_name: two\n  acme_sd_configs: [{server: x}]\n",
		good + "- job_name: two\n  exporters: [{plugin: missing}]\n",
		good + "- job_name: two\n  relabel_configs: [{regex: '('}]\n",
		good + "- job_name: two\n  tls_config: {ca_file: missing.pem}\n",
		"rule_files: [x*/y]\n" + good,
	} {
		s.write(bad)
		status, body := s.do(http.MethodPost, "/-/reload")
		if status != 500 || !strings.HasPrefix(body, "failed to reload config: ") || !strings.Contains(body, "prometheus.yml:") {
			t.Errorf("reload of\n%s answers %d %s", bad, status, body)
		}
		if _, after := s.do(http.MethodGet, "/api/v1/status/config"); after != before {
			t.Errorf("the configuration became %s", after)
		}
	}
	s.eventually("/metrics", "prometheus_config_last_reload_successful 0")
	at := scrapes.Load()
	s.eventually("/api/v1/query?query=scrapes_total%3E"+fmt.Sprint(at+2), `"job":"one"`)
	s.write(good + job("two", address))
	if status, body := s.do(http.MethodPost, "/-/reload"); status != 200 {
		t.Fatalf("a good reload answers %d %s", status, body)
	}
	s.eventually("/api/v1/query?query=up", `"job":"two"`)
}

func TestTwoHostsInOneProcess(t *testing.T) {
	address, _ := target(t)
	a := start(t, "scrape_configs:\n"+job("a", address))
	b := start(t, "scrape_configs:\n"+job("b", address))
	a.eventually("/api/v1/query?query=up", `"job":"a"`)
	b.eventually("/api/v1/query?query=up", `"job":"b"`)
}

func TestQuit(t *testing.T) {
	s := start(t, "")
	if status, body := s.do(http.MethodPost, "/-/quit"); status != 200 {
		t.Fatalf("got %d %s", status, body)
	}
}

func TestNewReleasesWhatItTookWhenItFails(t *testing.T) {
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), Options{
		ConfigFile: config, ListenAddresses: []string{"127.0.0.1:0", "256.0.0.1:0"}, PluginCache: t.TempDir(),
		Storage: tsdb.Options{Dir: t.TempDir()}, Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), "256.0.0.1") {
		t.Fatalf("got %v", err)
	}
}

func TestCleanupsRunLastInFirstOut(t *testing.T) {
	var order []string
	var c cleanups
	for _, name := range []string{"a", "b", "c"} {
		c.add(name, func() error {
			order = append(order, name)
			return map[string]error{"b": os.ErrClosed}[name]
		})
	}
	err := c.run(slog.New(slog.DiscardHandler))
	if strings.Join(order, "") != "cba" || err == nil || err.Error() != "close b: file already closed" {
		t.Errorf("ran %v, %v", order, err)
	}
	if err := c.run(slog.New(slog.DiscardHandler)); err != nil || len(order) != 3 {
		t.Errorf("a second run did something: %v, %v", order, err)
	}
}
