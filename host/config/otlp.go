package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/internal/strictyaml"
)

// OTLP is the section otlp. It says how metrics in the format of OpenTelemetry are turned into series. This version receives
// none, so the section is checked and shown, and changes nothing.
type OTLP struct {
	// PromoteAllResourceAttributes makes labels of all resource attributes but IgnoreResourceAttributes, and
	// PromoteResourceAttributes of some.
	PromoteAllResourceAttributes bool     `yaml:"promote_all_resource_attributes,omitempty"`
	PromoteResourceAttributes    []string `yaml:"promote_resource_attributes,omitempty"`
	IgnoreResourceAttributes     []string `yaml:"ignore_resource_attributes,omitempty"`
	// TranslationStrategy is how names are made fit, one of translationStrategies.
	TranslationStrategy               string `yaml:"translation_strategy"`
	KeepIdentifyingResourceAttributes bool   `yaml:"keep_identifying_resource_attributes,omitempty"`
	ConvertHistogramsToNHCB           bool   `yaml:"convert_histograms_to_nhcb,omitempty"`
	PromoteScopeMetadata              bool   `yaml:"promote_scope_metadata,omitempty"`
	// LabelNameUnderscoreSanitization puts key_ in front of labels that start with an underscore.
	LabelNameUnderscoreSanitization      bool `yaml:"label_name_underscore_sanitization"`
	LabelNamePreserveMultipleUnderscores bool `yaml:"label_name_preserve_multiple_underscores"`
}

// The ways to make names fit. The latter two keep characters that legacy names lack.
const (
	escapeWithSuffixes    = "UnderscoreEscapingWithSuffixes"
	escapeWithoutSuffixes = "UnderscoreEscapingWithoutSuffixes"
	keepWithSuffixes      = "NoUTF8EscapingWithSuffixes"
	keepNames             = "NoTranslation"
)

// defaultOTLP returns what counts where the section says nothing.
func defaultOTLP() OTLP {
	return OTLP{
		TranslationStrategy:                  escapeWithSuffixes,
		LabelNameUnderscoreSanitization:      true,
		LabelNamePreserveMultipleUnderscores: true,
	}
}

// check checks the section; scheme is that of names.
func (o *OTLP) check(scheme string) error {
	var errs []error
	fail := func(field, format string, args ...any) {
		errs = append(errs, strictyaml.At(field, fmt.Errorf(format, args...)))
	}
	switch s := o.TranslationStrategy; s {
	case "", escapeWithSuffixes, escapeWithoutSuffixes:
	case keepWithSuffixes, keepNames:
		if scheme == scrape.LegacyNames {
			fail("translation_strategy", "%s needs names in UTF-8, and global.metric_name_validation_scheme is legacy", s)
		}
	default:
		fail("translation_strategy", "%q is none of %s, %s, %s and %s", s, escapeWithSuffixes, escapeWithoutSuffixes, keepWithSuffixes, keepNames)
	}
	if o.PromoteAllResourceAttributes && len(o.PromoteResourceAttributes) > 0 {
		fail("promote_resource_attributes", "promote_all_resource_attributes promotes all: remove one of the two")
	}
	if !o.PromoteAllResourceAttributes && len(o.IgnoreResourceAttributes) > 0 {
		fail("ignore_resource_attributes", "nothing can be ignored without promote_all_resource_attributes: true")
	}
	return errors.Join(append(errs,
		strictyaml.At("promote_resource_attributes", checkAttributes(o.PromoteResourceAttributes)),
		strictyaml.At("ignore_resource_attributes", checkAttributes(o.IgnoreResourceAttributes)))...)
}

// checkAttributes checks a list of names.
func checkAttributes(names []string) error {
	var errs []error
	for i, name := range names {
		if name == "" {
			errs = append(errs, strictyaml.At(strictyaml.Index("", i), errors.New("the name is empty")))
		} else if slices.Contains(names[:i], name) {
			errs = append(errs, strictyaml.At(strictyaml.Index("", i), fmt.Errorf("%q is there twice", name)))
		}
	}
	return errors.Join(errs...)
}

// Inert returns a warning, with its place, for each section that says something about a part that this version lacks.
func (c *Config) Inert() []string {
	if reflect.DeepEqual(c.OTLP, defaultOTLP()) {
		return nil
	}
	return []string{c.Origin("otlp").Position("") + ": this version does not receive OTLP yet, so the section changes nothing"}
}
