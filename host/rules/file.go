package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/template"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// File is a rule file that passed all checks.
type File struct {
	// Path is as the pattern that found the file spells it.
	Path   string         `yaml:"-"`
	Groups []*GroupConfig `yaml:"groups"`

	doc *strictyaml.Document
}

// Rules returns the number of rules in the file.
func (f *File) Rules() (n int) {
	for _, g := range f.Groups {
		n += len(g.Rules)
	}
	return n
}

// GroupConfig is a group as it stands in a file.
type GroupConfig struct {
	Name string `yaml:"name"`
	// Interval and QueryOffset are the server's where the group leaves them out: zero and nil.
	Interval    model.Duration  `yaml:"interval"`
	QueryOffset *model.Duration `yaml:"query_offset"`
	// Limit bounds the alerts, or series, of each rule; zero means no bound.
	Limit int `yaml:"limit"`
	// Labels are added to those of each rule, whose own win.
	Labels map[string]string `yaml:"labels"`
	Rules  []*RuleConfig     `yaml:"rules"`
}

// RuleConfig is a rule as it stands in a file. One of Record and Alert is set.
type RuleConfig struct {
	Record        string            `yaml:"record"`
	Alert         string            `yaml:"alert"`
	Expr          string            `yaml:"expr"`
	For           model.Duration    `yaml:"for"`
	KeepFiringFor model.Duration    `yaml:"keep_firing_for"`
	Labels        map[string]string `yaml:"labels"`
	Annotations   map[string]string `yaml:"annotations"`

	// parsed is Expr.
	parsed parser.Expr
}

// Name returns the name of the series or of the alert.
func (r *RuleConfig) Name() string {
	if r.Alert != "" {
		return r.Alert
	}
	return r.Record
}

// decode reads a document into f and checks it. Each problem is an error of package strictyaml.
func (f *File) decode(opts LoadOptions) error {
	if err := f.doc.Decode(f); err != nil {
		if opts.IgnoreUnknownFields {
			err = strictyaml.WithoutUnknownFields(err)
		}
		if err != nil {
			return err
		}
	}
	var errs []error
	seen := map[string]bool{}
	for i, g := range f.Groups {
		if g == nil {
			continue
		}
		at := strictyaml.Index("groups", i)
		if seen[g.Name] {
			errs = append(errs, strictyaml.At(at+".name", fmt.Errorf("groupname: %q is repeated in the same file", g.Name)))
		}
		seen[g.Name] = true
		errs = append(errs, strictyaml.At(at, g.check(opts)))
	}
	f.Groups = slices.DeleteFunc(f.Groups, func(g *GroupConfig) bool { return g == nil }) // A dash without anything is nothing.
	return errors.Join(errs...)
}

func (g *GroupConfig) check(opts LoadOptions) error {
	var errs []error
	if g.Name == "" {
		errs = append(errs, strictyaml.At("name", errors.New("Groupname must not be empty"))) //nolint:revive,staticcheck // upstream's text
	}
	errs = append(errs, strictyaml.At("labels", checkLabels(g.Labels, opts)))
	for i, r := range g.Rules {
		if r == nil {
			continue
		}
		at := strictyaml.Index("rules", i)
		for _, p := range r.problems(opts) {
			errs = append(errs, strictyaml.At(strictyaml.Join(at, p.field), fmt.Errorf("group %q, rule %d, %q: %w", g.Name, i+1, r.Name(), p.err)))
		}
	}
	g.Rules = slices.DeleteFunc(g.Rules, func(r *RuleConfig) bool { return r == nil })
	return errors.Join(errs...)
}

// problem is what is wrong with a field of a rule.
type problem struct {
	field string
	err   error
}

// problems checks a rule and parses its expression.
func (r *RuleConfig) problems(opts LoadOptions) (found []problem) {
	fail := func(field, format string, args ...any) {
		found = append(found, problem{field, fmt.Errorf(format, args...)})
	}
	switch {
	case r.Record != "" && r.Alert != "":
		fail("record", "only one of 'record' and 'alert' must be set")
	case r.Record == "" && r.Alert == "":
		fail("", "one of 'record' or 'alert' must be set")
	}
	if r.Expr == "" {
		fail("expr", "field 'expr' must be set in rule")
	} else if expr, err := opts.Parser.ParseExpr(r.Expr); err != nil {
		fail("expr", "could not parse expression: %w", err)
	} else {
		r.parsed = expr
	}
	if r.Record != "" {
		found = append(found, r.recordProblems(opts)...)
	}
	if err := checkLabels(r.Labels, opts); err != nil {
		found = append(found, problem{"labels", err})
	}
	for _, name := range sortedKeys(r.Annotations) {
		if !opts.names().IsValidLabelName(name) {
			fail("annotations."+name, "invalid annotation name: %s", name)
		}
	}
	if r.Alert != "" {
		found = append(found, r.templateProblems()...)
	}
	return found
}

// recordProblems finds what a recording rule cannot have.
func (r *RuleConfig) recordProblems(opts LoadOptions) (found []problem) {
	fail := func(field, format string, args ...any) {
		found = append(found, problem{field, fmt.Errorf(format, args...)})
	}
	if len(r.Annotations) > 0 {
		fail("annotations", "invalid field 'annotations' in recording rule")
	}
	if r.For != 0 {
		fail("for", "invalid field 'for' in recording rule")
	}
	if r.KeepFiringFor != 0 {
		fail("keep_firing_for", "invalid field 'keep_firing_for' in recording rule")
	}
	if !opts.names().IsValidMetricName(r.Record) {
		fail("record", "invalid recording rule name: %s", r.Record)
	}
	if strings.ContainsAny(r.Record, "{}") { // Valid as a name, but most likely an expression.
		fail("record", "braces present in the recording rule name; should it be in expr?: %s", r.Record)
	}
	return found
}

// templateProblems parses the texts of an alerting rule.
func (r *RuleConfig) templateProblems() (found []problem) {
	for _, name := range sortedKeys(r.Labels) {
		if _, err := template.Parse(templateName(r.Alert), r.Labels[name], nil); err != nil {
			found = append(found, problem{"labels." + name, fmt.Errorf("label %q: %w", name, err)})
		}
	}
	for _, name := range sortedKeys(r.Annotations) {
		if _, err := template.Parse(templateName(r.Alert), r.Annotations[name], nil); err != nil {
			found = append(found, problem{"annotations." + name, fmt.Errorf("annotation %q: %w", name, err)})
		}
	}
	return found
}

// templateName is what the errors of an alert's texts call them.
func templateName(alert string) string { return "__alert_" + alert }

// checkLabels checks the labels that a rule or group adds.
func checkLabels(ls map[string]string, opts LoadOptions) error {
	var errs []error
	for _, name := range sortedKeys(ls) {
		if !opts.names().IsValidLabelName(name) || name == labels.MetricName {
			errs = append(errs, strictyaml.At(name, fmt.Errorf("invalid label name: %s", name)))
		}
		if !model.LabelValue(ls[name]).IsValid() {
			errs = append(errs, strictyaml.At(name, fmt.Errorf("invalid label value: %s", ls[name])))
		}
	}
	return errors.Join(errs...)
}
