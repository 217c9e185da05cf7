package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/common/promslog"
	"github.com/spf13/pflag"

	"github.com/narthex-io/narthex/host"
	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/host/remote/receive"
	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/tsdb"
)

// serve runs the server until ctx is done. defaults replace defaults of settings; onReady is called when the server is
// ready.
func serve(ctx context.Context, io streams, fs *pflag.FlagSet, defaults map[string]string, onReady func(*url.URL)) error {
	v, err := mergeSettings(fs, os.Environ(), defaults)
	if err != nil {
		return &usageError{err}
	}
	log, err := newLogger(io, v)
	if err != nil {
		return &usageError{err}
	}
	opts, err := hostOptions(ctx, v, log)
	if err != nil {
		return &usageError{err}
	}
	if _, err := os.Stat(opts.ConfigFile); errors.Is(err, os.ErrNotExist) {
		return &usageError{fmt.Errorf("there is no configuration %s: write one, name another with --config.file, or try narthex demo", opts.ConfigFile)}
	}
	log.Info("starting", "version", version, "revision", revision, "go", runtime.Version())
	limitResources(ctx, v, log)
	reload := make(chan struct{}, 1)
	stopSignals := onHangup(reload)
	defer stopSignals()
	opts.Reload = reload
	opts.OnReady = func(u *url.URL) {
		// Reading the log and compiling plugins leave garbage that would stay resident until the heap grows again.
		debug.FreeOSMemory()
		if onReady != nil {
			onReady(u)
		}
	}
	h, err := host.New(ctx, opts)
	if err != nil {
		return err
	}
	return h.Run(ctx)
}

func newLogger(io streams, v *values) (*slog.Logger, error) {
	level, format := promslog.NewLevel(), promslog.NewFormat()
	if err := level.Set(v.text("log.level")); err != nil {
		return nil, fmt.Errorf("--log.level: %q is none of debug, info, warn and error", v.text("log.level"))
	}
	if err := format.Set(v.text("log.format")); err != nil {
		return nil, fmt.Errorf("--log.format: %q is neither logfmt nor json", v.text("log.format"))
	}
	return promslog.New(&promslog.Config{Level: level, Format: format, Writer: io.err}), nil
}

// onHangup turns SIGHUP into values on reload, folding those that come faster than reloads.
func onHangup(reload chan<- struct{}) (stop func()) {
	hangup, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangup, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-hangup:
				select {
				case reload <- struct{}{}:
				default:
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(done)
		<-ended
	}
}

// limitResources follows the limits of the container until ctx is done. Go does so for processors by itself.
func limitResources(ctx context.Context, v *values, log *slog.Logger) {
	if !v.flag("auto-gomaxprocs") {
		runtime.GOMAXPROCS(runtime.NumCPU())
	}
	if !v.flag("auto-gomemlimit") || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit, err := memlimit.Set(
		memlimit.WithRatio(v.float("auto-gomemlimit.ratio")),
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)),
		memlimit.WithRefreshInterval(ctx, v.duration("auto-gomemlimit.refresh-interval")),
	)
	if err != nil {
		log.Warn("memory limit not set", "err", err)
		return
	}
	log.Debug("memory limit set", "bytes", limit)
}

func hostOptions(ctx context.Context, v *values, log *slog.Logger) (host.Options, error) {
	var errs []error
	storage, err := storageOptions(v)
	errs = append(errs, err)
	external, err := externalURL(v)
	errs = append(errs, err)
	origin, err := regexp.Compile("^(?s:" + v.text("web.cors.origin") + ")$")
	if err != nil {
		errs = append(errs, fmt.Errorf("--web.cors.origin: %w", err))
	}
	messages, err := receive.ParseMessages(v.list("web.remote-write-receiver.accepted-protobuf-messages"))
	if err != nil {
		errs = append(errs, fmt.Errorf("--web.remote-write-receiver.accepted-protobuf-messages: %w", err))
	}
	keys, err := trustedKeys("plugins.trusted-key", v.list("plugins.trusted-key"))
	errs = append(errs, err)
	if ratio := v.float("auto-gomemlimit.ratio"); ratio <= 0 || ratio > 1 {
		errs = append(errs, errors.New("--auto-gomemlimit.ratio must be greater than 0 and less than or equal to 1"))
	}
	query := queryOptions(v)
	enabled := features{query: &query}
	errs = append(errs, enabled.enable(v.list("enable-feature"), log))
	storage.XOR2, storage.HistogramST, storage.StartTimestamps = enabled.xor2, enabled.histogramST, enabled.starts
	if enabled.delayedCuts {
		storage.CutDelayPercent = cutDelay(v, log)
	}
	title := v.text("web.page-title")
	if v.isDefault("web.page-title") { // Upstream's default names upstream.
		title = ""
	}
	opts := host.Options{
		PageTitle:       title,
		ConfigFile:      v.text("config.file"),
		Getenv:          os.Getenv,
		ListenAddresses: v.list("web.listen-address"),
		WebConfigFile:   v.text("web.config.file"),
		MaxConnections:  v.int("web.max-connections"),
		ReadTimeout:     v.duration("web.read-timeout"),
		ExternalURL:     external,
		RoutePrefix:     v.text("web.route-prefix"),
		EnableLifecycle: v.flag("web.enable-lifecycle"),
		EnableAdminAPI:  v.flag("web.enable-admin-api"),
		RemoteWrite:     host.RemoteWrite{Receive: v.flag("web.enable-remote-write-receiver"), Messages: messages},
		RemoteRead: host.RemoteRead{
			SampleLimit:     int(v.float("storage.remote.read-sample-limit")),
			ConcurrentLimit: v.int("storage.remote.read-concurrent-limit"),
			MaxBytesInFrame: v.int("storage.remote.read-max-bytes-in-frame"),
		},
		RemoteFlushDeadline: max(v.duration("storage.remote.flush-deadline"), time.Nanosecond), // Zero is the default.

		MaxSubscribers: v.int("web.max-notifications-subscribers"),
		CORSOrigin:     origin,
		Storage:        storage,
		Exemplars:      enabled.exemplars,
		Notify: notify.Options{
			QueueCapacity: v.int("alertmanager.notification-queue-capacity"),
			BatchSize:     v.int("alertmanager.notification-batch-size"),
			Drain:         v.flag("alertmanager.drain-notification-queue-on-shutdown"),
		},
		Query:                   query,
		Rules:                   ruleOptions(v, &enabled),
		Scrape:                  enabled.scrape,
		ConsoleTemplates:        v.text("web.console.templates"),
		ConsoleLibraries:        v.text("web.console.libraries"),
		PluginDirectories:       pluginDirectories(v.list("plugins.directory")),
		PluginCache:             v.text("plugins.cache-directory"),
		PluginWorker:            ownBinary(),
		WatchPlugins:            v.flag("plugins.watch"),
		PluginTrust:             host.PluginTrust{Keys: keys, Required: v.flag("plugins.require-signature")},
		DiscoveryReloadInterval: v.duration("scrape.discovery-reload-interval"),
		SetGCPercent:            debug.SetGCPercent,
		Flags:                   shownFlags(v, external),
		Build:                   host.Build{Version: version, Revision: revision, GoVersion: runtime.Version()},
		Logger:                  log,
	}
	if v.flag("scrape.adjust-timestamps") {
		opts.TimestampTolerance = v.duration("scrape.timestamp-tolerance")
	}
	if v.flag("config.auto-reload") {
		opts.AutoReload = max(v.duration("config.auto-reload-interval"), time.Second)
	}
	for _, dir := range v.list("plugins.directory") {
		if stat, err := os.Stat(dir); err != nil || !stat.IsDir() {
			log.Warn("--plugins.directory is not there: no plugins come from it", "directory", dir)
		}
	}
	if opts.Hostname, err = os.Hostname(); err != nil {
		log.Warn("host name unknown: replicas may scrape at the same moments", "err", err)
	}
	opts.QualifiedHostname = qualified(ctx, opts.Hostname)
	return opts, errors.Join(errs...)
}

// lookupTimeout bounds the look-up of the machine's own name, which a missing name server can draw out.
const lookupTimeout = 2 * time.Second

// qualified returns the first name under which the first of the machine's addresses is known that has one, or else the
// plain host name.
func qualified(ctx context.Context, hostname string) string {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, hostname)
	if err != nil {
		return hostname
	}
	for _, addr := range addrs {
		if names, err := net.DefaultResolver.LookupAddr(ctx, addr.String()); err == nil && len(names) > 0 {
			return strings.TrimSuffix(names[0], ".")
		}
	}
	return hostname
}

// pluginDirectories adds the places where plugins are looked for in any case.
func pluginDirectories(given []string) []string {
	if exe, err := os.Executable(); err == nil {
		given = append(given, filepath.Join(filepath.Dir(exe), "plugins"))
	}
	dirs := make([]string, 0, len(given)+1)
	seen := map[string]bool{}
	for _, dir := range append(given, "plugins") {
		if abs, err := filepath.Abs(dir); err == nil && !seen[abs] {
			seen[abs] = true
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// ownBinary is what runs workers; empty where the system does not tell, and then there are none.
func ownBinary() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	return exe
}

// Bounds of --storage.tsdb.wal-segment-size, as upstream's.
const minSegment, maxSegment = 10 << 20, 256 << 20

// minChunkSegment is the least that --storage.tsdb.max-block-chunk-segment-size can be.
const minChunkSegment = 1 << 20

func storageOptions(v *values) (tsdb.Options, error) {
	opts := tsdb.Options{
		Dir:              v.text("storage.tsdb.path"),
		MinBlockDuration: v.duration("storage.tsdb.min-block-duration"),
		MaxBlockDuration: v.duration("storage.tsdb.max-block-duration"),
		Retention: tsdb.Retention{
			Time: v.duration("storage.tsdb.retention.time"), SizeBytes: v.bytes("storage.tsdb.retention.size"),
		},
		WALCompression:  tsdb.Compression(v.text("storage.tsdb.wal-compression-type")),
		WALSegmentSize:  int(v.bytes("storage.tsdb.wal-segment-size")),
		HeadChunksQueue: v.int("storage.tsdb.head-chunks-write-queue-size"),
		NoLockfile:      v.flag("storage.tsdb.no-lockfile"),

		KeepOverlaps:      !v.flag("storage.tsdb.allow-overlapping-compaction"),
		DelayCompactFile:  v.text("storage.tsdb.delay-compact-file.path"),
		ChunkSegmentBytes: v.bytes("storage.tsdb.max-block-chunk-segment-size"),

		MaintenanceInterval: max(v.duration("storage.tsdb.block-reload-interval"), time.Second),
	}
	if opts.MaxBlockDuration != 0 { // As upstream has it, and Thanos relies on: it is never below the other.
		opts.MaxBlockDuration = max(opts.MaxBlockDuration, opts.MinBlockDuration)
	}
	if err := checkStorage(&opts, v); err != nil {
		return opts, err
	}
	if !v.flag("storage.tsdb.wal-compression") {
		opts.WALCompression = tsdb.CompressionNone
	}
	return opts, nil
}

// checkStorage names the flag that the storage could not work with.
func checkStorage(opts *tsdb.Options, v *values) error {
	switch opts.WALCompression {
	case "", tsdb.CompressionSnappy, tsdb.CompressionZstd:
	default:
		return fmt.Errorf("--storage.tsdb.wal-compression-type: %q is neither snappy nor zstd", opts.WALCompression)
	}
	switch {
	case opts.Dir == "":
		return errors.New("--storage.tsdb.path is empty: name the directory of the metrics storage")
	case opts.HeadChunksQueue < 0:
		return fmt.Errorf("--storage.tsdb.head-chunks-write-queue-size must be 0 or more, not %d", opts.HeadChunksQueue)
	case opts.ChunkSegmentBytes != 0 && opts.ChunkSegmentBytes < minChunkSegment:
		return fmt.Errorf("--storage.tsdb.max-block-chunk-segment-size must be 1MB or more, not %s", v.text("storage.tsdb.max-block-chunk-segment-size"))
	case opts.WALSegmentSize < minSegment || opts.WALSegmentSize > maxSegment:
		return fmt.Errorf("--storage.tsdb.wal-segment-size must be between 10MB and 256MB, not %s", v.text("storage.tsdb.wal-segment-size"))
	}
	return nil
}

// defaultCutDelay is the default of --storage.tsdb.delayed-compaction.max-percent.
const defaultCutDelay = 10

// cutDelay returns the percentage that the flag gives. As upstream does, it goes on with the default if that is none.
func cutDelay(v *values, log *slog.Logger) int {
	percent := v.int("storage.tsdb.delayed-compaction.max-percent")
	if percent < 1 || percent > 100 {
		log.Warn("--storage.tsdb.delayed-compaction.max-percent is not between 1 and 100: the default is used", "given", percent, "default", defaultCutDelay)
		return defaultCutDelay
	}
	return percent
}

func externalURL(v *values) (*url.URL, error) {
	text := v.text("web.external-url")
	if text == "" {
		return nil, nil //nolint:nilnil // no URL given
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("--web.external-url: %w", err)
	}
	pathOnly := u.Scheme == "" && u.Host == "" // The rest is then that of the listener.
	if !pathOnly && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return nil, fmt.Errorf("--web.external-url: %q is no URL such as http://host:9090/path", text)
	}
	u.Path = "/" + strings.Trim(u.Path, "/")
	return u, nil
}

// Shares of the memory that queries may have by default.
const (
	queryShare, queriesShare     = 8, 2
	minQueryBytes, maxQueryBytes = 64 << 20, 4 << 30
)

// queryMemory returns how many bytes one query and all of them may hold. Without settings that depends on the memory
// that there is; zero means that it is not known.
func queryMemory(v *values, available uint64) (one, all int64) {
	one, all = v.bytes("query.max-memory"), v.bytes("query.max-total-memory")
	limit := int64(min(available, uint64(debug.SetMemoryLimit(-1))))
	if available == 0 {
		return one, all
	}
	if one == 0 {
		one = min(max(limit/queryShare, minQueryBytes), maxQueryBytes)
	}
	if all == 0 {
		all = max(limit/queriesShare, one)
	}
	return one, all
}

func queryOptions(v *values) promql.Options {
	available, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		available = 0 // The engine's own default is used.
	}
	one, all := queryMemory(v, available)
	return promql.Options{
		MaxBytes:       one,
		MaxTotalBytes:  all,
		Timeout:        v.duration("query.timeout"),
		MaxSamples:     v.int("query.max-samples"),
		MaxConcurrency: v.int("query.max-concurrency"),
		LookbackDelta:  v.duration("query.lookback-delta"),
	}
}

func ruleOptions(v *values, enabled *features) rules.Options {
	opts := rules.Options{
		OutageTolerance: v.duration("rules.alert.for-outage-tolerance"),
		GracePeriod:     v.duration("rules.alert.for-grace-period"),
		ResendDelay:     v.duration("rules.alert.resend-delay"),
	}
	if enabled.concurrentRules {
		opts.Concurrency = v.int("rules.max-concurrent-evals")
	}
	return opts
}
