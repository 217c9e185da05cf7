package scrape

import (
	"reflect"
	"slices"

	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/model/relabel"
)

// settings are a job's configuration in use: immutable, exchanged as a whole, and read by each scrape at its start.
type settings struct {
	cfg     *Config
	clients *clients
	// rules say what becomes of exposed samples; jobs that agree on them across a reload share the pointer, so that
	// caches stay valid.
	rules *sampleRules
	// parsers say which plugin reads which body.
	parsers        parserRoutes
	accept         string
	acceptEncoding string
	extraMetrics   bool
}

// newSettings makes settings, taking over from old, which may be nil, what has not changed.
func newSettings(cfg *Config, parsers parserRoutes, old *settings, opts *Options) (*settings, error) {
	protocols := cfg.ScrapeProtocols
	if !cfg.protocolsGiven && opts.Features.startTimes() {
		protocols = DefaultProtocols(true)
	}
	s := &settings{
		cfg:            cfg,
		parsers:        parsers,
		accept:         parsers.accept(protocols, cfg.MetricNameEscapingScheme),
		acceptEncoding: "gzip",
		rules:          newSampleRules(cfg),
		extraMetrics:   opts.Features.ExtraMetrics,
	}
	switch {
	case !cfg.EnableCompression:
		s.acceptEncoding = "identity"
	case opts.Features.Zstd:
		s.acceptEncoding = "zstd,gzip"
	}
	if cfg.ExtraScrapeMetrics != nil {
		s.extraMetrics = *cfg.ExtraScrapeMetrics
	}
	if old != nil && old.rules.equal(s.rules) {
		s.rules = old.rules
	}
	if old != nil && old.clients.serve(cfg) {
		s.clients = old.clients
		return s, nil
	}
	var err error
	s.clients, err = newClients(cfg, opts.NewClient)
	return s, err
}

// sameConfig reports whether nothing that concerns scraping differs. Where targets are found does not concern it.
func sameConfig(a, b *Config) bool {
	if !relabel.EqualAll(a.RelabelConfigs, b.RelabelConfigs) ||
		!relabel.EqualAll(a.MetricRelabelConfigs, b.MetricRelabelConfigs) ||
		!slices.EqualFunc(a.Exporters, b.Exporters, sameExporter) {
		return false
	}
	return reflect.DeepEqual(plainFields(a), plainFields(b))
}

func sameExporter(a, b ExporterConfig) bool {
	a.Line, b.Line = 0, 0
	return reflect.DeepEqual(a, b)
}

// plainFields returns a copy without what is compared in another way, or not at all.
func plainFields(c *Config) Config {
	out := *c
	out.Discovery = discovery.Configs{}
	out.Exporters, out.RelabelConfigs, out.MetricRelabelConfigs = nil, nil, nil
	return out
}
