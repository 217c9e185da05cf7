package host

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/host/web/api"
)

func (h *Host) api() http.Handler {
	var write http.Handler
	if h.receiver != nil {
		write = h.receiver
	}
	return api.New(api.Options{
		Engine:  h.engine,
		Storage: h.queried,

		Exemplars:     &h.storage,
		Parser:        queryParser(h.opts.Query),
		Scrape:        h.scrape,
		Rules:         h.rules,
		Alertmanagers: h.notify,
		Plugins:       h.catalogue,
		Admin:         h.admin(),
		Write:         write,
		Read:          h.reader,
		Blocks:        func() any { return h.storage.blocks() },
		TSDB:          h.storage.status,
		Config:        h.shownConfig,
		ExternalURL:   h.externalURL,
		Flags:         h.opts.Flags,
		Runtime:       h.runtimeInfo,
		Replay:        h.replayStatus,
		Features:      h.features,
		Gatherer:      h.registry,
		Notices:       h.notices,
		Build:         h.buildInfo(),
		CORSOrigin:    h.opts.CORSOrigin,
		Ready:         func() bool { return h.web.Ready() },
		Now:           time.Now,
		Logger:        h.log.With("component", "api"),
	})
}

// shownConfig is the configuration in force with what flags and the environment add to it.
func (h *Host) shownConfig() string {
	cfg := h.config.Load()
	percent, err := strconv.Atoi(h.goGC())
	if err != nil {
		percent = 0
	}
	kept := h.retention(cfg)
	return cfg.Shown(config.InForce{
		GoGC:               percent,
		ExtraScrapeMetrics: h.opts.Scrape.ExtraMetrics,
		Exemplars:          h.opts.Exemplars,
		Retention: config.Retention{
			Time: model.Duration(kept.Time), Size: scrape.ByteSize(kept.SizeBytes), Percentage: kept.Percentage,
		},
	})
}

func (h *Host) replayStatus() (s api.ReplayStatus) {
	s.Min, s.Max, s.Current = h.replay.Get()
	return s
}

// externalURL is where other machines reach the server.
func (h *Host) externalURL() *url.URL {
	u := *h.web.URL()
	if external := h.opts.ExternalURL; (external == nil || external.Host == "") && h.opts.Hostname != "" {
		u.Host = net.JoinHostPort(h.opts.Hostname, u.Port())
	}
	return &u
}

func (h *Host) buildInfo() api.BuildInfo {
	b := h.opts.Build
	return api.BuildInfo{
		Version: PrometheusVersion, Revision: b.Revision, BuildDate: b.Date, GoVersion: b.GoVersion, NarthexVersion: b.Version,
	}
}

func (h *Host) runtimeInfo() api.RuntimeInfo {
	cwd, err := os.Getwd()
	if err != nil {
		cwd = "<error retrieving current working directory>"
	}
	return api.RuntimeInfo{
		StartTime:           h.started.UTC(),
		CWD:                 cwd,
		Hostname:            h.opts.Hostname,
		ServerTime:          time.Now().UTC(),
		ReloadConfigSuccess: h.reloaded.successful.Load(),
		LastConfigTime:      time.UnixMilli(h.reloaded.lastSuccess.Load()).UTC(),
		CorruptionCount:     h.corruptions(),
		GoroutineCount:      runtime.NumGoroutine(),
		GOMAXPROCS:          runtime.GOMAXPROCS(0),
		GOMEMLIMIT:          debug.SetMemoryLimit(-1),
		GOGC:                h.goGC(),
		GODEBUG:             h.opts.Getenv("GODEBUG"),
		StorageRetention:    h.retentionText(),
	}
}

// goGC returns the growth of the heap, in percent, at which garbage is collected.
func (h *Host) goGC() string {
	if n := h.config.Load().Runtime.GoGC; n != 0 {
		return strconv.Itoa(n)
	}
	if text := h.opts.Getenv("GOGC"); text != "" {
		return text
	}
	return strconv.Itoa(defaultGoGC)
}

// corruptions reads the counter of damaged parts of the write-ahead log.
func (h *Host) corruptions() int64 {
	families, err := h.registry.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == "prometheus_tsdb_wal_corruptions_total" && len(f.GetMetric()) == 1 {
			return int64(math.Round(f.GetMetric()[0].GetCounter().GetValue()))
		}
	}
	return 0
}

// retentionText formats the bounds as upstream does: "15d or 10GiB".
func (h *Host) retentionText() string {
	r := h.retention(h.config.Load())
	var parts []string
	if r.Time > 0 {
		parts = append(parts, model.Duration(r.Time).String())
	}
	if r.SizeBytes > 0 {
		parts = append(parts, sizeText(r.SizeBytes))
	}
	if r.Percentage > 0 {
		parts = append(parts, fmt.Sprintf("%g%%", r.Percentage))
	}
	return strings.Join(parts, " or ")
}

// sizeText formats bytes as upstream does: 1GiB512MiB.
func sizeText(n int64) string {
	text := ""
	for _, unit := range []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if part := n % 1024; part != 0 {
			text = strconv.FormatInt(part, 10) + unit + text
		}
		n /= 1024
	}
	return text
}
