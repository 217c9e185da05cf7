package sdktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/narthex-io/narthex/sdk"
)

// Host is a host for a plugin under test that grants everything: the real network, the file system and the environment.
type Host struct {
	log *slog.Logger

	mu       sync.Mutex
	watchers map[chan struct{}]bool
}

// NewHost returns a Host that logs to tb.
func NewHost(tb testing.TB) *Host {
	tb.Helper()
	return &Host{log: slog.New(slog.NewTextHandler(tb.Output(), nil)), watchers: map[chan struct{}]bool{}}
}

// SDK returns what a plugin gets.
func (h *Host) SDK() sdk.Host {
	return sdk.Host{Log: h.log, HTTP: h, Files: h, DNS: h, Dial: h.Dial, Getenv: os.Getenv}
}

// Dial implements sdk.DialFunc.
func (*Host) Dial(ctx context.Context, target string) (sdk.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("connection to %s is a %T", target, c), c.Close())
	}
	return conn{tcp}, nil
}

type conn struct{ *net.TCPConn }

// RemoteAddress implements sdk.Conn.
func (c conn) RemoteAddress() string { return c.RemoteAddr().String() }

// Changed tells everybody who watches that files may have changed.
func (h *Host) Changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Do implements sdk.HTTPClient.
func (*Host) Do(ctx context.Context, r sdk.Request) (*sdk.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	if r.Header != nil {
		req.Header = r.Header
	}
	resp, err := http.DefaultClient.Do(req) //nolint:bodyclose // the plugin closes it
	if err != nil {
		return nil, err
	}
	return &sdk.Response{Status: resp.StatusCode, Header: resp.Header, Body: resp.Body}, nil
}

// ReadFile implements sdk.Files.
func (*Host) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// Glob implements sdk.Files.
func (*Host) Glob(pattern string) ([]string, error) { return filepath.Glob(pattern) }

// Stat implements sdk.Files.
func (*Host) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// Lookup implements sdk.DNS; only addresses are looked up.
func (*Host) Lookup(ctx context.Context, t sdk.DNSType, name string) ([]sdk.DNSRecord, error) {
	network, ok := map[sdk.DNSType]string{sdk.DNSTypeA: "ip4", sdk.DNSTypeAAAA: "ip6"}[t]
	if !ok {
		return nil, fmt.Errorf("look up %s: %w", name, errors.ErrUnsupported)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, network, name)
	var records []sdk.DNSRecord
	for _, ip := range found {
		records = append(records, sdk.DNSRecord{Target: ip.String()})
	}
	return records, err
}

// Changes implements sdk.Files; [Host.Changed] is what makes it deliver.
func (h *Host) Changes(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	h.watchers[c] = true
	h.mu.Unlock()
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, c)
	})
	return c
}

// InProcess opens p in the test's own process, without frames.
func InProcess(p sdk.Plugin, host sdk.Host) Opener {
	return func(_ context.Context, kind sdk.Kind, config sdk.Config) (Guest, error) {
		g := &inProcess{manifest: p.Manifest}
		var err error
		switch {
		case kind == sdk.KindDiscovery && p.NewDiscovery != nil:
			g.discovery, err = p.NewDiscovery(config, host)
		case kind == sdk.KindExporter && p.NewExporter != nil:
			g.exporter, err = p.NewExporter(config, host)
		case kind == sdk.KindParser && p.NewParser != nil:
			g.parser, err = p.NewParser(config, host)
		case kind == sdk.KindAuthOutbound && p.NewSigner != nil:
			g.signer, err = p.NewSigner(config, host)
		case kind == sdk.KindAuthInbound && p.NewAuthenticator != nil:
			g.authenticator, err = p.NewAuthenticator(config, host)
		case kind == sdk.KindNotify && p.NewNotifier != nil:
			g.notifier, err = p.NewNotifier(config, host)
		default:
			err = fmt.Errorf("plugin %s does not implement the kind %q", p.Manifest.Name, kind)
		}
		if err != nil {
			return nil, err
		}
		return g, nil
	}
}

type inProcess struct {
	manifest      sdk.Manifest
	discovery     sdk.Discovery
	exporter      sdk.Exporter
	parser        sdk.Parser
	notifier      sdk.Notifier
	signer        sdk.Signer
	authenticator sdk.Authenticator
}

// Manifest implements Guest.
func (g *inProcess) Manifest() sdk.Manifest { return g.manifest }

// Discovery implements Guest.
func (g *inProcess) Discovery() sdk.Discovery { return g.discovery }

// Exporter implements Guest.
func (g *inProcess) Exporter() sdk.Exporter { return g.exporter }

// Parser implements Guest.
func (g *inProcess) Parser() sdk.Parser { return g.parser }

// Signer implements Guest.
func (g *inProcess) Signer() sdk.Signer { return g.signer }

// Authenticator implements Guest.
func (g *inProcess) Authenticator() sdk.Authenticator { return g.authenticator }

// Notifier implements Guest.
func (g *inProcess) Notifier() sdk.Notifier { return g.notifier }

// Close implements Guest; what runs ends with the contexts that it was given.
func (*inProcess) Close(context.Context) error { return nil }
