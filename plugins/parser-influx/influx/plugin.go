// Package influx turns InfluxDB's line protocol into metrics: each field of a line becomes a sample that is named after
// measurement and field, and tags become labels.
//
// Start with [Plugin] and [ParseConfig]; a run (run.go) goes through one body. Lines are taken apart by InfluxData's own
// library.
package influx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// Plugin returns the plugin for guest.Main. It names no media types: line protocol has none of its own.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{Name: "parser-influx", Version: "0.1.0", Kinds: []sdk.Kind{sdk.KindParser}},
		NewParser: func(c sdk.Config, h sdk.Host) (sdk.Parser, error) {
			config, err := ParseConfig(c)
			if err != nil {
				return nil, err
			}
			return &parser{config, h.Log}, nil
		},
	}
}

// Config is what the operator wrote below config.
type Config struct {
	// Prefix stands before each metric's name.
	Prefix string
	// Separator stands between measurement and field.
	Separator string
	// ValueField is the field that leaves the metric with the name of its measurement alone.
	ValueField string
	// StringLabels makes labels of fields that are strings, on the other samples of their line; otherwise they are left out.
	StringLabels bool
	// Timestamps gives samples the time in their line; otherwise they get that of the scrape, and of a series the last line
	// counts.
	Timestamps bool
	// Precision is the unit of times in lines.
	Precision lineprotocol.Precision
	// UTF8 keeps names as they are; otherwise what is neither letter, digit nor underscore becomes an underscore.
	UTF8 bool
	// SkipInvalid leaves out lines that cannot be read; otherwise one of them fails the scrape.
	SkipInvalid bool
}

// ParseConfig decodes a section strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	raw := struct {
		Prefix       string `json:"prefix"`
		Separator    string `json:"separator"`
		ValueField   string `json:"value_field"`
		Strings      string `json:"strings"`
		Timestamps   bool   `json:"timestamps"`
		Precision    string `json:"precision"`
		Names        string `json:"names"`
		InvalidLines string `json:"invalid_lines"`
	}{Separator: "_", ValueField: "value", Strings: "skip", Precision: "ns", Names: "underscores", InvalidLines: "fail"}
	if err := section.Decode(text, &raw); err != nil {
		return Config{}, err
	}
	c := Config{Prefix: raw.Prefix, Separator: raw.Separator, ValueField: raw.ValueField, Timestamps: raw.Timestamps}
	var errs []error
	choose := func(field, value, off, on string) bool {
		if value != off && value != on {
			errs = append(errs, fmt.Errorf("%s: %q is neither %s nor %s", field, value, off, on))
		}
		return value == on
	}
	c.StringLabels = choose("strings", raw.Strings, "skip", "labels")
	c.UTF8 = choose("names", raw.Names, "underscores", "utf8")
	c.SkipInvalid = choose("invalid_lines", raw.InvalidLines, "fail", "skip")
	switch raw.Precision {
	case "ns":
		c.Precision = lineprotocol.Nanosecond
	case "us":
		c.Precision = lineprotocol.Microsecond
	case "ms":
		c.Precision = lineprotocol.Millisecond
	case "s":
		c.Precision = lineprotocol.Second
	default:
		errs = append(errs, fmt.Errorf("precision: %q is none of ns, us, ms and s", raw.Precision))
	}
	return c, errors.Join(errs...)
}

type parser struct {
	config Config
	log    *slog.Logger
}

// Parse implements sdk.Parser.
func (p *parser) Parse(ctx context.Context, body []byte, _ string, w io.Writer) error {
	r := run{config: &p.config, byKey: map[string]int{}, names: map[string]string{}, metrics: map[string]string{}}
	if err := r.read(ctx, body); err != nil {
		return err
	}
	if r.skipped > 0 {
		p.log.Warn("lines were left out", "count", r.skipped, "first", r.reason)
	}
	return r.write(w)
}
