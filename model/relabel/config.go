package relabel

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/internal/suggest"
	"github.com/narthex-io/narthex/model/labels"
)

// Action is what a rule does.
type Action string

// The actions. In a file they may be written in any case.
const (
	Replace   Action = "replace"
	Keep      Action = "keep"
	Drop      Action = "drop"
	KeepEqual Action = "keepequal"
	DropEqual Action = "dropequal"
	HashMod   Action = "hashmod"
	LabelMap  Action = "labelmap"
	LabelDrop Action = "labeldrop"
	LabelKeep Action = "labelkeep"
	Lowercase Action = "lowercase"
	Uppercase Action = "uppercase"
)

const (
	defaultSeparator   = ";"
	defaultRegex       = "(.*)"
	defaultReplacement = "$1"
)

// Config is one rule as it is written. It works after [Config.Validate], which decoding from YAML does too, and is
// immutable from then on.
type Config struct {
	// SourceLabels are the labels whose values, joined by Separator, the rule looks at.
	SourceLabels []string `yaml:"source_labels,flow,omitempty"`
	Separator    string   `yaml:"separator"`
	// Regex (RE2) must match the whole of what it is applied to.
	Regex string `yaml:"regex"`
	// Modulus is the divisor of hashmod.
	Modulus uint64 `yaml:"modulus,omitempty"`
	// TargetLabel is the label that is written, or compared with.
	TargetLabel string `yaml:"target_label,omitempty"`
	// Replacement is what is written; $1 and ${name} stand for what groups of the regex matched.
	Replacement string `yaml:"replacement"`
	Action      Action `yaml:"action"`

	compiled *rule
	// written is whether the file has a regex, be it the default.
	written bool
}

// Default returns a rule with the defaults that apply to what a file leaves out.
func Default() Config {
	return Config{
		Separator:   defaultSeparator,
		Regex:       defaultRegex,
		Replacement: defaultReplacement,
		Action:      Replace,
	}
}

// UnmarshalYAML decodes a rule strictly and validates it for names in UTF-8; a config with legacy names validates it
// again.
func (c *Config) UnmarshalYAML(node *yaml.Node) error {
	type plain Config
	*c = Default()
	if err := strictyaml.Decode(node, (*plain)(c)); err != nil {
		return err
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		null := node.Content[i+1].Tag == "!!null"
		switch node.Content[i].Value {
		case "action":
			if null {
				return strictyaml.At("action", errors.New("action is empty: leave the field out for replace"))
			}
		case "regex":
			c.written = !null
		}
	}
	return c.Validate(false)
}

// MarshalYAML shows the rule, with its regex only if that was written: some actions take none.
func (c Config) MarshalYAML() (any, error) {
	type plain Config
	var node yaml.Node
	if err := node.Encode(plain(c)); err != nil {
		return nil, fmt.Errorf("show relabel rule: %w", err)
	}
	if !c.written && c.Regex == defaultRegex {
		i := slices.IndexFunc(node.Content, func(n *yaml.Node) bool { return n.Value == "regex" })
		node.Content = slices.Delete(node.Content, i, i+2)
	}
	return &node, nil
}

// Validate checks the rule and makes it ready for use. With legacyNames, labels must be named [a-zA-Z_][a-zA-Z0-9_]*;
// else any UTF-8 does.
func (c *Config) Validate(legacyNames bool) error {
	c.Action = Action(strings.ToLower(string(c.Action)))
	if err := c.checkFields(); err != nil {
		return err
	}
	if err := c.checkNames(legacyNames); err != nil {
		return err
	}
	r, err := compile(c, legacyNames)
	if err != nil {
		return strictyaml.At("regex", err)
	}
	c.compiled = r
	return nil
}

// ValidateAll validates each rule; errors name its index.
func ValidateAll(cfgs []*Config, legacyNames bool) error {
	var errs []error
	for i, c := range cfgs {
		if c == nil {
			errs = append(errs, strictyaml.At(strictyaml.Index("", i), errors.New("empty or null rule")))
			continue
		}
		errs = append(errs, strictyaml.At(strictyaml.Index("", i), c.Validate(legacyNames)))
	}
	return errors.Join(errs...)
}

// checkFields checks that the fields an action needs are there, and those it has no use for are not.
func (c *Config) checkFields() error {
	switch c.Action {
	case Replace, Keep, Drop, LabelMap:
	case HashMod:
		if c.Modulus == 0 {
			return strictyaml.At("modulus", errors.New("action hashmod needs a modulus above zero"))
		}
	case Lowercase, Uppercase:
		if c.Replacement != defaultReplacement {
			return strictyaml.At("replacement", fmt.Errorf("action %s takes no replacement", c.Action))
		}
	case KeepEqual, DropEqual:
		if c.written || c.Regex != defaultRegex || c.Modulus != 0 || c.Separator != defaultSeparator || c.Replacement != defaultReplacement {
			return fmt.Errorf("action %s takes source_labels and target_label only", c.Action)
		}
	case LabelDrop, LabelKeep:
		if c.SourceLabels != nil || c.TargetLabel != "" || c.Modulus != 0 || c.Separator != defaultSeparator ||
			c.Replacement != defaultReplacement {
			return fmt.Errorf("action %s takes regex only", c.Action)
		}
	default:
		return strictyaml.At("action", unknownAction(c.Action))
	}
	return nil
}

func unknownAction(a Action) error {
	known := []string{
		string(Replace), string(Keep), string(Drop), string(KeepEqual), string(DropEqual), string(HashMod),
		string(LabelMap), string(LabelDrop), string(LabelKeep), string(Lowercase), string(Uppercase),
	}
	if best := suggest.Nearest(string(a), known); best != "" {
		return fmt.Errorf("unknown action %q; did you mean %s?", string(a), best)
	}
	return fmt.Errorf("unknown action %q; there are %s", string(a), strings.Join(known, ", "))
}

// templateName matches what may stand for a label name in which groups of the regex are filled in.
var templateName = regexp.MustCompile(`^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$`)

func (c *Config) checkNames(legacyNames bool) error {
	for i, name := range c.SourceLabels {
		if !validName(name, false) { // A target may bring any name, whatever may be written.
			return strictyaml.At(strictyaml.Index("source_labels", i), fmt.Errorf("%q is not a valid label name", name))
		}
	}
	switch c.Action {
	case Replace:
		if c.TargetLabel == "" {
			break
		}
		if hasGroup(c.TargetLabel) {
			return nameError("target_label", c.TargetLabel, validTemplate(c.TargetLabel, legacyNames))
		}
		return nameError("target_label", c.TargetLabel, validName(c.TargetLabel, legacyNames))
	case HashMod, Lowercase, Uppercase, KeepEqual, DropEqual:
		if c.TargetLabel != "" {
			return nameError("target_label", c.TargetLabel, validName(c.TargetLabel, legacyNames))
		}
	case LabelMap:
		return nameError("replacement", c.Replacement, validTemplate(c.Replacement, legacyNames))
	default:
		return nil
	}
	return strictyaml.At("target_label", fmt.Errorf("action %s needs a target_label", c.Action))
}

func nameError(field, name string, valid bool) error {
	if valid {
		return nil
	}
	return strictyaml.At(field, fmt.Errorf("%q is not a valid label name", name))
}

func validName(name string, legacy bool) bool {
	if legacy {
		return labels.IsValidLegacyLabelName(name)
	}
	return name != "" && utf8.ValidString(name)
}

func validTemplate(name string, legacy bool) bool {
	if legacy {
		return templateName.MatchString(name)
	}
	return name != "" && utf8.ValidString(name)
}

func hasGroup(s string) bool { return strings.Contains(s, "$") }

// EqualAll reports whether two lists of rules are written alike.
func EqualAll(a, b []*Config) bool {
	return slices.EqualFunc(a, b, func(a, b *Config) bool {
		return slices.Equal(a.SourceLabels, b.SourceLabels) && a.Separator == b.Separator && a.Regex == b.Regex &&
			a.Modulus == b.Modulus && a.TargetLabel == b.TargetLabel && a.Replacement == b.Replacement && a.Action == b.Action
	})
}
