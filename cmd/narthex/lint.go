package main

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/pflag"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
)

// ruleChecks are what is to be found in rule files besides mistakes.
type ruleChecks struct {
	lint                 string
	fatal, ignoreUnknown bool
	features             []string

	duplicates, longIntervals bool
	// lookback is how far back a selector looks.
	lookback string
	found    bool
}

func (c *ruleChecks) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.lint, "lint", "duplicate-rules", "what to look for besides mistakes, separated by commas: all, duplicate-rules, too-long-scrape-interval, none")
	fs.BoolVar(&c.fatal, "lint-fatal", false, "exit with 3 if something of that is found")
	fs.BoolVar(&c.ignoreUnknown, "ignore-unknown-fields", false, "accept fields of rule files that mean nothing, such as those of other programs")
	addFeatureFlag(fs, &c.features)
}

// addFeatureFlag adds --enable-feature for what concerns expressions.
func addFeatureFlag(fs *pflag.FlagSet, features *[]string) {
	fs.StringArrayVar(features, "enable-feature", nil, "comma-separated names of PromQL features to enable; repeatable")
}

// prepare reads the flags and returns the features that expressions may use. An unknown name of --lint is told and does
// nothing, as in promtool.
func (c *ruleChecks) prepare(io streams) (promql.Options, error) {
	for name := range strings.SplitSeq(c.lint, ",") {
		switch strings.TrimSpace(name) {
		case "all":
			c.duplicates, c.longIntervals = true, true
		case "duplicate-rules":
			c.duplicates = true
		case "too-long-scrape-interval":
			c.longIntervals = true
		case "none":
			c.duplicates, c.longIntervals = false, false
		default:
			fmt.Fprintf(io.err, "warning: --lint: %q is none of all, duplicate-rules, too-long-scrape-interval and none\n", name)
		}
	}
	if _, err := model.ParseDuration(c.lookback); err != nil {
		return promql.Options{}, &usageError{fmt.Errorf("--query.lookback-delta: %w", err)}
	}
	return enabledFeatures(c.features)
}

// intervals looks for jobs whose samples are too far apart for a selector to see the last one at each time.
func (c *ruleChecks) intervals(file string, jobs map[string]time.Duration) (found []string) {
	lookback, err := model.ParseDuration(c.lookback)
	if err != nil || !c.longIntervals {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		if jobs[name] >= time.Duration(lookback) {
			found = append(found, fmt.Sprintf("%s: job %q has the scrape interval %v, and selectors look back %v: its series have gaps; make it shorter",
				file, name, model.Duration(jobs[name]), lookback))
		}
	}
	return found
}

// enabledFeatures returns the engine's options with features enabled.
func enabledFeatures(lists []string) (promql.Options, error) {
	var query promql.Options
	enabled := features{query: &query}
	if err := enabled.enable(lists, slog.New(slog.DiscardHandler)); err != nil {
		return query, &usageError{err}
	}
	return query, nil
}

// queryParser returns a parser with the features that are enabled.
func queryParser(o promql.Options) *parser.Parser {
	return parser.New(parser.Options{
		EnableExperimentalFunctions:  o.EnableExperimentalFunctions,
		EnableExtendedRangeSelectors: o.EnableExtendedRangeSelectors,
		EnableBinopFillModifiers:     o.EnableBinopFillModifiers,
	})
}

// duplicatesIn looks for rules that a file has twice.
func (c *ruleChecks) duplicatesIn(f *rules.File) (found []string) {
	if !c.duplicates {
		return nil
	}
	for _, d := range f.Duplicates() {
		found = append(found, fmt.Sprintf("%s: %d rules make %s with the labels %s; merge or rename them", f.Path, d.Count, d.Name, d.Labels))
	}
	return found
}

// report says what was found in a file without mistakes, and that it is good, unless what was found is not to be.
func (c *ruleChecks) report(v *verdicts, found []string, success string) {
	defer v.end()
	if len(found) > 0 {
		c.found = true
		v.remarks(found, c.fatal)
		if c.fatal {
			return
		}
	}
	v.success("%s", success)
}

// reportRules is report for a rule file.
func (c *ruleChecks) reportRules(v *verdicts, f *rules.File) {
	c.report(v, c.duplicatesIn(f), fmt.Sprintf("%d rules found", f.Rules()))
}

// counted returns a number with its noun in singular or plural.
func counted[N int | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// verdict returns what is to be made of mistakes, which result stands for, and else of what was found besides.
func (c *ruleChecks) verdict(result error) error {
	if result == nil && c.fatal && c.found {
		return &findings{code: exitLint}
	}
	return result
}

// findings are what a check was asked to find, and the exit code that says so; err is nil where that has been printed.
type findings struct {
	code int
	err  error
}

func (f *findings) Error() string {
	if f.err == nil {
		return "mistakes were found"
	}
	return f.err.Error()
}

func (f *findings) Unwrap() error { return f.err }
