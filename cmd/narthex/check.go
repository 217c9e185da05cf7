package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/narthex-io/narthex/host"
	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
)

func checkCommand(io streams) *cobra.Command {
	check := group("check", "Check files for mistakes")
	check.AddCommand(checkConfigCommand(io), checkRulesCommand(io))
	return check
}

func checkConfigCommand(io streams) *cobra.Command {
	var directories []string
	var checks ruleChecks
	var trusted trustFlags
	config := &cobra.Command{
		Use:   "config FILE...",
		Short: "Check configuration files, with the rule files and plugins that they use",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{fmt.Errorf("name the files to check: %s", cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			query, err := checks.prepare()
			if err != nil {
				return err
			}
			warnOfAbsent(io, directories)
			trust, err := trusted.read()
			if err != nil {
				return err
			}
			var errs []error
			for _, file := range files {
				checked, err := host.CheckConfig(cmd.Context(), file, host.CheckOptions{
					Getenv:              os.Getenv,
					PluginDirectories:   pluginDirectories(directories),
					PluginWorker:        ownBinary(),
					PluginTrust:         trust,
					Query:               query,
					IgnoreUnknownFields: checks.ignoreUnknown,
				})
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(io.out, "%s: valid, %s", file, counted(checked.Jobs, "scrape config"))
				if n := len(checked.RuleFiles); n > 0 {
					fmt.Fprintf(io.out, ", %s", counted(n, "rule file"))
				}
				fmt.Fprintln(io.out)
				for _, text := range checked.Inert {
					fmt.Fprintf(io.out, "%s (warning)\n", text)
				}
				checks.intervals(io.out, file, checked.Intervals)
				for _, f := range checked.RuleFiles {
					checks.valid(io.out, f)
				}
			}
			if err := errors.Join(errs...); err != nil {
				return &host.ConfigError{Err: err}
			}
			return checks.verdict()
		},
	}
	config.Flags().StringArrayVar(&directories, "plugins.directory", nil, "directory to search for plugins first; repeatable")
	trusted.add(config.Flags())
	checks.addFlags(config.Flags())
	return config
}

func checkRulesCommand(streams streams) *cobra.Command {
	var checks ruleChecks
	c := &cobra.Command{
		Use:   "rules [FILE...]",
		Short: "Check rule files, or what comes on standard input",
		RunE: func(_ *cobra.Command, files []string) error {
			query, err := checks.prepare()
			if err != nil {
				return err
			}
			opts := rules.LoadOptions{Parser: queryParser(query), IgnoreUnknownFields: checks.ignoreUnknown}
			var errs []error
			check := func(path string, text []byte, err error) {
				var f *rules.File
				if err == nil {
					f, err = rules.Parse(path, text, opts)
				}
				if err != nil {
					errs = append(errs, err)
					return
				}
				checks.valid(streams.out, f)
			}
			for _, path := range files {
				text, err := os.ReadFile(path)
				check(path, text, err)
			}
			if len(files) == 0 {
				text, err := io.ReadAll(streams.in)
				check("standard input", text, err)
			}
			if err := errors.Join(errs...); err != nil {
				return &findings{exitFailure, err}
			}
			return checks.verdict()
		},
	}
	checks.addFlags(c.Flags())
	return c
}

// ruleChecks are what is to be found in rule files besides mistakes.
type ruleChecks struct {
	lint                 string
	fatal, ignoreUnknown bool
	features             []string

	duplicates, longIntervals bool
	// lookback is how far back a selector looks.
	lookback string
	found    error
}

func (c *ruleChecks) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.lint, "lint", "duplicate-rules", "what to look for besides mistakes, separated by commas: all, duplicate-rules, too-long-scrape-interval, none")
	fs.StringVar(&c.lookback, "query.lookback-delta", "5m", "--query.lookback-delta of the server, which scrape intervals must be below")
	fs.BoolVar(&c.fatal, "lint-fatal", false, "exit with 3 if something of that is found")
	fs.BoolVar(&c.ignoreUnknown, "ignore-unknown-fields", false, "accept fields of rule files that mean nothing, such as those of other programs")
	addFeatureFlag(fs, &c.features)
}

// addFeatureFlag adds --enable-feature for what concerns expressions.
func addFeatureFlag(fs *pflag.FlagSet, features *[]string) {
	fs.StringArrayVar(features, "enable-feature", nil, "comma-separated names of PromQL features to enable; repeatable")
}

// prepare reads the flags and returns the features that expressions may use.
func (c *ruleChecks) prepare() (promql.Options, error) {
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
			return promql.Options{}, &usageError{fmt.Errorf("--lint: %q is none of all, duplicate-rules, too-long-scrape-interval and none", name)}
		}
	}
	if _, err := model.ParseDuration(c.lookback); err != nil {
		return promql.Options{}, &usageError{fmt.Errorf("--query.lookback-delta: %w", err)}
	}
	return enabledFeatures(c.features)
}

// intervals warns of jobs whose samples are too far apart for a selector to see the last one at each time.
func (c *ruleChecks) intervals(out io.Writer, file string, jobs map[string]time.Duration) {
	lookback, err := model.ParseDuration(c.lookback)
	if err != nil || !c.longIntervals {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		if jobs[name] >= time.Duration(lookback) {
			fmt.Fprintf(out, "%s: warning: job %q has the scrape interval %v, and selectors look back %v: its series have gaps\n", file, name, model.Duration(jobs[name]), lookback)
			c.found = errors.New("too long scrape intervals; shorten them, or check with --lint=none")
		}
	}
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

// valid reports on a file without mistakes.
func (c *ruleChecks) valid(out io.Writer, f *rules.File) {
	fmt.Fprintf(out, "%s: valid, %s\n", f.Path, counted(f.Rules(), "rule"))
	if !c.duplicates {
		return
	}
	found := f.Duplicates()
	for _, d := range found {
		fmt.Fprintf(out, "%s: warning: %d rules make %s with the labels %s\n", f.Path, d.Count, d.Name, d.Labels)
	}
	if len(found) > 0 {
		c.found = errors.New("duplicate rules; merge or rename them, or check with --lint=none")
	}
}

// counted returns a number with its noun in singular or plural.
func counted[N int | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// verdict returns what is to be made of the warnings.
func (c *ruleChecks) verdict() error {
	if c.fatal && c.found != nil {
		return &findings{exitLint, c.found}
	}
	return nil
}

// findings are what a check was asked to find, and the exit code that says so.
type findings struct {
	code int
	err  error
}

func (f *findings) Error() string { return f.err.Error() }
func (f *findings) Unwrap() error { return f.err }
