package grant

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/idna"
)

// The plain transport's patience. There is no limit for an answer: waiting for changes takes as long as it takes, and
// the guest can give up.
const (
	connectTimeout = 10 * time.Second
	idleTimeout    = 90 * time.Second
)

// HTTP sends requests to granted origins. It is safe for concurrent use.
type HTTP struct {
	client   *http.Client
	origins  map[string]origin
	usage    *Usage
	answers  *Answers
	identity identity
}

// origin is a granted one.
type origin struct {
	place
	through http.RoundTripper
}

// fields are values of a plugin's section: those that the operator wrote, and those that the manifest has for what was left out.
type fields struct{ written, defaults []string }

// newHTTP grants the origins (scheme, host and port) of urls, and those of [Options.HTTP]. An entry of urls may lack a scheme,
// as in "consul:8500"; then http and https are granted. See [Options] for what nil means.
//
// The allow-list sits below the client, in front of the transports, so that whatever the client decides to send,
// redirects included, passes it; and so an origin gets only the credentials that are meant for it.
func newHTTP(urls fields, o Options, secrets credentials, implied Implied) (*HTTP, error) {
	plain, proxied := o.Plain, o.Plain
	if plain == nil {
		plain, proxied = newTransport(nil), newTransport(http.ProxyFromEnvironment)
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
	h := &HTTP{client: &copied, origins: map[string]origin{}, answers: o.Answers, identity: identify(o.ClientKey, secrets)}
	rules := newAddresses(o.Addresses)
	for _, list := range []struct {
		urls []string
		as   origin
	}{
		{implied.HTTP, origin{place{written: true, rules: rules}, proxied}},
		{implied.Local, origin{place{written: true, rules: rules}, plain}},
		{o.HTTP, origin{place{written: true, rules: rules}, plain}},
		{urls.defaults, origin{place{rules: rules}, inner}},
		{urls.written, origin{place{written: true, rules: rules}, inner}},
	} {
		for _, u := range list.urls {
			if err := h.grant(u, list.as); err != nil {
				return nil, err
			}
		}
	}
	copied.Transport = gate{h}
	return h, nil
}

func newTransport(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy:               proxy,
		DialContext:         Dial(net.Dialer{Timeout: connectTimeout}),
		TLSHandshakeTimeout: connectTimeout,
		IdleConnTimeout:     idleTimeout,
		ForceAttemptHTTP2:   true,
	}
}

func (h *HTTP) grant(raw string, as origin) error {
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
		name, host, err := originOf(u)
		if err != nil {
			return fmt.Errorf("grant HTTP to %q: %w", raw, err)
		}
		as.host = host
		h.origins[name] = as
	}
	return nil
}

// originOf returns scheme://host:port, and the host, in the one form in which they are compared.
func originOf(u *url.URL) (name, host string, err error) {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	switch {
	case scheme != "http" && scheme != "https":
		return "", "", fmt.Errorf("scheme %q is not http or https", u.Scheme)
	case u.Hostname() == "":
		return "", "", errors.New("no host")
	case port == "" && scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	host, err = toASCII(canonical(u.Hostname()))
	return scheme + "://" + net.JoinHostPort(host, port), host, err
}

// toASCII writes an international name as the HTTP client does.
func toASCII(host string) (string, error) {
	if !strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return host, nil
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", fmt.Errorf("host %q: %w", host, err)
	}
	return ascii, nil
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
	_, _, err := h.origin(u)
	return err
}

func (h *HTTP) origin(u *url.URL) (string, origin, error) {
	name, _, err := originOf(u)
	if err != nil {
		return "", origin{}, fmt.Errorf("request %s: %w", u.Redacted(), err)
	}
	if h != nil {
		if o, ok := h.origins[name]; ok {
			return name, o, nil
		}
	}
	return "", origin{}, fmt.Errorf("request to %s: %w", name, ErrNotGranted)
}

// Do sends r and follows redirects as the client does, all within the granted origins. The caller closes the body.
func (h *HTTP) Do(r *http.Request) (*http.Response, error) {
	if err := h.Check(r.URL); err != nil {
		return nil, err
	}
	r.Host = "" // the guest does not choose a virtual host behind a granted address
	return h.answers.do(r, h, h.client.Do)
}

// gate picks the transport by origin and refuses all others.
type gate struct{ h *HTTP }

// RoundTrip implements http.RoundTripper.
func (g gate) RoundTrip(r *http.Request) (*http.Response, error) {
	name, o, err := g.h.origin(r.URL)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	g.h.usage.count(func(u *Used) map[string]uint64 { return u.HTTP }, name)
	return o.through.RoundTrip(r.WithContext(toPlace(r.Context(), &o.place)))
}

// CloseIdle closes connections that nobody uses, in both transports.
func (h *HTTP) CloseIdle() {
	if h == nil {
		return
	}
	for _, o := range h.origins {
		if c, ok := o.through.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}
