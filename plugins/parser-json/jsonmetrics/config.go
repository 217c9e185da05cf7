package jsonmetrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// Config is what the operator wrote below config.
type Config struct {
	Rules []Rule
	// SkipInvalid leaves out samples whose value, labels or time cannot be read; otherwise one of them fails the scrape.
	SkipInvalid bool
}

// Rule makes the samples of a metric, or of several metrics whose names start alike.
type Rule struct {
	Name, Type, Help string
	// Path selects the nodes that samples are made of.
	Path *path
	// Values are what to make of a node, ordered by suffix.
	Values []Value
	Labels []Label
	// Mapping has the numbers for texts; * is any other text.
	Mapping map[string]json.Number
	// Timestamp is when the value was true; nil means at the scrape.
	Timestamp *path
	unit      timeUnit
	// Required fails the scrape when there is nothing to make a sample of.
	Required bool
}

// Value is a sample of a node: either what Path selects, or Constant.
type Value struct {
	// Suffix is added to the name, after an underscore.
	Suffix   string
	Path     *path
	Constant string
}

// Label is a label of a sample: what Path selects, or else a key on the way to the node, or else Text.
type Label struct {
	Name, Text string
	Path       *path
	isKey      bool
	up         int
}

type rawRule struct {
	Name            string                     `json:"name"`
	Type            string                     `json:"type"`
	Help            string                     `json:"help"`
	Path            string                     `json:"path"`
	Value           json.RawMessage            `json:"value"`
	Values          map[string]json.RawMessage `json:"values"`
	Labels          map[string]string          `json:"labels"`
	Mapping         map[string]json.Number     `json:"mapping"`
	Timestamp       string                     `json:"timestamp"`
	TimestampFormat string                     `json:"timestamp_format"`
	Required        bool                       `json:"required"`
}

// ParseConfig decodes a section strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	raw := struct {
		Metrics []rawRule `json:"metrics"`
		Invalid string    `json:"invalid"`
	}{Invalid: "fail"}
	if err := section.Decode(text, &raw); err != nil {
		return Config{}, err
	}
	var errs []error
	if len(raw.Metrics) == 0 {
		errs = append(errs, errors.New("metrics: there are none; each entry needs a name and a path such as $.queues[*]"))
	}
	if raw.Invalid != "fail" && raw.Invalid != "skip" {
		errs = append(errs, fmt.Errorf("invalid: %q is neither fail nor skip", raw.Invalid))
	}
	c := Config{SkipInvalid: raw.Invalid == "skip"}
	types := map[string]string{}
	for i, m := range raw.Metrics {
		at := func(field string, err error) {
			if err != nil {
				errs = append(errs, fmt.Errorf("metrics[%d].%s: %w", i, field, err))
			}
		}
		r := m.parse(at)
		if t, twice := types[r.Name]; twice && t != r.Type {
			at("type", fmt.Errorf("%s is %s in an earlier entry, and %s in this one", r.Name, t, r.Type))
		}
		types[r.Name] = r.Type
		c.Rules = append(c.Rules, r)
	}
	return c, errors.Join(errs...)
}

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	suffixName = regexp.MustCompile(`^[a-zA-Z0-9_:]+$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

func (m *rawRule) parse(fail func(field string, err error)) Rule {
	r := Rule{Name: m.Name, Type: m.Type, Help: m.Help, Mapping: m.Mapping, Required: m.Required}
	if !metricName.MatchString(m.Name) {
		fail("name", fmt.Errorf("%q is no name of a metric", m.Name))
	}
	if r.Type == "" {
		r.Type = "untyped"
	}
	if !slices.Contains([]string{"gauge", "counter", "untyped"}, r.Type) {
		fail("type", fmt.Errorf("%q is none of gauge, counter and untyped", r.Type))
	}
	if m.Path == "" {
		m.Path = "$"
	}
	var err error
	if r.Path, err = parsePath(m.Path); err == nil && r.Path.relative {
		err = fmt.Errorf("%q: there is no node at hand yet: start with $", m.Path)
	}
	fail("path", err)
	r.Values = m.parseValues(fail)
	for _, name := range slices.Sorted(maps.Keys(m.Labels)) {
		l, err := parseLabel(name, m.Labels[name])
		fail("labels."+name, err)
		r.Labels = append(r.Labels, l)
	}
	if m.Timestamp != "" {
		r.Timestamp, err = parsePath(m.Timestamp)
		fail("timestamp", err)
	}
	r.unit, err = parseTimeUnit(m.TimestampFormat)
	fail("timestamp_format", err)
	return r
}

func (m *rawRule) parseValues(fail func(field string, err error)) []Value {
	if m.Values == nil {
		if m.Value == nil {
			m.Value = json.RawMessage(`"@"`)
		}
		v, err := parseValue("", m.Value)
		fail("value", err)
		return []Value{v}
	}
	if m.Value != nil {
		fail("value", errors.New("there are values too: use one of them"))
	}
	var values []Value
	for _, suffix := range slices.Sorted(maps.Keys(m.Values)) {
		v, err := parseValue(suffix, m.Values[suffix])
		if err == nil && !suffixName.MatchString(suffix) {
			err = errors.New("a name consists of letters, digits, underscores and colons")
		}
		fail("values."+suffix, err)
		values = append(values, v)
	}
	if len(values) == 0 {
		fail("values", errors.New("there are none"))
	}
	return values
}

func parseValue(suffix string, text json.RawMessage) (Value, error) {
	v := Value{Suffix: suffix}
	if suffix != "" {
		v.Suffix = "_" + suffix
	}
	var number json.Number
	if text[0] != '"' && json.Unmarshal(text, &number) == nil && number != "" {
		v.Constant = number.String()
		return v, nil
	}
	var selector string
	if err := json.Unmarshal(text, &selector); err != nil {
		return v, fmt.Errorf("%s is neither a JSONPath nor a number", text)
	}
	var err error
	v.Path, err = parsePath(selector)
	return v, err
}

func parseLabel(name, text string) (Label, error) {
	l := Label{Name: name, Text: text}
	if !labelName.MatchString(name) || strings.HasPrefix(name, "__") {
		return l, fmt.Errorf("%q is no name of a label", name)
	}
	var err error
	if l.up, l.isKey, err = parseKey(text); err != nil || l.isKey {
		return l, err
	}
	switch {
	case strings.HasPrefix(text, "$$") || strings.HasPrefix(text, "@@"):
		l.Text = text[1:]
	case text != "" && (text[0] == '$' || text[0] == '@'):
		l.Path, err = parsePath(text)
	}
	return l, err
}
