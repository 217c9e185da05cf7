package access

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/narthex-io/narthex/sdk"
)

// refusal is why a request is not answered.
type refusal struct {
	status     int
	reason     string
	challenges []string // for status 401
}

// judge asks the entries in order and returns who sent the request if one of them accepts it. Otherwise it is refused:
// as long as an entry could not tell, because of that; else as forbidden if somebody knows who sent it.
func (g *Gate) judge(r *http.Request, p *Policy, where string) (string, *refusal) {
	if p.Starting {
		g.requests.WithLabelValues("failed").Inc()
		return "", &refusal{status: http.StatusServiceUnavailable, reason: "the server is starting: what judges requests does not run yet"}
	}
	asked, err := newRequest(r, where)
	if err != nil {
		return "", &refusal{status: http.StatusRequestHeaderFieldsTooLarge, reason: err.Error()}
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	unknown := &refusal{status: http.StatusUnauthorized, reason: "the request does not say who sent it"}
	var forbidden, failed *refusal
	for _, e := range p.Entries {
		id, err := e.Authenticate(ctx, asked)
		challenge, unauthenticated := sdk.IsUnauthenticated(err)
		if err == nil || unauthenticated || sdk.IsForbidden(err) {
			g.works(e.Name)
		}
		switch {
		case err == nil:
			return name(id.User), nil
		case unauthenticated:
			unknown.reason = err.Error()
			if challenge != "" {
				unknown.challenges = append(unknown.challenges, challenge)
			}
		case sdk.IsForbidden(err):
			forbidden = &refusal{status: http.StatusForbidden, reason: err.Error()}
		case r.Context().Err() != nil:
			return "", &refusal{status: http.StatusServiceUnavailable, reason: "the client has gone"}
		default:
			g.fails(e.Name, err)
			failed = &refusal{status: http.StatusServiceUnavailable, reason: e.Name + " cannot judge requests now; the log says why"}
		}
	}
	switch {
	case failed != nil:
		g.requests.WithLabelValues("failed").Inc()
		return "", failed
	case forbidden != nil:
		g.requests.WithLabelValues("forbidden").Inc()
		return "", forbidden
	}
	g.requests.WithLabelValues("unauthenticated").Inc()
	return "", unknown
}

// newRequest returns what plugins see of a request.
func newRequest(r *http.Request, where string) (sdk.AuthRequest, error) {
	size := len(r.URL.RawQuery)
	for field, values := range r.Header {
		for _, v := range values {
			size += len(field) + len(v)
		}
	}
	if size > maxHeaderBytes {
		return sdk.AuthRequest{}, fmt.Errorf("the header and the query are larger than %d bytes together", maxHeaderBytes)
	}
	header := maps.Clone(sdk.Header(r.Header))
	if header == nil {
		header = sdk.Header{}
	}
	header["Host"] = []string{r.Host}
	uri := url.URL{Path: where, RawQuery: r.URL.RawQuery}
	return sdk.AuthRequest{Method: r.Method, URL: uri.String(), Header: header, RemoteAddr: r.RemoteAddr}, nil
}

// name makes the name of a user fit for logs.
func name(user string) string {
	user = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return unicode.ReplacementChar
		}
		return c
	}, user)
	if len(user) > maxUserBytes {
		user = strings.ToValidUTF8(user[:maxUserBytes], "")
	}
	return user
}

// fails notes that an entry cannot judge, and logs it, though not for each request.
func (g *Gate) fails(entry string, err error) {
	g.mu.Lock()
	last, again := g.said[entry]
	again = again && time.Since(last) < saidPause
	if !again {
		g.said[entry] = time.Now()
	}
	g.failing[entry] = g.failing[entry] || !again
	g.mu.Unlock()
	if !again {
		g.opts.Log.Error("requests cannot be judged and are refused", "entry", entry, "err", err)
	}
}

// works notes that an entry has judged a request.
func (g *Gate) works(entry string) {
	g.mu.Lock()
	failed := g.failing[entry]
	delete(g.failing, entry)
	g.mu.Unlock()
	if failed {
		g.opts.Log.Info("requests are judged again", "entry", entry)
	}
}

// audit logs who asked for what changes the server or its data.
func (g *Gate) audit(r *http.Request, where, user string) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	if !reads && (strings.HasPrefix(where, "/-/") || strings.HasPrefix(where, "/api/v1/admin/")) {
		g.opts.Log.Info("administrative request", "user", user, "method", r.Method, "path", where, "remote", r.RemoteAddr)
	}
}
