// Package config turns the configuration file into one immutable value made of the packages' own Config types.
//
// Start with [Load]. The schema is that of Prometheus, read strictly, plus the sections plugins and web; sections of parts that
// this version lacks are refused by name. Each error is one line: file, line, field and what is wrong.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/remote/query"
	"github.com/narthex-io/narthex/host/remote/send"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/host/web/access"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
)

// Config is a configuration that passed all checks. It is not changed after [Load].
type Config struct {
	Global   Global        `yaml:"global"`
	Runtime  Runtime       `yaml:"runtime,omitempty"`
	Alerting notify.Config `yaml:"alerting,omitempty"`
	// RuleFiles are patterns of rule files, joined with the folder of the configuration.
	RuleFiles         []string         `yaml:"rule_files,omitempty"`
	ScrapeConfigFiles []string         `yaml:"scrape_config_files,omitempty"`
	ScrapeConfigs     []*scrape.Config `yaml:"scrape_configs,omitempty"`
	Storage           Storage          `yaml:"storage,omitempty"`
	RemoteWrite       []*send.Config   `yaml:"remote_write,omitempty"`
	RemoteRead        []*query.Config  `yaml:"remote_read,omitempty"`
	Plugins           plugin.Config    `yaml:"plugins,omitempty"`
	OTLP              OTLP             `yaml:"otlp"`
	Web               access.Config    `yaml:"web,omitempty"`

	// Dir is the folder of the file, against which relative paths in it are resolved.
	Dir string `yaml:"-"`
	// Origins says where each job of ScrapeConfigs was read.
	Origins []Origin `yaml:"-"`

	// root is the place of the whole.
	root    Origin
	missing missing
}

// Origin returns the place of a field of the file itself.
func (c *Config) Origin(path string) Origin {
	o := c.root
	o.Path = path
	return o
}

// Locate adds the file and lines to the errors that err joins, which are of package strictyaml.
func (c *Config) Locate(err error) error { return located(c.root.File, c.root.document, err) }

// Origin is the place of a part of the configuration.
type Origin struct {
	// File is the file's path, Dir its folder, and Path the part's field path, such as scrape_configs[2].
	File, Dir, Path string
	document        *strictyaml.Document
}

// Position formats the place of a field below the part as FILE:LINE: PATH, for errors.
func (o Origin) Position(field string) string {
	path := strictyaml.Join(o.Path, field)
	return fmt.Sprintf("%s:%d: %s", o.File, o.document.Line(path), path)
}

// Global is the section global.
type Global struct {
	scrape.Inherited   `yaml:",inline"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval,omitempty"`
	RuleQueryOffset    model.Duration `yaml:"rule_query_offset,omitempty"`
	// ExternalLabels are attached to what leaves the server. References to environment variables are replaced.
	ExternalLabels map[string]string `yaml:"external_labels,omitempty"`
	// QueryLogFile is where queries are logged; it is relative to the file's directory.
	QueryLogFile string `yaml:"query_log_file,omitempty"`
}

// Labels returns the external labels as a set.
func (g *Global) Labels() labels.Labels { return labels.FromMap(g.ExternalLabels) }

// LegacyNames reports whether names are restricted to the characters of old.
func (g *Global) LegacyNames() bool { return g.MetricNameValidationScheme == scrape.LegacyNames }

// Runtime is the section runtime.
type Runtime struct {
	// GoGC is the growth of the heap, in percent, at which garbage is collected. Zero means 75, unless the
	// environment variable GOGC says otherwise. A negative value turns the collector off.
	GoGC int `yaml:"gogc,omitempty"`
}

// Storage is the section storage.
type Storage struct {
	TSDB      TSDB       `yaml:"tsdb,omitempty"`
	Exemplars *Exemplars `yaml:"exemplars,omitempty"`
}

// Exemplars is the section storage.exemplars.
type Exemplars struct {
	// MaxExemplars is the number that is kept for all series together; zero and less mean none, nil 100,000.
	MaxExemplars *int `yaml:"max_exemplars,omitempty"`
}

// defaultMaxExemplars counts where the number is not given.
const defaultMaxExemplars = 100_000

// Limit returns how many exemplars are kept.
func (e *Exemplars) Limit() int {
	if e == nil || e.MaxExemplars == nil {
		return defaultMaxExemplars
	}
	return max(*e.MaxExemplars, 0)
}

// TSDB is the section storage.tsdb.
type TSDB struct {
	Retention *Retention `yaml:"retention,omitempty"`

	OutOfOrderTimeWindow           model.Duration `yaml:"out_of_order_time_window,omitempty"`
	StaleSeriesCompactionThreshold float64        `yaml:"stale_series_compaction_threshold,omitempty"`
	ChunkEncoding                  struct {
		Floats string `yaml:"floats,omitempty"`
	} `yaml:"chunk_encoding,omitempty"`
}

// The encodings of chunks of floats. XOR2 has room for start timestamps and can't be read by older programs.
const (
	FloatsXOR  = "xor"
	FloatsXOR2 = "xor2"
)

// Retention is the section storage.tsdb.retention. It takes the place of the flags as a whole: what it leaves out has no
// bound. Percentage is of the file system, and prevails over Size.
type Retention struct {
	Time       model.Duration  `yaml:"time,omitempty"`
	Size       scrape.ByteSize `yaml:"size,omitempty"`
	Percentage float64         `yaml:"percentage,omitempty"`
}

// missing are the sections of parts that this version lacks.
type missing struct {
	Tracing yaml.Node `yaml:"tracing"`
}

// check refuses the sections that say something.
func (m *missing) check() error {
	var errs []error
	for _, s := range []struct {
		field, part string
		node        yaml.Node
	}{
		{"tracing", "tracing", m.Tracing},
	} {
		if len(s.node.Content) > 0 || s.node.Kind == yaml.ScalarNode {
			errs = append(errs, notYet(s.field, s.part))
		}
	}
	return errors.Join(errs...)
}

func notYet(field, part string) error {
	return strictyaml.At(field, fmt.Errorf("%s is not supported by this version yet: remove the field", part))
}

// String returns the configuration as YAML with its defaults filled in and secrets hidden.
func (c *Config) String() string {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(c), enc.Close()); err != nil {
		return fmt.Sprintf("# the configuration cannot be shown: %v\n", err)
	}
	return b.String()
}

// complete fills in defaults and checks the file's own sections; scrape configs come later.
func (c *Config) complete(expand func(string) string) error {
	errs := []error{strictyaml.At("global", c.Global.complete(expand)), c.missing.check()}
	c.Global.SetDirectory(c.Dir)
	c.Plugins.SetDirectory(c.Dir)
	if file := c.Global.QueryLogFile; file != "" && !filepath.IsAbs(file) {
		c.Global.QueryLogFile = filepath.Join(c.Dir, file)
	}
	legacy := c.Global.MetricNameValidationScheme == scrape.LegacyNames
	errs = append(errs, c.completeRuleFiles())
	return errors.Join(append(errs,
		strictyaml.At("alerting", c.Alerting.Complete(c.Dir, legacy)),
		send.CompleteAll(c.RemoteWrite, c.Dir, legacy),
		strictyaml.At("storage", c.Storage.check()),
		query.Complete(c.RemoteRead, c.Dir),
		strictyaml.At("otlp", c.OTLP.check(c.Global.MetricNameValidationScheme)),
		strictyaml.At("plugins", c.Plugins.Validate()))...)
}

// validPattern reports whether a pattern of files has one star at most, in the last step of the path.
func validPattern(pattern string) bool {
	_, rest, _ := strings.Cut(pattern, "*")
	return !strings.ContainsAny(rest, "*/")
}

// completeRuleFiles joins the patterns of rule files with the file's folder and checks them.
func (c *Config) completeRuleFiles() error {
	var errs []error
	for i, pattern := range c.RuleFiles {
		if _, err := filepath.Match(pattern, ""); err != nil {
			errs = append(errs, strictyaml.At(strictyaml.Index("rule_files", i), fmt.Errorf("invalid rule file path %q: %w", pattern, err)))
		} else if !validPattern(pattern) {
			errs = append(errs, strictyaml.At(strictyaml.Index("rule_files", i), fmt.Errorf("invalid rule file path %q: one * in the last step of the path is allowed", pattern)))
		}
		if pattern != "" && !filepath.IsAbs(pattern) {
			c.RuleFiles[i] = filepath.Join(c.Dir, pattern)
		}
	}
	return errors.Join(errs...)
}

func (g *Global) complete(expand func(string) string) error {
	errs := []error{g.CompleteGlobal()}
	if g.EvaluationInterval == 0 {
		g.EvaluationInterval = model.Duration(time.Minute)
	}
	scheme := model.UTF8Validation
	if g.MetricNameValidationScheme == scrape.LegacyNames {
		scheme = model.LegacyValidation
	}
	for name, value := range g.ExternalLabels {
		if !scheme.IsValidLabelName(name) || name == labels.MetricName {
			errs = append(errs, strictyaml.At("external_labels."+name, fmt.Errorf("%q is not a valid label name", name)))
		}
		g.ExternalLabels[name] = expand(value)
	}
	return errors.Join(errs...)
}

func (s *Storage) check() error {
	var errs []error
	t := &s.TSDB
	switch t.ChunkEncoding.Floats {
	case "", FloatsXOR, FloatsXOR2:
	default:
		errs = append(errs, strictyaml.At("tsdb.chunk_encoding.floats", fmt.Errorf("%q is neither xor nor xor2", t.ChunkEncoding.Floats)))
	}
	if r := t.Retention; r != nil && !(r.Percentage >= 0 && r.Percentage <= 100) { // Not a number is refused, too.
		errs = append(errs, strictyaml.At("tsdb.retention.percentage", fmt.Errorf("%v is not between 0 and 100", r.Percentage)))
	}
	return errors.Join(errs...)
}
