// Package web is the server's HTTP side: listeners with TLS and authentication, readiness, life cycle, telemetry and
// the mount points of the API and of plugins' metrics.
//
// Start with [New] and [Server.Run]. What the API answers is decided in package api.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/net/netutil"

	"github.com/narthex-io/narthex/host/web/access"
)

// Options configure a [Server]. Listeners' addresses, Gatherer, Registerer, API, Plugins, Consoles, Federate, Reload and Quit are
// required.
type Options struct {
	// ListenAddresses are host:port; each gets a listener.
	ListenAddresses []string
	// ConfigFile enables TLS and authentication, in the format of Prometheus's exporter toolkit; empty for neither.
	ConfigFile string
	// MaxConnections bounds the connections open at once over all listeners; zero means 512.
	MaxConnections int
	// ReadTimeout bounds the reading of a request and closes idle connections; zero means 5 minutes.
	ReadTimeout time.Duration
	// ExternalURL is where clients reach the server; nil means the first listener's address, as it does for one with a path
	// alone.
	ExternalURL *url.URL
	// RoutePrefix precedes all paths; empty means the path of ExternalURL.
	RoutePrefix string
	// PageTitle is the title of the pages; empty means the program's name.
	PageTitle string
	// EnableLifecycle allows reload and shutdown by request.
	EnableLifecycle bool
	// Gate decides which requests are answered; nil answers all.
	Gate *access.Gate

	Gatherer   prometheus.Gatherer
	Registerer prometheus.Registerer
	// API serves what comes after /api/v1, Plugins what comes after /plugins, Consoles what comes after /consoles. Federate
	// serves /federate once the server is ready.
	API, Plugins, Consoles, Federate http.Handler
	// OnShutdown, if not nil, is called when the server stops taking requests; it ends those that would go on for ever.
	OnShutdown func()
	// Reload reads the configuration again; Quit starts a shutdown.
	Reload func(context.Context) error
	Quit   func()
	// Version is the answer of /version.
	Version any
	Logger  *slog.Logger
}

// shutdownGrace is how long requests in flight may take to end when the server stops.
const shutdownGrace = 5 * time.Second

// Server answers HTTP requests.
type Server struct {
	opts      Options
	prefix    string
	listeners []net.Listener
	server    *http.Server
	state     atomic.Int32
}

// The states that readiness reports.
const (
	starting int32 = iota
	ready
	stopping
)

// New opens the listeners. Requests wait there until [Server.Run].
func New(ctx context.Context, opts Options) (*Server, error) {
	if opts.MaxConnections == 0 {
		opts.MaxConnections = 512
	}
	if opts.ReadTimeout == 0 {
		opts.ReadTimeout = 5 * time.Minute
	}
	if err := CheckConfigFile(opts.ConfigFile); err != nil {
		return nil, fmt.Errorf("web config file %s: %w", opts.ConfigFile, err)
	}
	s := &Server{opts: opts}
	if err := s.listen(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.prefix = RoutePrefix(opts.RoutePrefix, opts.ExternalURL)
	if strings.ContainsAny(s.prefix, " \t{}") {
		err := fmt.Errorf("--web.route-prefix, or else the path of --web.external-url, is %q: leave out blanks and braces", s.prefix)
		return nil, errors.Join(err, s.Close())
	}
	handler, err := s.routes()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	handler = aboutServer(handler)
	if opts.Gate != nil {
		handler = opts.Gate.Wrap(handler)
	}
	s.server = &http.Server{
		Handler:     handler,
		ReadTimeout: opts.ReadTimeout,
		// The library would answer OPTIONS * itself, before the gate.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(opts.Logger.Handler(), slog.LevelWarn),
	}
	if opts.OnShutdown != nil {
		s.server.RegisterOnShutdown(opts.OnShutdown)
	}
	return s, nil
}

func (s *Server) listen(ctx context.Context) error {
	places := make(chan struct{}, s.opts.MaxConnections)
	for _, address := range s.opts.ListenAddresses {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			var bad *net.AddrError
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				err = fmt.Errorf("%w: stop what listens there, or give another address with --web.listen-address", err)
			case errors.As(err, &bad):
				err = fmt.Errorf("%w: give --web.listen-address as host:port or :port, without a scheme", err)
			}
			return fmt.Errorf("listen on %s: %w", address, err)
		}
		s.opts.Logger.Info("listening", "address", l.Addr().String())
		s.listeners = append(s.listeners, l)
	}
	// Connections over all listeners share one bound.
	if len(s.listeners) == 1 {
		s.listeners[0] = netutil.LimitListener(s.listeners[0], cap(places))
		return nil
	}
	for i, l := range s.listeners {
		s.listeners[i] = &sharedLimit{Listener: l, places: places, closed: make(chan struct{})}
	}
	return nil
}

// Addresses returns where the server listens.
func (s *Server) Addresses() []net.Addr {
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// URL returns where clients reach the server: the external URL, or the first listener.
func (s *Server) URL() *url.URL {
	path := s.prefix
	if external := s.opts.ExternalURL; external != nil {
		if external.Host != "" {
			return external
		}
		path = external.Path
	}
	host, port, err := net.SplitHostPort(s.listeners[0].Addr().String())
	if err != nil {
		return &url.URL{Scheme: "http", Host: s.listeners[0].Addr().String(), Path: "/"}
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: path}
}

// Run serves until ctx is done, then lets requests in flight end. It returns when no request is running.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() {
		failed <- toolkit.ServeMultiple(s.listeners, s.server, &toolkit.FlagConfig{
			WebListenAddresses: &s.opts.ListenAddresses,
			WebSystemdSocket:   new(bool),
			WebConfigFile:      &s.opts.ConfigFile,
		}, s.opts.Logger)
	}()
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), s.server.Close())
	case <-ctx.Done():
	}
	s.SetStopping()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	err := s.server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// Close releases the listeners of a server that never ran.
func (s *Server) Close() error {
	var errs []error
	for _, l := range s.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// SetReady lets /-/ready answer that the server is ready.
func (s *Server) SetReady() { s.state.CompareAndSwap(starting, ready) }

// SetStopping lets /-/ready answer that the server is going away.
func (s *Server) SetStopping() { s.state.Store(stopping) }

// Ready reports whether the server is ready.
func (s *Server) Ready() bool { return s.state.Load() == ready }
