// Package access decides which requests the web server answers: those that one of the configured plugins accepts, and
// those for public paths.
//
// Start with [Config], [New] and [Gate.Wrap]. The gate fails closed: when a plugin cannot say whether it accepts a
// request, and no other accepts it, the request is refused. TLS, and users with passwords, are not here but in the file
// of --web.config.file; both have to let a request through.
package access

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// timeout bounds what a plugin may take for a request.
	timeout = 10 * time.Second
	// maxHeaderBytes bounds what is copied to plugins.
	maxHeaderBytes = 64 << 10
	// saidPause is how long the log does not repeat that an entry cannot judge.
	saidPause = time.Minute
	// maxUserBytes bounds the name of a user.
	maxUserBytes = 256
)

// Options configure a [Gate]. Registerer and Log are required.
type Options struct {
	// Prefix is what precedes all paths, without a slash in the end.
	Prefix string
	// CORS adds what lets pages of other origins read an answer of the API; nil adds nothing.
	CORS       func(http.ResponseWriter, *http.Request)
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Gate lets requests through. It is safe for concurrent use.
type Gate struct {
	opts     Options
	policy   atomic.Pointer[Policy]
	requests *prometheus.CounterVec

	mu      sync.Mutex
	failing map[string]bool      // entries of which the log says that they cannot judge, by name
	said    map[string]time.Time // when it said so
}

// New returns a gate with a policy, which may be the zero one.
func New(opts Options, first Policy) (*Gate, error) {
	g := &Gate{opts: opts, failing: map[string]bool{}, said: map[string]time.Time{}, requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "narthex_web_auth_requests_total",
		Help: "HTTP requests that were judged because web.auth is configured, by result: accepted, unauthenticated, forbidden, failed.",
	}, []string{"result"})}
	if err := opts.Registerer.Register(g.requests); err != nil {
		return nil, fmt.Errorf("register metrics of web.auth: %w", err)
	}
	g.Set(first)
	return g, nil
}

// Set puts a policy in force. Requests that are being judged are judged by the old one.
func (g *Gate) Set(p Policy) {
	g.policy.Store(&p)
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.failing)
	clear(g.said)
}

type userKey struct{}

// User returns who sent the request that ctx belongs to, or "" if that is not known.
func User(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

// Wrap returns a handler that hands requests on to h if they may be answered.
func (g *Gate) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := g.policy.Load()
		if p.open() {
			h.ServeHTTP(w, r)
			return
		}
		where, ok := g.path(r.URL.Path)
		if !ok {
			g.refuse(w, r, &refusal{status: http.StatusBadRequest, reason: "the path has . or .. in it"})
			return
		}
		if p.public(where) || g.preflight(r, where) {
			h.ServeHTTP(w, r)
			return
		}
		user, refused := g.judge(r, p, where)
		if refused != nil {
			g.refuse(w, r, refused)
			return
		}
		g.requests.WithLabelValues("accepted").Inc()
		g.audit(r, where, user)
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
}

// path returns a request's path as rules see it: decoded, without the prefix, and in its shortest form, which is the one
// that is served. A path with steps that stay or go up, however they are encoded, has none.
func (g *Gate) path(p string) (string, bool) {
	for step := range strings.SplitSeq(p, "/") {
		if step == "." || step == ".." {
			return "", false
		}
	}
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	if below, ok := strings.CutPrefix(clean, g.opts.Prefix+"/"); ok {
		return "/" + below, true
	}
	return clean, true // Nothing is served outside the prefix.
}

// preflight reports whether a browser asks on behalf of a page of another origin what it may send, which it does without
// credentials. The API answers that itself, and does nothing.
func (g *Gate) preflight(r *http.Request, where string) bool {
	return r.Method == http.MethodOptions && strings.HasPrefix(where, "/api/v1/") &&
		r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}
