package grant

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The plain transport's patience. There is no limit for an answer: waiting for changes takes as long as it takes, and
// the guest can give up.
const (
	connectTimeout = 10 * time.Second
	idleTimeout    = 90 * time.Second
)

// HTTP sends requests to granted origins. It is safe for concurrent use.
type HTTP struct {
	client  *http.Client
	origins map[string]http.RoundTripper
}

// NewHTTP grants the origins (scheme, host and port) of urls through client, and those of explicit through plain. An
// entry of urls may lack a scheme, as in "consul:8500"; then http and https are granted. See [Options] for what nil
// means.
//
// The allow-list sits below the client, in front of the transports, so that whatever the client decides to send,
// redirects included, passes it; and so an origin gets only the credentials that are meant for it.
func NewHTTP(urls, explicit []string, client *http.Client, plain http.RoundTripper) (*HTTP, error) {
	return newHTTP(urls, Options{HTTP: explicit, Client: client, Plain: plain}, credentials{})
}

func newHTTP(urls []string, o Options, secrets credentials) (*HTTP, error) {
	plain := o.Plain
	if plain == nil {
		plain = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSHandshakeTimeout: connectTimeout,
			IdleConnTimeout:     idleTimeout,
			ForceAttemptHTTP2:   true,
		}
	}
	inner := plain
	copied := http.Client{}
	if o.Client != nil {
		copied = *o.Client
		if copied.Transport != nil {
			inner = copied.Transport
		}
	}
	inner = secrets.through(inner)
	h := &HTTP{client: &copied, origins: map[string]http.RoundTripper{}}
	for _, u := range o.HTTP {
		if err := h.grant(u, plain); err != nil {
			return nil, err
		}
	}
	for _, u := range urls {
		if err := h.grant(u, inner); err != nil {
			return nil, err
		}
	}
	copied.Transport = gate{h}
	return h, nil
}

func (h *HTTP) grant(raw string, through http.RoundTripper) error {
	schemes := []string{""}
	if !strings.Contains(raw, "://") {
		raw, schemes = "//"+raw, []string{"http", "https"}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("grant HTTP: %w", err)
	}
	for _, s := range schemes {
		if s != "" {
			u.Scheme = s
		}
		o, err := origin(u)
		if err != nil {
			return fmt.Errorf("grant HTTP to %q: %w", raw, err)
		}
		h.origins[o] = through
	}
	return nil
}

// origin returns scheme://host:port in the one form in which origins are compared.
func origin(u *url.URL) (string, error) {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	switch {
	case scheme != "http" && scheme != "https":
		return "", fmt.Errorf("scheme %q is not http or https", u.Scheme)
	case u.Hostname() == "":
		return "", fmt.Errorf("no host")
	case port == "" && scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// Origins returns what is granted, sorted, as scheme://host:port.
func (h *HTTP) Origins() []string {
	if h == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(h.origins))
}

// Check returns an error that wraps [ErrNotGranted] unless requests to u are granted.
func (h *HTTP) Check(u *url.URL) error {
	_, err := h.transport(u)
	return err
}

func (h *HTTP) transport(u *url.URL) (http.RoundTripper, error) {
	o, err := origin(u)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", u.Redacted(), err)
	}
	if h != nil {
		if t, ok := h.origins[o]; ok {
			return t, nil
		}
	}
	return nil, fmt.Errorf("request to %s: %w", o, ErrNotGranted)
}

// Do sends r and follows redirects as the client does, all within the granted origins. The caller closes the body.
func (h *HTTP) Do(r *http.Request) (*http.Response, error) {
	if err := h.Check(r.URL); err != nil {
		return nil, err
	}
	r.Host = "" // the guest does not choose a virtual host behind a granted address
	return h.client.Do(r)
}

// gate picks the transport by origin and refuses all others.
type gate struct{ h *HTTP }

// RoundTrip implements http.RoundTripper.
func (g gate) RoundTrip(r *http.Request) (*http.Response, error) {
	t, err := g.h.transport(r.URL)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return t.RoundTrip(r)
}

// CloseIdle closes connections that nobody uses, in both transports.
func (h *HTTP) CloseIdle() {
	if h == nil {
		return
	}
	for _, t := range h.origins {
		if c, ok := t.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}
