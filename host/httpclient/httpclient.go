// Package httpclient makes the HTTP clients with which the host goes out: TLS, proxies, credentials and headers as
// configured, signatures of auth plugins, the user agent, connections that are kept and pooled.
//
// Start with [New] and [Config]. It does not retry, and sets no time limit: the request's context does.
package httpclient

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	httpconfig "github.com/prometheus/common/config"
)

// Options are what a client is made of, besides its configuration.
type Options struct {
	// Name is what the client is for, such as the name of a job.
	Name string
	// UserAgent is sent with each request.
	UserAgent string
	// Dial replaces how connections are made; nil means the operating system's way.
	Dial httpconfig.DialContextFunc
	// Socket is the path of a Unix socket to connect to, whatever the address; empty means none.
	Socket string
	// Direct says that the client is for many small GET requests: those without TLS, proxies and credentials are sent with
	// less work. Their connections are pooled apart from the others.
	Direct bool
	// Signers finds the auth plugin of a config that has one, and is required then.
	Signers Signers
}

// idleTimeout is above any sensible pause between two requests to the same server.
const idleTimeout = 5 * time.Minute

// New returns a client with a pool of connections of its own; CloseIdleConnections on it releases them. Files with
// credentials, keys and certificates are read again when they change. Bodies come as they were sent: the caller asks
// for compression and undoes it.
func New(cfg Config, opts Options) (*http.Client, error) {
	dial := opts.Dial
	if dial == nil {
		dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
		dial = dialer.DialContext
		if opts.Socket != "" {
			dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", opts.Socket)
			}
		}
	}
	base, agent := cfg.HTTPClientConfig, opts.UserAgent
	if cfg.Auth != nil { // What is signed has to be complete.
		if opts.Signers == nil {
			return nil, fmt.Errorf("make HTTP client for %s: nothing here signs requests, as %s asks for", opts.Name, cfg.Auth.Key)
		}
		base.HTTPHeaders, agent = nil, ""
	}
	client, err := httpconfig.NewClientFromConfig(base, opts.Name,
		httpconfig.WithUserAgent(agent),
		httpconfig.WithIdleConnTimeout(idleTimeout),
		httpconfig.WithDialContextFunc(dial),
	)
	if err != nil {
		return nil, fmt.Errorf("make HTTP client for %s: %w", opts.Name, err)
	}
	if opts.Direct && isDirect(&cfg) {
		client.Transport = &direct{next: client.Transport, dial: dial, name: opts.Name, agent: opts.UserAgent}
	}
	if cfg.Auth != nil {
		client.Transport = &signing{auth: cfg.Auth, signers: opts.Signers, next: client.Transport}
		if cfg.HTTPHeaders != nil {
			client.Transport = httpconfig.NewHeadersRoundTripper(cfg.HTTPHeaders, client.Transport)
		}
		if opts.UserAgent != "" {
			client.Transport = httpconfig.NewUserAgentRoundTripper(opts.UserAgent, client.Transport)
		}
	}
	return client, nil
}
