// Package host is the composition root: it makes the server's parts from options and configuration, runs them, and
// exchanges the configuration while they run.
//
// Start with [New], [Host.Run] and [Host.Reload]. The order in which parts start and stop is written once, in
// stages.go; what a reload prepares and applies, in reload.go.
package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/trust"
	"github.com/narthex-io/narthex/host/remote/query"
	"github.com/narthex-io/narthex/host/remote/read"
	"github.com/narthex-io/narthex/host/remote/receive"
	"github.com/narthex-io/narthex/host/remote/send"
	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/host/web"
	"github.com/narthex-io/narthex/host/web/access"
	"github.com/narthex-io/narthex/host/web/api"
	"github.com/narthex-io/narthex/host/web/federate"
	"github.com/narthex-io/narthex/host/web/notices"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/tsdb"
)

// Options are the settings of a server: what needs a restart to change. ConfigFile, ListenAddresses, DataDir and Logger
// are required; the zero value of the rest means Prometheus's default.
type Options struct {
	// ConfigFile is the path of the reloadable configuration.
	ConfigFile string
	// Getenv looks up the variables that the configuration refers to; nil knows none.
	Getenv func(string) string
	// Reload, if not nil, asks for a reload with each value received.
	Reload <-chan struct{}
	// AutoReload looks for changes of the configuration with each interval; zero means never.
	AutoReload time.Duration

	// ListenAddresses and what follows configure the web server; see [web.Options].
	ListenAddresses []string
	WebConfigFile   string
	MaxConnections  int
	ReadTimeout     time.Duration
	ExternalURL     *url.URL
	PageTitle       string
	RoutePrefix     string
	EnableLifecycle bool
	// MaxSubscribers bounds the clients that listen for notices; zero means 16.
	MaxSubscribers int
	// EnableAdminAPI allows deleting samples and making snapshots by request.
	EnableAdminAPI bool
	CORSOrigin     *regexp.Regexp
	// RemoteWrite says what others may write to this server.
	RemoteWrite RemoteWrite
	// RemoteRead bounds what others read from this server.
	RemoteRead RemoteRead
	// RemoteFlushDeadline is how long samples are still sent to others when that is to end; zero means a minute.
	RemoteFlushDeadline time.Duration

	// ConsoleTemplates is the folder of the console templates, ConsoleLibraries that of what they use.
	ConsoleTemplates, ConsoleLibraries string

	// Storage configures the data directory. Its Logger and Registerer are set by the host.
	Storage tsdb.Options
	// Exemplars turns on the storage of exemplars, as many as the configuration says.
	Exemplars bool
	// Notify configures the sending of alerts. What is taken from other options is set by the host.
	Notify notify.Options
	// Query configures the engine. Its Logger, Registerer and NoStepSubqueryInterval are set by the host.
	Query promql.Options

	// Rules configures the evaluation of rules; the host sets what it works with.
	Rules rules.Options
	// Scrape are the features of scraping that are switched on.
	Scrape scrape.Features

	// PluginDirectories are searched in order, unless the configuration names one; PluginCache holds compiled plugins.
	PluginDirectories []string
	// PluginWorker is the binary that runs sandboxed plugins which compute in processes of their own: this program's, usually. Empty
	// means that all of them run inside this process.
	PluginWorker string
	PluginCache  string
	// WatchPlugins puts plugins in force when their files change; otherwise that takes a reload.
	WatchPlugins bool
	// PluginTrust says who may have signed plugins.
	PluginTrust PluginTrust

	// TimestampTolerance and DiscoveryReloadInterval are as in packages scrape and discovery.
	TimestampTolerance      time.Duration
	DiscoveryReloadInterval time.Duration

	// SetGCPercent applies runtime.gogc; nil leaves the collector alone.
	SetGCPercent func(percent int) int
	// Flags are all settings as text, for display.
	Flags map[string]string
	// Build says how the binary was made.
	Build Build
	// OnReady, if not nil, is called once, when the server is ready.
	OnReady func(*url.URL)
	// Hostname is the machine's name, for display; QualifiedHostname, with its domain, tells this server from its
	// replicas, which scrape at other moments.
	Hostname, QualifiedHostname string
	Logger                      *slog.Logger
}

// Build describes the binary.
type Build struct{ Version, Revision, Date, GoVersion string }

// userAgent is what requests of the server say about it.
func (b Build) userAgent() string { return "Narthex/" + b.Version }

// RemoteWrite says what others may write to this server.
type RemoteWrite struct {
	// Receive enables the endpoint.
	Receive bool
	// Messages are those that are accepted; none means all.
	Messages []receive.Message
}

// RemoteRead bounds what others read from this server.
type RemoteRead struct {
	// SampleLimit is how many samples a query may have, unless chunks are streamed, ConcurrentLimit how many requests are answered at
	// once. Zero means any number.
	SampleLimit, ConcurrentLimit int
	// MaxBytesInFrame is about how large a frame of chunks is; zero means 1 MiB.
	MaxBytesInFrame int
}

// PluginTrust says who may have signed plugins.
type PluginTrust struct {
	// Keys are trusted besides those that the configuration names.
	Keys trust.Keys
	// Required refuses plugins that no trusted key has signed.
	Required bool
}

// Host is a server.
type Host struct {
	opts     Options
	log      *slog.Logger
	registry *prometheus.Registry
	metrics  *metrics
	started  time.Time

	catalogue *plugin.Catalogue
	discovery *discovery.Manager
	scrape    *scrape.Manager
	notify    *notify.Manager
	// alertmanagers finds those that alerts are sent to.
	alertmanagers *discovery.Manager
	engine        *promql.Engine
	// queried is the storage, with the servers that queries read from besides.
	queried   *query.Storage
	receiver  *receive.Handler // nil if nobody may write to this server
	reader    *read.Handler
	sender    *send.Manager
	rules     *rules.Manager
	web       *web.Server
	access    *access.Gate
	notices   *notices.Board
	replay    tsdb.ReplayProgress
	storage   gate
	exporters exporters
	parsers   parsers
	signers   signers
	cleanups  cleanups

	// quit is closed when a shutdown was asked for.
	quit     chan struct{}
	quitOnce sync.Once

	// reloading is held while a configuration is exchanged.
	reloading sync.Mutex
	config    atomic.Pointer[config.Config]
	reloaded  reloadState
}

// New makes a server: it reads the configuration, opens the listeners and registers metrics, but starts nothing. When
// it fails, it has released what it took.
func New(ctx context.Context, opts Options) (_ *Host, err error) {
	if opts.Getenv == nil {
		opts.Getenv = func(string) string { return "" }
	}
	h := &Host{opts: opts, log: opts.Logger, started: time.Now(), quit: make(chan struct{})}
	h.storage.log = h.log.With("component", "tsdb")
	defer func() {
		if err != nil {
			err = errors.Join(err, h.cleanups.run(h.log))
		}
	}()
	// A bad file is found out before anything is touched; it is read again, and applied, when the server runs.
	cfg, err := load(opts.ConfigFile, opts.Getenv)
	if err != nil {
		return nil, &ConfigError{err}
	}
	if err := h.checkEncoding(cfg); err != nil {
		return nil, &ConfigError{err}
	}
	h.config.Store(cfg)
	if err := h.makeRegistry(); err != nil {
		return nil, err
	}
	if err := h.makePlugins(); err != nil {
		return nil, err
	}
	if err := h.makeScraping(); err != nil {
		return nil, err
	}
	if err := h.makeNotify(); err != nil {
		return nil, err
	}
	if err := h.makeEngine(); err != nil {
		return nil, err
	}
	if err := h.makeQueried(); err != nil {
		return nil, err
	}
	if err := h.makeRules(); err != nil {
		return nil, err
	}
	if err := h.makeReceiver(); err != nil {
		return nil, err
	}
	if err := h.makeReader(); err != nil {
		return nil, err
	}
	if err := h.makeSender(); err != nil {
		return nil, err
	}
	return h, h.makeWeb(ctx)
}

// ConfigError means that the configuration was the reason for which the server did not start.
type ConfigError struct{ Err error }

// Error returns the reason.
func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *ConfigError) Unwrap() error { return e.Err }

func (h *Host) makePlugins() (err error) {
	h.catalogue, err = plugin.New(plugin.Options{
		Directories: h.opts.PluginDirectories,
		CacheDir:    h.opts.PluginCache,
		Worker:      h.opts.PluginWorker,
		OnlyUsed:    true,
		KeepCopies:  true,
		TrustedKeys: h.opts.PluginTrust.Keys,
		Logger:      h.log.With("component", "plugins"),
		Registerer:  h.registry,

		RequireSignature: h.opts.PluginTrust.Required,
	})
	if err != nil {
		return fmt.Errorf("open plugin catalogue: %w", err)
	}
	h.cleanups.add("plugins", h.catalogue.Close)
	return nil
}

func (h *Host) makeScraping() (err error) {
	h.discovery, err = discovery.New(discovery.Options{
		Log:            h.log.With("component", "discovery"),
		Registerer:     h.registry,
		Name:           "scrape",
		ReloadInterval: h.opts.DiscoveryReloadInterval,
	})
	if err != nil {
		return fmt.Errorf("make discovery manager: %w", err)
	}
	h.scrape, err = scrape.New(scrape.Options{
		Log:                h.log.With("component", "scrape"),
		Registerer:         h.registry,
		Storage:            &h.storage,
		Exporters:          &h.exporters,
		Parsers:            &h.parsers,
		Signers:            &h.signers,
		UserAgent:          h.opts.Build.userAgent(),
		Hostname:           h.opts.QualifiedHostname,
		TimestampTolerance: h.opts.TimestampTolerance,
		Features:           h.opts.Scrape,
		BodyMemory:         debug.SetMemoryLimit(-1) / bodyMemoryShare,
	})
	if err != nil {
		return fmt.Errorf("make scrape manager: %w", err)
	}
	return nil
}

func (h *Host) makeNotify() (err error) {
	h.alertmanagers, err = discovery.New(discovery.Options{
		Log:            h.log.With("component", "discovery"),
		Registerer:     h.registry,
		Name:           "notify",
		ReloadInterval: h.opts.DiscoveryReloadInterval,
	})
	if err != nil {
		return fmt.Errorf("make discovery manager of Alertmanagers: %w", err)
	}
	opts := h.opts.Notify
	opts.Log = h.log.With("component", "notify")
	opts.Registerer = h.registry
	opts.UserAgent = h.opts.Build.userAgent()
	opts.Signers = &h.signers
	opts.Dir = filepath.Join(h.opts.Storage.Dir, "notify")
	opts.ExternalURL = func() string { return h.externalURL().String() }
	if h.notify, err = notify.New(opts); err != nil {
		return fmt.Errorf("make notifier: %w", err)
	}
	return nil
}

// bodyMemoryShare is the share of the memory limit that bodies of scrapes may take.
const bodyMemoryShare = 4

func (h *Host) makeEngine() (err error) {
	opts := h.opts.Query
	opts.Logger = h.log.With("component", "promql")
	opts.Registerer = h.registry
	opts.NoStepSubqueryInterval = func(int64) int64 {
		return time.Duration(h.config.Load().Global.EvaluationInterval).Milliseconds()
	}
	if h.engine, err = promql.New(opts); err != nil {
		return fmt.Errorf("make query engine: %w", err)
	}
	h.cleanups.add("query engine", func() error {
		h.engine.Close()
		return nil
	})
	h.cleanups.add("query log", func() error { return h.engine.SetQueryLog(nil) })
	return nil
}

const (
	// requestMemoryShare is the share of the memory limit that requests which write may take, and what other servers answer
	// to queries, each up to maxRequestMemory.
	requestMemoryShare = 4
	maxRequestMemory   = 4 << 30
)

func (h *Host) makeReceiver() (err error) {
	if !h.opts.RemoteWrite.Receive {
		return nil
	}
	h.receiver, err = receive.New(receive.Options{
		Storage:     &h.storage,
		Registerer:  h.registry,
		Log:         h.log.With("component", "remote write receiver"),
		Messages:    h.opts.RemoteWrite.Messages,
		StartZeros:  h.opts.Scrape.StartZeros,
		TypeAndUnit: h.opts.Scrape.TypeAndUnit,
		Metadata:    h.opts.Scrape.Metadata,
		MemoryBytes: min(debug.SetMemoryLimit(-1)/requestMemoryShare, maxRequestMemory),
	})
	if err != nil {
		return fmt.Errorf("make remote write receiver: %w", err)
	}
	return nil
}

func (h *Host) makeQueried() (err error) {
	h.queried, err = query.New(query.Options{
		Local:      &h.storage,
		LocalStart: h.localStart,
		MaxBytes:   min(debug.SetMemoryLimit(-1)/requestMemoryShare, maxRequestMemory),
		UserAgent:  h.opts.Build.userAgent(),
		Signers:    &h.signers,
		Registerer: h.registry,
		Log:        h.log.With("component", "remote read client"),
	})
	if err != nil {
		return err
	}
	h.cleanups.add("remote read", h.queried.Close)
	return nil
}

// localStart is since when, in Unix milliseconds, the storage has everything: some time after its first block begins, since it
// takes a while until a new server has found all targets.
func (h *Host) localStart() int64 {
	start := time.Now().UnixMilli()
	if blocks := h.storage.blocks(); len(blocks) > 0 {
		start = blocks[0].MinTime
	}
	return start + 2*cmp.Or(h.opts.Storage.MinBlockDuration, tsdb.DefaultMinBlockDuration).Milliseconds()
}

func (h *Host) makeReader() (err error) {
	h.reader, err = read.New(read.Options{
		Storage:         h.queried,
		ExternalLabels:  h.externalLabels,
		SampleLimit:     h.opts.RemoteRead.SampleLimit,
		ConcurrentLimit: h.opts.RemoteRead.ConcurrentLimit,
		MaxBytesInFrame: h.opts.RemoteRead.MaxBytesInFrame,
		Registerer:      h.registry,
		Log:             h.log.With("component", "remote read"),
	})
	if err != nil {
		return fmt.Errorf("make remote read: %w", err)
	}
	return nil
}

func (h *Host) makeSender() (err error) {
	h.sender, err = send.New(send.Options{
		Log:           h.log.With("component", "remote write"),
		Registerer:    h.registry,
		FlushDeadline: h.opts.RemoteFlushDeadline,
		UserAgent:     h.opts.Build.userAgent(),
		TypeAndUnit:   h.opts.Scrape.TypeAndUnit,
		Metadata:      h.families,
		Signers:       &h.signers,
	})
	if err != nil {
		return fmt.Errorf("make remote write: %w", err)
	}
	return nil
}

// families are those of all targets, each as often as targets have it.
func (h *Host) families() (all []send.Family) {
	for _, t := range h.scrape.Metadata() {
		for _, m := range t.Metrics {
			all = append(all, send.Family{Name: m.Metric, Metadata: m.Metadata})
		}
	}
	return all
}

func (h *Host) makeWeb(ctx context.Context) (err error) {
	h.access, err = access.New(access.Options{
		Prefix:     web.RoutePrefix(h.opts.RoutePrefix, h.opts.ExternalURL),
		CORS:       api.CORS(h.opts.CORSOrigin),
		Registerer: h.registry,
		Log:        h.log.With("component", "web"),
	}, h.firstPolicy())
	if err != nil {
		return err
	}
	if h.notices, err = notices.New(cmp.Or(h.opts.MaxSubscribers, 16), h.registry); err != nil {
		return err
	}
	h.notices.Set(notices.Starting, true)
	federation, err := h.makeFederation()
	if err != nil {
		return err
	}
	h.web, err = web.New(ctx, web.Options{
		ListenAddresses: h.opts.ListenAddresses,
		ConfigFile:      h.opts.WebConfigFile,
		MaxConnections:  h.opts.MaxConnections,
		ReadTimeout:     h.opts.ReadTimeout,
		ExternalURL:     h.opts.ExternalURL,
		RoutePrefix:     h.opts.RoutePrefix,
		PageTitle:       h.opts.PageTitle,
		EnableLifecycle: h.opts.EnableLifecycle,
		Gate:            h.access,
		Gatherer:        h.registry,
		Registerer:      h.registry,
		API:             h.api(),
		OnShutdown:      h.notices.Close,
		Plugins:         http.HandlerFunc(h.serveExporter),
		Consoles:        http.HandlerFunc(h.serveConsole),
		Federate:        federation,
		Reload:          h.Reload,
		Quit:            h.Quit,
		Version:         h.buildInfo(),
		Logger:          h.log.With("component", "web"),
	})
	if err != nil {
		return fmt.Errorf("make web server: %w", err)
	}
	h.cleanups.add("web", h.web.Close)
	return nil
}

func (h *Host) makeFederation() (http.Handler, error) {
	return federate.New(federate.Options{
		Storage:        &h.storage,
		Parser:         queryParser(h.opts.Query),
		Lookback:       h.opts.Query.LookbackDelta,
		ExternalLabels: h.externalLabels,
		Registerer:     h.registry,
		Log:            h.log.With("component", "federation"),
	})
}

// externalLabels are those of the configuration in force.
func (h *Host) externalLabels() labels.Labels { return h.config.Load().Global.Labels() }

// firstPolicy lets in whom the web server answers before the configuration is applied for the first time, which starts the
// plugins: everybody, unless some of them are to judge that.
func (h *Host) firstPolicy() access.Policy {
	cfg := h.config.Load().Web
	return access.Policy{Starting: len(cfg.Auth) > 0, PublicPaths: cfg.PublicPaths}
}

// URL returns where clients reach the server.
func (h *Host) URL() *url.URL { return h.web.URL() }

// Quit asks Run to end.
func (h *Host) Quit() { h.quitOnce.Do(func() { close(h.quit) }) }
