package scrape

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	httpconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/relabel"
)

// Config is one entry of scrape_configs: a job. It is ready for use after [Config.Complete] and immutable from then on.
type Config struct {
	// Discovery says where the targets come from.
	Discovery discovery.Configs `yaml:"-"`
	// Exporters are exporter plugins that are targets of the job, scraped in memory.
	Exporters []ExporterConfig `yaml:"exporters,omitempty"`

	// Parser turns every body that is fetched into metrics; nil leaves that to Parsers and to the format.
	Parser *ParserConfig `yaml:"parser,omitempty"`

	JobName string `yaml:"job_name"`
	// Limits and defaults that a job inherits from the global section where it leaves them out.
	Inherited `yaml:",inline"`
	// FallbackScrapeProtocol is what a body is taken for whose content type is missing or unusable.
	FallbackScrapeProtocol Protocol `yaml:"fallback_scrape_protocol,omitempty"`
	MetricsPath            string   `yaml:"metrics_path,omitempty"`
	Scheme                 string   `yaml:"scheme,omitempty"`
	// Params are URL parameters.
	Params url.Values `yaml:"params,omitempty"`
	// HonorLabels lets labels of the exposed samples win over those of the target.
	HonorLabels bool `yaml:"honor_labels,omitempty"`
	// HonorTimestamps takes over timestamps that the target gives.
	HonorTimestamps          bool `yaml:"honor_timestamps"`
	TrackTimestampsStaleness bool `yaml:"track_timestamps_staleness"`
	EnableCompression        bool `yaml:"enable_compression"`

	HTTPClient httpclient.Config `yaml:",inline"`
	// Credentials are used instead of HTTPClient for targets that name one of them in the label __auth_ref__.
	Credentials map[string]*Credential `yaml:"credentials,omitempty"`

	RelabelConfigs       []*relabel.Config `yaml:"relabel_configs,omitempty"`
	MetricRelabelConfigs []*relabel.Config `yaml:"metric_relabel_configs,omitempty"`

	// NativeHistogramBucketLimit bounds the buckets of a native histogram, by merging them; MinBucketFactor is the least
	// growth from one to the next.
	NativeHistogramBucketLimit     uint    `yaml:"native_histogram_bucket_limit,omitempty"`
	NativeHistogramMinBucketFactor float64 `yaml:"native_histogram_min_bucket_factor,omitempty"`

	// protocolsGiven says that the file has the protocols, and not a default.
	protocolsGiven bool
}

// ExporterConfig is one entry of exporters.
type ExporterConfig struct {
	// Plugin is the name of the exporter plugin.
	Plugin string
	// JSON is the plugin's config as the operator wrote it; nil if there is none.
	JSON json.RawMessage
	// Labels are attached to the target.
	Labels map[string]string
	// Line is the entry's line in the file, counted from 1.
	Line int
}

// UnmarshalYAML decodes an entry strictly; the plugin's own config is checked by the plugin.
func (e *ExporterConfig) UnmarshalYAML(node *yaml.Node) error {
	var raw struct {
		Plugin string            `yaml:"plugin"`
		Config yaml.Node         `yaml:"config"`
		Labels map[string]string `yaml:"labels"`
	}
	if err := strictyaml.Decode(node, &raw); err != nil {
		return err
	}
	if raw.Plugin == "" {
		return &strictyaml.Error{Line: node.Line, Path: "plugin", Err: errors.New("a plugin's name is needed")}
	}
	*e = ExporterConfig{Plugin: raw.Plugin, Labels: raw.Labels, Line: node.Line}
	if raw.Config.IsZero() {
		return nil
	}
	text, err := strictyaml.JSON(&raw.Config)
	e.JSON = text
	return strictyaml.At("config", err)
}

// MarshalYAML shows the entry.
func (e ExporterConfig) MarshalYAML() (any, error) {
	shown := struct {
		Plugin string            `yaml:"plugin"`
		Config any               `yaml:"config,omitempty"`
		Labels map[string]string `yaml:"labels,omitempty"`
	}{Plugin: e.Plugin, Labels: e.Labels}
	if e.JSON != nil {
		if err := json.Unmarshal(e.JSON, &shown.Config); err != nil {
			return nil, err
		}
	}
	return shown, nil
}

// DefaultConfig returns a job with the defaults that do not depend on the global section.
func DefaultConfig() Config {
	return Config{
		MetricsPath:       "/metrics",
		Scheme:            "http",
		HonorTimestamps:   true,
		EnableCompression: true,
		HTTPClient:        httpclient.DefaultConfig(),
	}
}

// UnmarshalYAML decodes a job strictly.
func (c *Config) UnmarshalYAML(node *yaml.Node) error {
	type plain Config
	*c = DefaultConfig()
	rest, err := c.Discovery.Take(node)
	if err != nil {
		return err
	}
	if rest, err = c.HTTPClient.Take(rest); err != nil {
		return err
	}
	return strictyaml.Decode(rest, (*plain)(c))
}

// MarshalYAML shows the job without secrets.
func (c *Config) MarshalYAML() (any, error) {
	type plain Config
	var node yaml.Node
	if err := node.Encode((*plain)(c)); err != nil {
		return nil, err
	}
	return &node, errors.Join(c.HTTPClient.AppendTo(&node), c.Discovery.AppendTo(&node))
}

// SetDirectory makes relative paths of credential files relative to dir.
func (c *Config) SetDirectory(dir string) {
	c.HTTPClient.SetDirectory(dir)
	for _, credential := range c.Credentials {
		if credential != nil {
			credential.HTTPClient.SetDirectory(dir)
		}
	}
	if c.Parser != nil {
		c.Parser.dir = dir
	}
	c.Inherited.SetDirectory(dir)
}

// Complete fills in what the job inherits from the global section, which must be complete, and checks the job. All
// problems are returned at once, as errors of package strictyaml with paths below the job.
func (c *Config) Complete(global Inherited) error {
	var errs []error
	fail := func(field string, err error) {
		errs = append(errs, strictyaml.At(field, err))
	}
	if c.JobName == "" {
		fail("job_name", errors.New("job_name is empty"))
	}
	timeoutGiven := c.ScrapeTimeout != 0
	c.inherit(global)
	if c.Parser != nil && c.parsersInherited {
		c.Parsers = nil
	}
	if !timeoutGiven {
		c.ScrapeTimeout = min(global.ScrapeTimeout, c.ScrapeInterval)
	}
	if c.protocolsGiven = c.ScrapeProtocols != nil; !c.protocolsGiven {
		c.ScrapeProtocols = DefaultProtocols(isTrue(c.ScrapeNativeHistograms))
	}
	if c.ScrapeTimeout > c.ScrapeInterval {
		fail("scrape_timeout", fmt.Errorf("scrape timeout %s is greater than scrape interval %s of job %q",
			c.ScrapeTimeout, c.ScrapeInterval, c.JobName))
	}
	errs = append(errs, c.Inherited.check())
	if c.FallbackScrapeProtocol != "" {
		fail("fallback_scrape_protocol", c.FallbackScrapeProtocol.check())
	}
	if s := strings.ToLower(c.Scheme); s != "http" && s != "https" {
		fail("scheme", fmt.Errorf("%q is neither http nor https", c.Scheme))
	}
	errs = append(errs, httpclient.Check(&c.HTTPClient))
	legacy := c.MetricNameValidationScheme == LegacyNames
	fail("relabel_configs", relabel.ValidateAll(c.RelabelConfigs, legacy))
	fail("metric_relabel_configs", relabel.ValidateAll(c.MetricRelabelConfigs, legacy))
	for _, name := range slices.Sorted(maps.Keys(c.Credentials)) {
		fail("credentials", strictyaml.At(name, c.Credentials[name].check()))
	}
	if len(c.RelabelConfigs) == 0 { // Relabelling may still repair an address.
		fail("static_configs", c.Discovery.CheckStatic("scheme and metrics_path"))
	}
	fail("exporters", c.checkExporters())
	fail("parser", c.checkParser())
	return errors.Join(errs...)
}

// checkExporters rejects entries that would be the same target.
func (c *Config) checkExporters() error {
	for i, e := range c.Exporters {
		for j, other := range c.Exporters[:i] {
			if e.Plugin == other.Plugin && maps.Equal(e.Labels, other.Labels) {
				return strictyaml.At(strictyaml.Index("", i), fmt.Errorf(
					"has the plugin and the labels of entry %d: give one of them another label, such as __address__", j))
			}
		}
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// Interval returns the scrape interval.
func (c *Config) Interval() time.Duration { return time.Duration(c.ScrapeInterval) }

// Timeout returns the scrape timeout.
func (c *Config) Timeout() time.Duration { return time.Duration(c.ScrapeTimeout) }

// Inherited are the fields that the global section and each job have in common; a job that leaves one out inherits it.
type Inherited struct {
	ScrapeInterval model.Duration `yaml:"scrape_interval,omitempty"`
	ScrapeTimeout  model.Duration `yaml:"scrape_timeout,omitempty"`
	// ScrapeProtocols are what is asked for, most wanted first.
	ScrapeProtocols []Protocol `yaml:"scrape_protocols,omitempty"`
	// BodySizeLimit bounds an uncompressed body, in bytes. As with all limits, zero is none.
	BodySizeLimit ByteSize `yaml:"body_size_limit,omitempty"`
	// SampleLimit bounds the samples of a scrape after relabelling.
	SampleLimit uint `yaml:"sample_limit,omitempty"`
	// TargetLimit bounds the targets of a job after relabelling.
	TargetLimit uint `yaml:"target_limit,omitempty"`
	// LabelLimit bounds the labels of a sample, the other two the bytes of each name and value.
	LabelLimit            uint `yaml:"label_limit,omitempty"`
	LabelNameLengthLimit  uint `yaml:"label_name_length_limit,omitempty"`
	LabelValueLengthLimit uint `yaml:"label_value_length_limit,omitempty"`
	// KeepDroppedTargets bounds the dropped targets that are remembered for display.
	KeepDroppedTargets uint `yaml:"keep_dropped_targets,omitempty"`

	MetricNameValidationScheme string `yaml:"metric_name_validation_scheme,omitempty"`
	MetricNameEscapingScheme   string `yaml:"metric_name_escaping_scheme,omitempty"`
	// ExtraScrapeMetrics adds scrape_timeout_seconds, scrape_sample_limit and scrape_body_size_bytes.
	ExtraScrapeMetrics *bool `yaml:"extra_scrape_metrics,omitempty"`

	// ScrapeNativeHistograms takes native histograms as such; without it only their classic parts are taken.
	ScrapeNativeHistograms *bool `yaml:"scrape_native_histograms,omitempty"`
	// AlwaysScrapeClassicHistograms takes classic histograms also where there is a native one.
	AlwaysScrapeClassicHistograms *bool `yaml:"always_scrape_classic_histograms,omitempty"`
	// ConvertClassicHistogramsToNHCB makes classic histograms native ones with custom buckets.
	ConvertClassicHistogramsToNHCB *bool `yaml:"convert_classic_histograms_to_nhcb,omitempty"`
	// ScrapeFailureLogFile is where each scrape that fails is noted, as a line of JSON.
	ScrapeFailureLogFile string `yaml:"scrape_failure_log_file,omitempty"`
	// Parsers turn bodies of other content types than those of the protocols into metrics.
	Parsers ParserConfigs `yaml:"parsers,omitempty"`

	// parsersInherited says that a job has Parsers from the global section.
	parsersInherited bool
}

// SetDirectory makes relative paths of the log and of parsers relative to dir.
func (g *Inherited) SetDirectory(dir string) {
	for _, p := range g.Parsers {
		if p != nil {
			p.dir = dir
		}
	}
	g.ScrapeFailureLogFile = httpconfig.JoinDir(dir, g.ScrapeFailureLogFile)
}

// Values of metric_name_validation_scheme.
const (
	UTF8Names   = "utf8"
	LegacyNames = "legacy"
)

// Values of metric_name_escaping_scheme.
const escapeNothing, escapeUnderscores = "allow-utf-8", "underscores"

// CompleteGlobal fills in the defaults of the global section and checks it.
func (g *Inherited) CompleteGlobal() error {
	defaults := Inherited{
		ScrapeInterval:             model.Duration(time.Minute),
		MetricNameValidationScheme: UTF8Names,
	}
	g.inherit(defaults)
	if g.ScrapeTimeout == 0 {
		g.ScrapeTimeout = min(model.Duration(10*time.Second), g.ScrapeInterval)
	}
	var late error
	if g.ScrapeTimeout > g.ScrapeInterval {
		late = strictyaml.At("scrape_timeout", fmt.Errorf("global scrape timeout %s is greater than scrape interval %s",
			g.ScrapeTimeout, g.ScrapeInterval))
	}
	return errors.Join(late, g.check())
}

func (g *Inherited) inherit(from Inherited) {
	fill(&g.ScrapeInterval, from.ScrapeInterval)
	if g.ScrapeProtocols == nil {
		g.ScrapeProtocols = from.ScrapeProtocols
	}
	fill(&g.BodySizeLimit, from.BodySizeLimit)
	fill(&g.SampleLimit, from.SampleLimit)
	fill(&g.TargetLimit, from.TargetLimit)
	fill(&g.LabelLimit, from.LabelLimit)
	fill(&g.LabelNameLengthLimit, from.LabelNameLengthLimit)
	fill(&g.LabelValueLengthLimit, from.LabelValueLengthLimit)
	fill(&g.KeepDroppedTargets, from.KeepDroppedTargets)
	fill(&g.ScrapeFailureLogFile, from.ScrapeFailureLogFile)
	if g.Parsers == nil {
		g.Parsers, g.parsersInherited = from.Parsers, true
	}
	if g.MetricNameValidationScheme == "" {
		g.MetricNameValidationScheme = from.MetricNameValidationScheme
		fill(&g.MetricNameEscapingScheme, from.MetricNameEscapingScheme)
	}
	if g.MetricNameEscapingScheme == "" {
		g.MetricNameEscapingScheme = escapeNothing
		if g.MetricNameValidationScheme == LegacyNames {
			g.MetricNameEscapingScheme = escapeUnderscores
		}
	}
	fill(&g.ExtraScrapeMetrics, from.ExtraScrapeMetrics)
	fill(&g.ScrapeNativeHistograms, from.ScrapeNativeHistograms)
	fill(&g.AlwaysScrapeClassicHistograms, from.AlwaysScrapeClassicHistograms)
	fill(&g.ConvertClassicHistogramsToNHCB, from.ConvertClassicHistogramsToNHCB)
}

func fill[T comparable](field *T, from T) {
	var zero T
	if *field == zero {
		*field = from
	}
}

func (g *Inherited) check() error {
	var errs []error
	fail := func(field string, err error) { errs = append(errs, strictyaml.At(field, err)) }
	if g.ScrapeProtocols != nil {
		fail("scrape_protocols", checkProtocols(g.ScrapeProtocols))
	}
	if !g.parsersInherited { // Those of the global section are checked there.
		fail("parsers", checkParsers(g.Parsers))
	}
	if g.MetricNameValidationScheme != UTF8Names && g.MetricNameValidationScheme != LegacyNames {
		fail("metric_name_validation_scheme", fmt.Errorf("%q is neither utf8 nor legacy", g.MetricNameValidationScheme))
	}
	schemes := []string{escapeNothing, escapeUnderscores, "dots", "values"}
	if !slices.Contains(schemes, g.MetricNameEscapingScheme) {
		fail("metric_name_escaping_scheme", fmt.Errorf("%q is not one of %s", g.MetricNameEscapingScheme, strings.Join(schemes, ", ")))
	} else if g.MetricNameEscapingScheme == escapeNothing && g.MetricNameValidationScheme == LegacyNames {
		fail("metric_name_escaping_scheme", errors.New("allow-utf-8 asks for names that the legacy validation scheme rejects"))
	}
	return errors.Join(errs...)
}
