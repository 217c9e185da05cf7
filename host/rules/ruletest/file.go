package ruletest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/internal/strictyaml"
)

// file is a test file.
type file struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	GroupEvalOrder     []string       `yaml:"group_eval_order"`
	Tests              []test         `yaml:"tests"`
	FuzzyCompare       bool           `yaml:"fuzzy_compare"`
}

type test struct {
	// Interval is the distance of the samples of the input series.
	Interval       model.Duration    `yaml:"interval"`
	InputSeries    []inputSeries     `yaml:"input_series"`
	AlertRuleTests []alertTest       `yaml:"alert_rule_test"`
	PromQLTests    []exprTest        `yaml:"promql_expr_test"`
	ExternalLabels map[string]string `yaml:"external_labels"`
	ExternalURL    string            `yaml:"external_url"`
	Name           string            `yaml:"name"`
	// StartTimestamp is the time that the others count from: 1970 if it is not given.
	StartTimestamp timestamp `yaml:"start_timestamp"`
}

type inputSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type alertTest struct {
	EvalTime  model.Duration  `yaml:"eval_time"`
	Alertname string          `yaml:"alertname"`
	ExpAlerts []expectedAlert `yaml:"exp_alerts"`
}

type expectedAlert struct {
	ExpLabels      map[string]string `yaml:"exp_labels"`
	ExpAnnotations map[string]string `yaml:"exp_annotations"`
}

type exprTest struct {
	Expr       string           `yaml:"expr"`
	EvalTime   model.Duration   `yaml:"eval_time"`
	ExpSamples []expectedSample `yaml:"exp_samples"`
}

type expectedSample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
	// Histogram replaces Value if it is not empty.
	Histogram string `yaml:"histogram"`
}

// timestamp is a time in Unix seconds or in RFC 3339.
type timestamp struct{ time.Time }

// UnmarshalYAML reads either form.
func (t *timestamp) UnmarshalYAML(node *yaml.Node) error {
	parsed, err := rules.ParseTime(node.Value)
	if err != nil {
		return &strictyaml.Error{Line: node.Line, Err: err}
	}
	t.Time = parsed
	return nil
}

// load reads a test file and the rule files that it names. Warnings are patterns that match nothing.
func load(path string, opts *Options) (f *file, files []*rules.File, warnings []string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read test file: %w", err)
	}
	doc, err := strictyaml.Parse(text)
	if err != nil {
		return nil, nil, nil, rules.Located(path, nil, err)
	}
	f = &file{}
	if err := doc.Decode(f); err != nil {
		return nil, nil, nil, rules.Located(path, doc, err)
	}
	if err := f.complete(); err != nil {
		return nil, nil, nil, rules.Located(path, doc, err)
	}
	for i, pattern := range f.RuleFiles {
		if pattern != "" && !filepath.IsAbs(pattern) {
			f.RuleFiles[i] = filepath.Join(filepath.Dir(path), pattern)
		}
		if found, err := filepath.Glob(f.RuleFiles[i]); err == nil && len(found) == 0 {
			warnings = append(warnings, "no file matches "+f.RuleFiles[i])
		}
	}
	files, err = rules.Load(f.RuleFiles, rules.LoadOptions{Parser: opts.Parser, IgnoreUnknownFields: opts.IgnoreUnknownFields})
	return f, files, warnings, err
}

// complete fills in defaults and checks what can be checked before a test runs.
func (f *file) complete() error {
	if f.EvaluationInterval == 0 {
		f.EvaluationInterval = model.Duration(time.Minute)
	}
	var errs []error
	seen := map[string]bool{}
	for i, name := range f.GroupEvalOrder {
		if seen[name] {
			errs = append(errs, strictyaml.At(strictyaml.Index("group_eval_order", i), fmt.Errorf("group name repeated in evaluation order: %s", name)))
		}
		seen[name] = true
	}
	for i := range f.Tests {
		t := &f.Tests[i]
		if t.Interval == 0 {
			t.Interval = f.EvaluationInterval
		}
		if t.Name == "" {
			t.Name = fmt.Sprintf("unnamed#%d", i)
		}
	}
	return errors.Join(errs...)
}
