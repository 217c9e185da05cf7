package access

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/sdk"
)

// judge is an authenticator made of a function.
type judge func(context.Context, sdk.AuthRequest) (sdk.Identity, error)

// Authenticate implements sdk.Authenticator.
func (j judge) Authenticate(ctx context.Context, r sdk.AuthRequest) (sdk.Identity, error) {
	return j(ctx, r)
}

// password accepts requests whose field Authorization is the word, and refuses all others in the given way.
func password(word string, otherwise error) judge {
	return func(_ context.Context, r sdk.AuthRequest) (sdk.Identity, error) {
		if r.Header.Get("Authorization") == word {
			return sdk.Identity{User: "user of " + word}, nil
		}
		return sdk.Identity{}, otherwise
	}
}

func unknown(challenge string) error {
	return sdk.Unauthenticated(errors.New("no "+challenge), challenge)
}

// gated is a server behind a gate.
type gated struct {
	*testing.T
	*Gate
	handler http.Handler
	log     *strings.Builder
	served  []string // USER METHOD PATH
}

func newGated(t *testing.T, prefix string, p Policy) *gated {
	t.Helper()
	g := &gated{T: t, log: &strings.Builder{}}
	var err error
	g.Gate, err = New(Options{
		Prefix: prefix, Registerer: prometheus.NewPedanticRegistry(), Log: slog.New(slog.NewTextHandler(g.log, nil)),
		CORS: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Access-Control-Allow-Origin", "x") },
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	g.handler = g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.served = append(g.served, User(r.Context())+" "+r.Method+" "+r.URL.Path)
		_, _ = io.WriteString(w, "served")
	}))
	return g
}

func entries(list ...judge) []Authenticator {
	var out []Authenticator
	for _, j := range list {
		out = append(out, Authenticator{Name: "web.auth[0].test_auth", Authenticator: j})
	}
	return out
}

// ask sends a request and returns the answer. Word is the field Authorization.
func (g *gated) ask(method, target, word string, header ...string) *httptest.ResponseRecorder {
	g.Helper()
	r := httptest.NewRequestWithContext(g.Context(), method, target, nil)
	if word != "" {
		r.Header.Set("Authorization", word)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	if served := w.Body.String() == "served"; served != (w.Code == http.StatusOK) {
		g.Errorf("%s %s: status %d, %s", method, target, w.Code, w.Body)
	}
	return w
}

func (g *gated) want(status int, method, target, word string, header ...string) {
	g.Helper()
	if w := g.ask(method, target, word, header...); w.Code != status {
		g.Errorf("%s %s as %q: status %d, want %d: %s", method, target, word, w.Code, status, w.Body)
	}
}

func TestWithoutEntriesEverybodyIsAnswered(t *testing.T) {
	g := newGated(t, "", Policy{PublicPaths: []string{"/-/healthy"}})
	g.want(200, "GET", "/", "")
	g.want(200, "GET", "/a/../b", "")
	g.want(200, "POST", "/-/reload", "")
}

func TestVerdicts(t *testing.T) {
	down, no := errors.New("plugin is down"), sdk.Forbidden(errors.New("bob may not"))
	check := func(status int, list ...judge) *httptest.ResponseRecorder {
		t.Helper()
		g := newGated(t, "", Policy{Entries: entries(list...)})
		w := g.ask("GET", "/metrics", "b")
		if w.Code != status {
			t.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
		}
		return w
	}
	check(200, password("b", nil))
	check(200, password("a", unknown("A")), password("b", unknown("B")))
	check(200, password("a", down), password("b", unknown("B")))
	check(200, password("a", no), password("b", unknown("B")))
	w := check(401, password("a", unknown("A")), password("x", unknown("B")), password("x", unknown("")))
	if got := w.Header().Values("WWW-Authenticate"); len(got) != 2 || got[0] != "A" || got[1] != "B" {
		t.Errorf("challenges %q", got)
	}
	check(403, password("a", no))
	check(403, password("a", no), password("a", unknown("A")))
	check(503, password("a", down))
	check(503, password("a", down), password("a", no), password("a", unknown("A")))
	check(503, password("a", unknown("A")), password("a", down))
	check(503, func(context.Context, sdk.AuthRequest) (sdk.Identity, error) {
		return sdk.Identity{User: "root"}, errors.New("both")
	})
}

func TestErrorsHaveTheShapeOfTheAPI(t *testing.T) {
	g := newGated(t, "/nx", Policy{Entries: entries(password("a", unknown("A")))})
	w := g.ask("GET", "/nx/api/v1/query", "")
	if got := w.Body.String(); got != `{"status":"error","errorType":"unauthorized","error":"no A"}` ||
		w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("%v %s", w.Header(), got)
	}
	w = g.ask("GET", "/nx/metrics", "")
	if got := w.Body.String(); got != "no A\n" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v %s", w.Header(), got)
	}
	g.Set(Policy{Entries: entries(password("a", errors.New("dial 10.0.0.1: refused")))})
	w = g.ask("GET", "/nx/api/v1/query", "")
	if got := w.Body.String(); got != `{"status":"error","errorType":"unavailable","error":"web.auth[0].test_auth cannot judge requests now; the log says why"}` {
		t.Errorf("%s", got)
	}
	if !strings.Contains(g.log.String(), "10.0.0.1") {
		t.Errorf("log: %s", g.log)
	}
}

func TestFailuresAreLoggedOnce(t *testing.T) {
	g := newGated(t, "", Policy{Entries: entries(password("a", errors.New("down")))})
	for range 3 {
		g.want(503, "GET", "/", "")
	}
	g.want(200, "GET", "/", "a")
	for range 3 {
		g.want(503, "GET", "/", "")
		g.want(200, "GET", "/", "a")
	}
	if said := g.log.String(); strings.Count(said, "cannot be judged") != 1 || strings.Count(said, "judged again") != 1 {
		t.Errorf("log: %s", said)
	}
}

func TestPublicPaths(t *testing.T) {
	for _, prefix := range []string{"", "/nx", "/a/b"} {
		g := newGated(t, prefix, Policy{
			Entries: entries(password("a", unknown("A"))), PublicPaths: []string{"/-/healthy", "/-/ready", "/consoles/public/*"},
		})
		for _, p := range []string{"/-/healthy", "/-/ready", "/-/healthy?x=1", "/consoles/public/x.html", "/consoles/public/"} {
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
				g.want(200, method, prefix+p, "")
			}
		}
		for _, p := range []string{
			"/", "/graph", "/metrics", "/api/v1/query", "/api/v1/write", "/-/reload", "/-/quit", "/-/healthyx", "/-/healthy/", "/-/Healthy", "/-/", "/version",
			"/debug/pprof/heap", "/plugins/exporter-node", "/consoles/publicx", "/consoles/public", "/consoles/prom.html", "/federate", "//api/v1/query",
			"/-/healthy//../reload", "/-/healthy%00", "/-/healthy;x", "/%2d/reload", "/-%2freload", "/api//v1/query", "/api/v1/query/", "/-/ready%20",
		} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
				if w := g.ask(method, prefix+p, ""); w.Code != 401 && w.Code != 400 {
					t.Errorf("%s %s: status %d", method, prefix+p, w.Code)
				}
			}
		}
		for _, p := range []string{
			"/consoles/public/../secret", "/consoles/public/%2e%2e/secret", "/consoles/public/%2E./secret", "/consoles/public/..%2fsecret",
			"/-/healthy/../reload", "/./-/healthy", "/-/./healthy", "/..", "/consoles/public/..", "/api/v1/label/%2e/values",
		} {
			g.want(400, "GET", prefix+p, "")
			g.want(400, "GET", prefix+p, "a")
		}
		for _, served := range g.served {
			if !strings.Contains(served, "/-/healthy") && !strings.Contains(served, "/-/ready") && !strings.Contains(served, "/consoles/public/") {
				t.Errorf("served: %s", served)
			}
		}
	}
}

// TestWhatPluginsSee checks that a rule about a path cannot be got around by writing it in another way.
func TestWhatPluginsSee(t *testing.T) {
	var seen sdk.AuthRequest
	g := newGated(t, "/nx", Policy{Entries: entries(func(_ context.Context, r sdk.AuthRequest) (sdk.Identity, error) {
		seen = r
		return sdk.Identity{User: "u\nv" + strings.Repeat("x", 500)}, nil
	})})
	for target, want := range map[string]string{
		"/nx/-/reload":   "/-/reload",
		"/nx/%2d/reload": "/-/reload",
		"/nx//-//reload": "/-/reload",
		"/nx/-%2Freload": "/-/reload",
		"//nx/-/reload":  "/-/reload",
		"/nx/api/v1/query?query=a%2Fb&match[]=%22": "/api/v1/query?query=a%2Fb&match[]=%22",
		"/nx/api/v1/label/a%20b%3f/values":         "/api/v1/label/a%20b%3F/values",
		"/nx/":                                     "/",
		"/nx":                                      "/nx",
		"/-/reload":                                "/-/reload",
		"/nxx/y":                                   "/nxx/y",
		"http://evil.example/nx/-/reload":          "/-/reload",
	} {
		g.want(200, "POST", target, "a")
		if seen.URL != want {
			t.Errorf("%s is seen as %s, want %s", target, seen.URL, want)
		}
	}
	if seen.Method != http.MethodPost || seen.RemoteAddr == "" || seen.Header.Get("host") == "" || seen.Header.Get("Authorization") != "a" {
		t.Errorf("%+v", seen)
	}
	user, _, _ := strings.Cut(g.served[0], " ")
	if !strings.HasPrefix(user, "u\uFFFDv") || len(user) > maxUserBytes {
		t.Errorf("user %q", user)
	}
	g.want(431, "GET", "/nx/", "a", "Cookie", strings.Repeat("x", maxHeaderBytes))
	g.want(200, "GET", "/nx/", "a", "Cookie", strings.Repeat("x", maxHeaderBytes/2))
}

func TestPreflight(t *testing.T) {
	g := newGated(t, "/nx", Policy{Entries: entries(password("a", unknown("A")))})
	preflight := []string{"Origin", "https://grafana", "Access-Control-Request-Method", "POST"}
	g.want(200, "OPTIONS", "/nx/api/v1/query", "", preflight...)
	g.want(401, "OPTIONS", "/nx/api/v1/query", "")
	g.want(401, "OPTIONS", "/nx/api/v1/query", "", preflight[:2]...)
	g.want(401, "OPTIONS", "/nx/api/v1/query", "", preflight[2:]...)
	g.want(401, "OPTIONS", "/nx/-/reload", "", preflight...)
	g.want(401, "OPTIONS", "/nx/metrics", "", preflight...)
	g.want(400, "OPTIONS", "/nx/api/v1/../../-/reload", "", preflight...)
	g.want(401, "GET", "/nx/api/v1/query", "", preflight...)
	g.want(401, "POST", "/nx/api/v1/query", "", append(preflight, "X-HTTP-Method-Override", "OPTIONS")...)
}

func TestStarting(t *testing.T) {
	g := newGated(t, "", Policy{Starting: true, PublicPaths: []string{"/-/healthy"}})
	g.want(200, "GET", "/-/healthy", "")
	g.want(503, "GET", "/metrics", "a")
	g.Set(Policy{Entries: entries(password("a", unknown("A")))})
	g.want(200, "GET", "/metrics", "a")
	g.want(401, "GET", "/metrics", "b")
	g.want(401, "GET", "/-/healthy", "b")
	g.Set(Policy{})
	g.want(200, "GET", "/metrics", "")
}

func TestAuditAndCount(t *testing.T) {
	g := newGated(t, "", Policy{Entries: entries(password("a", unknown("A")), password("b", sdk.Forbidden(errors.New("no"))))})
	g.want(200, "POST", "/-/reload", "a")
	g.want(200, "GET", "/-/reload", "a")
	g.want(200, "POST", "/api/v1/admin/tsdb/snapshot", "b")
	g.want(200, "POST", "/api/v1/query", "b")
	g.want(403, "POST", "/-/quit", "c")
	said := g.log.String()
	if strings.Count(said, "administrative request") != 2 || !strings.Contains(said, `user="user of a" method=POST path=/-/reload remote=192.0.2.1:1234`) {
		t.Errorf("log: %s", said)
	}
	if n := testutil.ToFloat64(g.requests.WithLabelValues("accepted")); n != 4 {
		t.Errorf("%v requests are counted as accepted", n)
	}
	if n := testutil.ToFloat64(g.requests.WithLabelValues("forbidden")); n != 1 {
		t.Errorf("%v requests are counted as forbidden", n)
	}
}
