package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/template"
	"github.com/narthex-io/narthex/host/web/access"
	"github.com/narthex-io/narthex/promql"
)

// serveConsole answers /PATH with the console template of that path, expanded.
func (h *Host) serveConsole(w http.ResponseWriter, r *http.Request) {
	if !h.web.Ready() {
		http.Error(w, "Service Unavailable: the server is starting", http.StatusServiceUnavailable)
		return
	}
	text, err := readConsole(h.opts.ConsoleTemplates, r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	html, err := h.expandConsole(r, text, params)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(html)
}

// readConsole reads a file below dir, wherever links in dir lead to.
func readConsole(dir, path string) (text string, err error) {
	f, err := http.Dir(dir).Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if stat, err := f.Stat(); err != nil || stat.IsDir() {
		return "", errors.Join(err, fmt.Errorf("%s is no console", path))
	}
	b, err := io.ReadAll(f)
	return string(b), err
}

func (h *Host) expandConsole(r *http.Request, text string, params url.Values) ([]byte, error) {
	libraries, err := filepath.Glob(filepath.Join(h.opts.ConsoleLibraries, "*.lib"))
	if err != nil {
		return nil, fmt.Errorf("find console libraries: %w", err)
	}
	data := template.PageData{
		RawParams: params, Params: map[string]string{}, Path: strings.TrimLeft(r.URL.Path, "/"), ExternalLabels: h.config.Load().Global.ExternalLabels,
	}
	for name, values := range params {
		data.Params[name] = values[0]
	}
	page := template.Page{Name: "__console_" + r.URL.Path, Text: text, Libraries: libraries, External: withoutSlash(h.externalURL())}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	origin := promql.Origin{Request: &promql.RequestOrigin{ClientIP: client, Method: r.Method, Path: r.URL.Path, User: access.User(r.Context())}}
	return page.Expand(r.Context(), data, time.Now(), func(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
		return h.instantVector(ctx, query, origin, at)
	})
}

// instantVector evaluates a query whose result is a vector or a number.
func (h *Host) instantVector(ctx context.Context, query string, origin promql.Origin, at time.Time) (promql.Vector, error) {
	res, err := h.engine.Instant(ctx, h.queried, query, promql.QueryOptions{Origin: origin}, at)
	if err != nil {
		return nil, err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return v, nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	default:
		return nil, errors.New("the result of a query in a console is not a vector or scalar")
	}
}
