package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	httpconfig "github.com/prometheus/common/config"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/remote/query"
	"github.com/narthex-io/narthex/host/remote/send"
	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/host/web/access"
	"github.com/narthex-io/narthex/host/web/notices"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/tsdb"
)

// reloadState is how the last reload went.
type reloadState struct {
	successful  atomic.Bool
	lastSuccess atomic.Int64 // Unix milliseconds
}

// Reload reads the configuration and puts it in force, in two steps: each part prepares, and only when all have
// agreed is anything changed. An error leaves the old configuration in force as a whole.
func (h *Host) Reload(ctx context.Context) error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	begin := time.Now()
	err := h.reload(ctx)
	if err != nil && ctx.Err() != nil {
		return err // The server is stopping, or who asked has gone: nothing has changed.
	}
	h.reloaded.successful.Store(err == nil)
	h.notices.Set(notices.ReloadFailed, err != nil)
	if err != nil {
		h.metrics.reloadSuccessful.Set(0)
		if ctx.Err() != nil {
			return err // The server is being stopped.
		}
		h.log.Error("configuration not loaded, the old one stays in force", "file", h.opts.ConfigFile, "err", err)
		return err
	}
	h.reloaded.lastSuccess.Store(time.Now().UnixMilli())
	h.metrics.reloadSuccessful.Set(1)
	h.metrics.reloadSuccess.SetToCurrentTime()
	h.log.Info("configuration loaded", "file", h.opts.ConfigFile, "took", time.Since(begin).Round(time.Millisecond))
	return nil
}

// load reads a configuration and the lock of plugins beside it.
func load(file string, getenv func(string) string) (*config.Config, error) {
	cfg, err := config.Load(file, getenv)
	if err != nil {
		return nil, err
	}
	cfg.Plugins.Lock, err = plugin.ReadLock(cfg.Dir)
	return cfg, err
}

func (h *Host) reload(ctx context.Context) (err error) {
	cfg, err := load(h.opts.ConfigFile, h.opts.Getenv)
	if err != nil {
		return err
	}
	if err := h.checkEncoding(cfg); err != nil {
		return err
	}
	ruled, err := h.prepareRules(cfg)
	if err != nil {
		return err
	}
	queryLog, err := openQueryLog(cfg)
	if err != nil {
		return err
	}
	applied := false
	defer func() {
		if !applied {
			err = errors.Join(err, queryLog.Close())
		}
	}()
	ch, err := h.prepare(ctx, cfg)
	if err != nil {
		return err
	}
	// From here on nothing can fail.
	applied = true
	ch.apply()
	ruled.Apply()
	if db := h.storage.get(); db != nil {
		h.applyStorage(db, cfg)
	}
	if err := h.engine.SetQueryLog(queryLog); err != nil {
		h.log.Warn("old query log not closed", "err", err)
	}
	h.applyRuntime(cfg)
	warnOfInert(h.log, cfg)
	return nil
}

// warnOfInert says which parts of a configuration change nothing.
func warnOfInert(log *slog.Logger, cfg *config.Config) {
	for _, text := range cfg.Inert() {
		log.Warn("a part of the configuration is without effect", "field", text)
	}
}

// change is a configuration that the plugins, and those who work with them, are prepared for.
type change struct {
	host      *Host
	config    *config.Config
	plugins   *plugin.Change
	scraped   *scrape.Change
	exporting map[exporterKey]*plugin.Exporter
	parsing   parsed
	signing   map[signerKey]*plugin.Signer
	policy    access.Policy

	discovered, found *discovery.Change // targets and Alertmanagers
	notified          *notify.Change
	sent              *send.Change
	queried           *query.Change
}

// prepare has plugins, discovery, scraping and the notifier prepare, so that nothing can fail any more. Nothing is touched yet.
func (h *Host) prepare(ctx context.Context, cfg *config.Config) (_ *change, err error) {
	needs, err := needsOf(cfg, h.opts.Build.userAgent(), &h.signers)
	if err != nil {
		return nil, err
	}
	var prepared []interface{ Discard() }
	defer func() {
		if err != nil {
			for _, p := range slices.Backward(prepared) {
				p.Discard()
			}
		}
	}()
	plugins, err := h.catalogue.Prepare(ctx, cfg.Plugins, needs.uses)
	if err != nil {
		return nil, err
	}
	prepared = append(prepared, plugins)
	parsing, err := needs.parsers(cfg, plugins)
	if err != nil {
		return nil, err
	}
	discovered, err := h.discovery.Prepare(ctx, needs.jobs(cfg, plugins))
	if err != nil {
		return nil, err
	}
	prepared = append(prepared, discovered)
	scraped, err := h.scrape.Prepare(cfg.ScrapeConfigs, cfg.Global.Labels(), parsing.types())
	if err != nil {
		return nil, positioned(cfg, err)
	}
	prepared = append(prepared, scraped)
	found, notified, err := h.prepareNotify(ctx, cfg, needs, plugins)
	if err != nil {
		return nil, err
	}
	prepared = append(prepared, found, notified)
	sent, err := h.sender.Prepare(cfg.RemoteWrite, cfg.Global.Labels())
	if err != nil {
		return nil, cfg.Locate(err)
	}
	prepared = append(prepared, sent)
	queried, err := h.queried.Prepare(cfg.RemoteRead, cfg.Global.Labels())
	if err != nil {
		return nil, cfg.Locate(err)
	}
	return &change{
		host: h, config: cfg, plugins: plugins, scraped: scraped, exporting: needs.exporters(plugins), parsing: parsing,
		signing:    needs.signing.running(plugins),
		policy:     needs.access(cfg, plugins),
		discovered: discovered, found: found, notified: notified, sent: sent, queried: queried,
	}, nil
}

// apply puts the configuration in force.
func (c *change) apply() {
	c.host.config.Store(c.config)
	c.host.exporters.add(c.exporting) // Loops of the old configuration still look up theirs.
	c.host.parsers.add(c.parsing)
	c.host.signers.add(c.signing)
	c.plugins.Apply()
	c.host.access.Set(c.policy)
	c.scraped.Apply()
	c.discovered.Apply()
	c.notified.Apply()
	c.found.Apply()
	c.sent.Apply()
	c.queried.Apply()
	c.host.exporters.replace(c.exporting)
	c.host.parsers.replace(c.parsing)
	c.host.signers.replace(c.signing)
}

// openQueryLog opens the query log anew with each reload, so that it can be moved away; nil if there is to be none.
func openQueryLog(cfg *config.Config) (*promql.QueryLog, error) {
	if cfg.Global.QueryLogFile == "" {
		return nil, nil //nolint:nilnil // queries are not logged
	}
	l, err := promql.OpenQueryLog(cfg.Global.QueryLogFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Origin("global.query_log_file").Position(""), err)
	}
	return l, nil
}

// prepareNotify prepares the parts behind the section alerting.
func (h *Host) prepareNotify(ctx context.Context, cfg *config.Config, needs *needs, plugins *plugin.Change) (*discovery.Change, *notify.Change, error) {
	found, err := h.alertmanagers.Prepare(ctx, needs.alertmanagers(cfg, plugins))
	if err != nil {
		return nil, nil, err
	}
	notified, err := h.notify.Prepare(&cfg.Alerting, cfg.Global.Labels(), needs.notifiers(cfg, plugins))
	if err != nil {
		found.Discard()
		return nil, nil, cfg.Locate(strictyaml.At("alerting", err))
	}
	return found, notified, nil
}

// positioned says of each job that cannot be used where it stands in the files.
func positioned(cfg *config.Config, err error) error {
	var out config.Errors
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, e := range joined.Unwrap() {
		bad, ok := errors.AsType[*scrape.JobError](e)
		i := -1
		if ok {
			i = slices.IndexFunc(cfg.ScrapeConfigs, func(c *scrape.Config) bool { return c.JobName == bad.Job })
		}
		if i >= 0 {
			field := ""
			if cfg.ScrapeConfigs[i].HTTPClient.TLSConfig != (httpconfig.TLSConfig{}) {
				field = "tls_config" // The client's other fields have been checked with the file.
			}
			e = fmt.Errorf("%s: %w", cfg.Origins[i].Position(field), bad.Err)
		}
		out = append(out, e)
	}
	return out
}

// defaultGoGC is the growth of the heap, in percent, at which garbage is collected.
const defaultGoGC = 75

func (h *Host) applyRuntime(cfg *config.Config) {
	switch {
	case h.opts.SetGCPercent == nil:
	case cfg.Runtime.GoGC != 0:
		h.opts.SetGCPercent(cfg.Runtime.GoGC)
	case h.opts.Getenv("GOGC") == "":
		h.opts.SetGCPercent(defaultGoGC)
	}
}

// applyStorage brings what can change while the storage is open in line with the configuration.
func (h *Host) applyStorage(db *tsdb.DB, cfg *config.Config) {
	db.SetRetention(h.retention(cfg))
	db.SetXOR2(h.xor2(cfg))
	db.SetStaleSeriesThreshold(cfg.Storage.TSDB.StaleSeriesCompactionThreshold)
	db.SetMaxExemplars(h.maxExemplars(cfg))
	if err := db.SetOutOfOrderWindow(time.Duration(cfg.Storage.TSDB.OutOfOrderTimeWindow)); err != nil {
		h.log.Error("samples that come out of order are not taken", "err", err)
	}
}

// xor2 reports whether chunks of floats are written in XOR2: what the configuration says, or else the features.
func (h *Host) xor2(cfg *config.Config) bool {
	if floats := cfg.Storage.TSDB.ChunkEncoding.Floats; floats != "" {
		return floats == config.FloatsXOR2
	}
	return h.opts.Storage.XOR2
}

// checkEncoding refuses an encoding without room for the start timestamps that are to be kept, as upstream does.
func (h *Host) checkEncoding(cfg *config.Config) error {
	if !h.opts.Storage.StartTimestamps || h.xor2(cfg) {
		return nil
	}
	return fmt.Errorf("%s: storage.tsdb.chunk_encoding.floats: %q has no room for start timestamps, which --enable-feature=st-storage keeps: use %q, or leave it out",
		h.opts.ConfigFile, config.FloatsXOR, config.FloatsXOR2)
}

func (h *Host) maxExemplars(cfg *config.Config) int {
	if !h.opts.Exemplars {
		return 0
	}
	return cfg.Storage.Exemplars.Limit()
}

// retention returns what the configuration says, or else the flags, or else 15 days. As in Prometheus, a section in the
// configuration takes the place of both flags.
func (h *Host) retention(cfg *config.Config) tsdb.Retention {
	r := h.opts.Storage.Retention
	if r == (tsdb.Retention{}) {
		r.Time = tsdb.DefaultRetentionTime
	}
	if set := cfg.Storage.TSDB.Retention; set != nil {
		return tsdb.Retention{Time: time.Duration(set.Time), SizeBytes: int64(set.Size), Percentage: set.Percentage}
	}
	return r
}

// runReloads applies the configuration for the first time, lets the world know when the server is ready, and then
// answers requests for a reload until ctx is done.
func (h *Host) runReloads(ctx context.Context, configured chan<- struct{}, opened <-chan struct{}) error {
	changed, stopWatch := h.watchPlugins(ctx)
	defer stopWatch()
	if err := h.Reload(ctx); err != nil && ctx.Err() == nil {
		return &ConfigError{err}
	}
	close(configured)
	select {
	case <-opened:
		h.web.SetReady()
		h.notices.Set(notices.Starting, false)
		h.metrics.ready.Set(1)
		h.log.Info("server is ready", "url", h.URL().String())
		if h.opts.OnReady != nil {
			h.opts.OnReady(h.URL())
		}
	case <-ctx.Done():
		return nil
	}
	return h.awaitReloads(ctx, changed)
}

func (h *Host) awaitReloads(ctx context.Context, pluginsChanged <-chan struct{}) error {
	var tick <-chan time.Time
	seen := h.configSum()
	if h.opts.AutoReload > 0 {
		ticker := time.NewTicker(h.opts.AutoReload)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pluginsChanged:
			h.exchangePlugins(ctx)
			continue
		case <-h.opts.Reload:
		case <-tick:
			sum := h.configSum()
			if sum == seen {
				continue
			}
			seen = sum
		}
		_ = h.Reload(ctx) // Reported where it failed.
	}
}

// configSum changes when a file of the configuration changes.
func (h *Host) configSum() [sha256.Size]byte {
	files := []string{h.opts.ConfigFile, filepath.Join(filepath.Dir(h.opts.ConfigFile), plugin.LockName)}
	if cfg := h.config.Load(); cfg != nil {
		for _, pattern := range cfg.ScrapeConfigFiles {
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(cfg.Dir, pattern)
			}
			found, _ := filepath.Glob(pattern) // A bad pattern does not get past config.Load.
			files = append(files, found...)
		}
	}
	if cfg := h.config.Load(); cfg != nil {
		found, _ := rules.Find(cfg.RuleFiles) // A bad pattern does not get into force.
		files = append(files, found...)
	}
	slices.Sort(files[1:])
	sum := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			text = []byte(err.Error())
		}
		fmt.Fprintf(sum, "%s\x00%d\x00%s", file, len(text), text)
	}
	return [sha256.Size]byte(sum.Sum(nil))
}
