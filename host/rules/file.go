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
	err := f.doc.Decode(f)
	if opts.IgnoreUnknownFields {
		err = strictyaml.WithoutUnknownFields(err)
	}
	if err == nil {
		err = f.check(opts)
	}
	err = f.named(err)
	// A dash without anything behind it is nothing.
	f.Groups = slices.DeleteFunc(f.Groups, func(g *GroupConfig) bool { return g == nil })
	for _, g := range f.Groups {
		g.Rules = slices.DeleteFunc(g.Rules, func(r *RuleConfig) bool { return r == nil })
	}
	return err
}

func (f *File) check(opts LoadOptions) error {
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
	return errors.Join(errs...)
}

// named adds the names of group and rule to each of the errors that err joins and that is about one.
func (f *File) named(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, f.named(e))
		}
		return errors.Join(all...)
	}
	at, ok := errors.AsType[*strictyaml.Error](err)
	if !ok {
		return err
	}
	var i, j int
	n, _ := fmt.Sscanf(at.Path, "groups[%d].rules[%d]", &i, &j) // How far it got says what is named.
	if n < 2 || i >= len(f.Groups) || f.Groups[i] == nil || j >= len(f.Groups[i].Rules) || f.Groups[i].Rules[j] == nil {
		return err
	}
	g := f.Groups[i]
	return &strictyaml.Error{Line: at.Line, Path: at.Path, Err: fmt.Errorf("group %q, rule %d, %q: %w", g.Name, j+1, g.Rules[j].Name(), at.Err)}
}

func (g *GroupConfig) check(opts LoadOptions) error {
	var errs []error
	if g.Name == "" {
		errs = append(errs, strictyaml.At("name", errors.New("Groupname must not be empty"))) //nolint:staticcheck // upstream's text
	}
	errs = append(errs, strictyaml.At("labels", checkLabels(g.Labels, opts)))
	for i, r := range g.Rules {
		if r != nil {
			errs = append(errs, strictyaml.At(strictyaml.Index("rules", i), r.check(opts)))
		}
	}
	return errors.Join(errs...)
}

// problems collects what is wrong with the fields of a rule.
type problems []error

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, strictyaml.At(field, fmt.Errorf(format, args...)))
}

// check checks a rule and parses its expression.
func (r *RuleConfig) check(opts LoadOptions) error {
	var found problems
	switch {
	case r.Record != "" && r.Alert != "":
		found.add("record", "only one of 'record' and 'alert' must be set")
	case r.Record == "" && r.Alert == "":
		found.add("", "one of 'record' or 'alert' must be set")
	}
	if r.Expr == "" {
		found.add("expr", "field 'expr' must be set in rule")
	} else if expr, err := opts.Parser.ParseExpr(r.Expr); err != nil {
		found.add("expr", "could not parse expression: %w", err)
	} else {
		r.parsed = expr
	}
	if r.Record != "" {
		r.checkRecord(&found, opts)
	}
	found = append(found, strictyaml.At("labels", checkLabels(r.Labels, opts)))
	for _, name := range sortedKeys(r.Annotations) {
		if !opts.names().IsValidLabelName(name) {
			found.add("annotations."+name, "invalid annotation name: %s", name)
		}
	}
	if r.Alert != "" {
		r.checkTexts(&found)
	}
	return errors.Join(found...)
}

// checkRecord finds what a recording rule cannot have.
func (r *RuleConfig) checkRecord(found *problems, opts LoadOptions) {
	if len(r.Annotations) > 0 {
		found.add("annotations", "invalid field 'annotations' in recording rule")
	}
	if r.For != 0 {
		found.add("for", "invalid field 'for' in recording rule")
	}
	if r.KeepFiringFor != 0 {
		found.add("keep_firing_for", "invalid field 'keep_firing_for' in recording rule")
	}
	if !opts.names().IsValidMetricName(r.Record) {
		found.add("record", "invalid recording rule name: %s", r.Record)
	}
	if strings.ContainsAny(r.Record, "{}") { // Valid as a name, but most likely an expression.
		found.add("record", "braces present in the recording rule name; should it be in expr?: %s", r.Record)
	}
}

// checkTexts parses the texts of an alerting rule.
func (r *RuleConfig) checkTexts(found *problems) {
	for _, name := range sortedKeys(r.Labels) {
		if _, err := template.Parse(templateName(r.Alert), r.Labels[name], nil); err != nil {
			found.add("labels."+name, "label %q: %w", name, err)
		}
	}
	for _, name := range sortedKeys(r.Annotations) {
		if _, err := template.Parse(templateName(r.Alert), r.Annotations[name], nil); err != nil {
			found.add("annotations."+name, "annotation %q: %w", name, err)
		}
	}
}

// templateName is what the errors of an alert's texts call them.
func templateName(alert string) string { return "__alert_" + alert }

// checkLabels checks the labels that a rule or group adds.
func checkLabels(ls map[string]string, opts LoadOptions) error {
	var found problems
	for _, name := range sortedKeys(ls) {
		if !opts.names().IsValidLabelName(name) || name == labels.MetricName {
			found.add(name, "invalid label name: %s", name)
		}
		if !model.LabelValue(ls[name]).IsValid() {
			found.add(name, "invalid label value: %s", ls[name])
		}
	}
	return errors.Join(found...)
}
