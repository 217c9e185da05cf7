package web

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/pprof"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

//go:embed index.html
var indexPage []byte

// RoutePrefix returns what precedes all paths, with a slash in front and none behind: what is configured, or else the path
// of the external URL, which may be nil. It is empty for none.
func RoutePrefix(configured string, externalURL *url.URL) string {
	prefix := configured
	if prefix == "" && externalURL != nil {
		prefix = externalURL.Path
	}
	if prefix = strings.Trim(prefix, "/"); prefix == "" {
		return ""
	}
	return "/" + prefix
}

func (s *Server) routes() (http.Handler, error) {
	m, err := newMetrics(s.opts.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register web metrics: %w", err)
	}
	mux := http.NewServeMux()
	handle := func(methods, path string, h http.Handler) {
		mux.Handle(s.prefix+path, only(strings.Fields(methods), m.instrument(path, h)))
		if !strings.HasSuffix(path, "/") && !strings.HasSuffix(path, "{$}") {
			mux.Handle(s.prefix+path+"/{$}", only(strings.Fields(methods), unslashed()))
		}
	}
	handle("GET", "/{$}", s.toQuery())
	handle("GET", "/graph", s.toQuery()) // Alerts link to /graph?g0.expr=….
	handle("GET", "/query", page(titled(indexPage, s.opts.PageTitle), "text/html; charset=utf-8"))
	handle("GET", "/federate", s.whenReady(compress(s.opts.Federate)))
	handle("GET HEAD", "/-/healthy", page([]byte("Prometheus Server is Healthy.\n"), "text/plain; charset=utf-8"))
	handle("GET HEAD", "/-/ready", http.HandlerFunc(s.serveReady))
	handle("GET POST PUT", "/-/reload", s.lifecycle(s.serveReload))
	handle("GET POST PUT", "/-/quit", s.lifecycle(s.serveQuit))
	handle("GET", "/metrics", promhttp.InstrumentMetricHandler(s.opts.Registerer,
		promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: s.opts.Registerer})))
	handle("GET", "/version", http.HandlerFunc(s.serveVersion))
	api := http.StripPrefix(s.prefix+"/api/v1", uncompressed(compress(s.opts.API), s.opts.API))
	mux.Handle(s.prefix+"/api/v1/", m.instrumentBelow("/api/v1", s.prefix, api))
	handle("GET HEAD", "/plugins/", http.StripPrefix(s.prefix+"/plugins", s.opts.Plugins))
	handle("GET", "/consoles/", http.StripPrefix(s.prefix+"/consoles", s.opts.Consoles))
	handle("GET POST", "/debug/pprof/", http.StripPrefix(s.prefix, http.HandlerFunc(pprof.Index)))
	handle("GET POST", "/debug/pprof/cmdline", http.HandlerFunc(pprof.Cmdline))
	handle("GET POST", "/debug/pprof/profile", http.HandlerFunc(pprof.Profile))
	handle("GET POST", "/debug/pprof/symbol", http.HandlerFunc(pprof.Symbol))
	handle("GET POST", "/debug/pprof/trace", http.HandlerFunc(pprof.Trace))
	if s.prefix != "" {
		mux.Handle("/{$}", only([]string{http.MethodGet}, http.RedirectHandler(s.prefix+"/", http.StatusFound)))
	}
	return mux, nil
}

// only refuses all methods but those given, HEAD included, and answers OPTIONS with what it takes, as upstream does.
func only(methods []string, h http.Handler) http.Handler {
	allowed := append([]string{http.MethodOptions}, methods...)
	slices.Sort(allowed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(methods, r.Method) {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		if r.Method != http.MethodOptions {
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		}
	})
}

// unslashed leads to the same path without the slash at its end. What is posted has to be posted there.
func unslashed() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := url.URL{Path: strings.TrimSuffix(r.URL.Path, "/"), RawQuery: r.URL.RawQuery}
		status := http.StatusTemporaryRedirect
		if r.Method == http.MethodGet {
			status = http.StatusMovedPermanently
		}
		http.Redirect(w, r, to.String(), status)
	})
}

// toQuery leads to the page for queries.
func (s *Server) toQuery() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := url.URL{Path: strings.TrimRight(s.URL().Path, "/") + "/query", RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusFound)
	})
}

// uncompressed has some requests answered by a handler that compresses nothing: notices, which are sent as they come and must
// not be held back, and writes and reads, whose answers are empty or compressed by themselves.
func uncompressed(usual, plain http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/notifications/live", "/write", "/read":
			plain.ServeHTTP(w, r)
		default:
			usual.ServeHTTP(w, r)
		}
	})
}

// aboutServer answers OPTIONS *, which asks about the server as a whole.
func aboutServer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions && r.RequestURI == "*" {
			w.Header().Set("Content-Length", "0")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// whenReady refuses requests until the server is ready, and when it stops.
func (s *Server) whenReady(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Ready() {
			h.ServeHTTP(w, r)
			return
		}
		s.serveReady(w, r)
	})
}

// titled puts the title into a page.
func titled(content []byte, title string) []byte {
	return bytes.ReplaceAll(content, []byte("{{title}}"), []byte(html.EscapeString(cmp.Or(title, "Narthex"))))
}

func page(content []byte, contentType string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content)
	})
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	switch s.state.Load() {
	case ready:
		_, _ = w.Write([]byte("Prometheus Server is Ready.\n"))
	case stopping:
		w.Header().Set("X-Prometheus-Stopping", "true")
		http.Error(w, "Service Unavailable: the server is stopping", http.StatusServiceUnavailable)
	default:
		http.Error(w, "Service Unavailable: the server is starting", http.StatusServiceUnavailable)
	}
}

// lifecycle refuses requests unless --web.enable-lifecycle is set.
func (s *Server) lifecycle(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			_, _ = w.Write([]byte("Only POST or PUT requests allowed"))
			return
		}
		if !s.opts.EnableLifecycle {
			http.Error(w, "Lifecycle API is not enabled: start with --web.enable-lifecycle.", http.StatusForbidden)
			return
		}
		h(w, r)
	})
}

func (s *Server) serveReload(w http.ResponseWriter, r *http.Request) {
	if err := s.opts.Reload(r.Context()); err != nil {
		http.Error(w, fmt.Sprintf("failed to reload config: %s", err), http.StatusInternalServerError)
	}
}

func (s *Server) serveQuit(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("Requesting termination... Goodbye!\n"))
	s.opts.Quit()
}

func (s *Server) serveVersion(w http.ResponseWriter, _ *http.Request) {
	if err := json.NewEncoder(w).Encode(s.opts.Version); err != nil {
		s.opts.Logger.Debug("version not written", "err", err)
	}
}
