// Package relabel rewrites label sets by rules: the relabel_configs of targets, samples and alerts.
//
// Start with [Config], one rule, and [Process], which applies a list of them. It knows nothing of where the labels
// come from.
package relabel

import (
	"crypto/md5" //nolint:gosec // Hashing for sharding, as the format prescribes.
	"encoding/binary"
	"regexp"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
)

// Process applies validated rules in order to the set in b and reports whether it is kept. If it is not, later rules have not
// been applied. Nothing is allocated for rules that change nothing.
func Process(cfgs []*Config, b *labels.Builder) (keep bool) {
	for _, c := range cfgs {
		if !c.compiled.apply(b) {
			return false
		}
	}
	return true
}

// rule is a Config made ready.
type rule struct {
	cfg         *Config
	legacyNames bool
	// matchAll says that the regex is the default one, which matches everything as group 1.
	matchAll bool
	// match decides where no groups are needed; it knows shortcuts for literals and prefixes.
	match *labels.Matcher
	re    *regexp.Regexp
	// constantTarget and constantReplacement say that no groups are filled in.
	constantTarget, constantReplacement bool
}

func compile(c *Config, legacyNames bool) (*rule, error) {
	re, err := regexp.Compile("^(?s:" + c.Regex + ")$")
	if err != nil {
		return nil, err
	}
	match, err := labels.NewMatcher(labels.MatchRegexp, "", c.Regex)
	if err != nil {
		return nil, err
	}
	return &rule{
		cfg:                 c,
		legacyNames:         legacyNames,
		matchAll:            c.Regex == defaultRegex,
		match:               match,
		re:                  re,
		constantTarget:      !hasGroup(c.TargetLabel),
		constantReplacement: !hasGroup(c.Replacement),
	}, nil
}

func (r *rule) matches(s string) bool { return r.matchAll || r.match.Matches(s) }

// apply reports whether the set is kept.
func (r *rule) apply(b *labels.Builder) bool {
	c := r.cfg
	switch c.Action {
	case Keep:
		return r.matches(r.source(b))
	case Drop:
		return !r.matches(r.source(b))
	case KeepEqual:
		return b.Get(c.TargetLabel) == r.source(b)
	case DropEqual:
		return b.Get(c.TargetLabel) != r.source(b)
	case Replace:
		r.replace(b)
	case HashMod:
		sum := md5.Sum([]byte(r.source(b))) //nolint:gosec // As above.
		set(b, c.TargetLabel, strconv.FormatUint(binary.BigEndian.Uint64(sum[8:])%c.Modulus, 10))
	case Lowercase:
		set(b, c.TargetLabel, strings.ToLower(r.source(b)))
	case Uppercase:
		set(b, c.TargetLabel, strings.ToUpper(r.source(b)))
	case LabelMap:
		b.Range(func(name, value string) {
			if r.matches(name) {
				set(b, r.re.ReplaceAllString(name, c.Replacement), value)
			}
		})
	case LabelDrop:
		b.Range(func(name, _ string) {
			if r.matches(name) {
				b.Del(name)
			}
		})
	case LabelKeep:
		b.Range(func(name, _ string) {
			if !r.matches(name) {
				b.Del(name)
			}
		})
	}
	return true
}

// source joins the values of the source labels.
func (r *rule) source(b *labels.Builder) string {
	names := r.cfg.SourceLabels
	switch len(names) {
	case 0:
		return ""
	case 1:
		return b.Get(names[0])
	}
	values := make([]string, 0, 8)
	for _, name := range names {
		values = append(values, b.Get(name))
	}
	return strings.Join(values, r.cfg.Separator)
}

func (r *rule) replace(b *labels.Builder) {
	c := r.cfg
	value := r.source(b)
	if !r.matches(value) {
		return
	}
	target := c.TargetLabel
	var groups []int
	if !r.constantTarget || !r.constantReplacement {
		if r.matchAll && r.constantTarget && c.Replacement == defaultReplacement {
			set(b, target, value)
			return
		}
		groups = r.re.FindStringSubmatchIndex(value)
	}
	if !r.constantTarget {
		target = string(r.re.ExpandString(nil, target, value, groups))
		if !validName(target, r.legacyNames) {
			return
		}
	}
	replacement := c.Replacement
	if !r.constantReplacement {
		replacement = string(r.re.ExpandString(nil, replacement, value, groups))
	}
	set(b, target, replacement)
}

// set writes a value unless it is there already, so that an unchanged set stays recognisable as such.
func set(b *labels.Builder, name, value string) {
	if b.Get(name) != value {
		b.Set(name, value)
	}
}
