package scrape

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/model/relabel"
)

// settings are a job's configuration in use: immutable, exchanged as a whole, and read by each scrape at its start.
type settings struct {
	cfg    *Config
	client *http.Client
	// rules say what becomes of exposed samples; jobs that agree on them across a reload share the pointer, so that
	// caches stay valid.
	rules          *sampleRules
	accept         string
	acceptEncoding string
}

// newSettings makes settings, taking over from old, which may be nil, what has not changed.
func newSettings(cfg *Config, old *settings, newClient func() (*http.Client, error)) (*settings, error) {
	s := &settings{
		cfg:            cfg,
		accept:         acceptHeader(cfg.ScrapeProtocols, cfg.MetricNameEscapingScheme),
		acceptEncoding: "gzip",
		rules:          newSampleRules(cfg),
	}
	if !cfg.EnableCompression {
		s.acceptEncoding = "identity"
	}
	if old != nil && old.rules.equal(s.rules) {
		s.rules = old.rules
	}
	if old != nil && reflect.DeepEqual(old.cfg.HTTPClient, cfg.HTTPClient) {
		s.client = old.client
		return s, nil
	}
	client, err := newClient()
	s.client = client
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
