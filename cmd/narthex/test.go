package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/rules/ruletest"
)

func testCommand(io streams) *cobra.Command {
	test := group("test", "Run unit tests")
	test.AddCommand(testRulesCommand(io))
	return test
}

func testRulesCommand(io streams) *cobra.Command {
	var run, features []string
	var junit string
	var debug bool
	var opts ruletest.Options
	c := &cobra.Command{
		Use:   "rules FILE...",
		Short: "Run unit tests of rules, in the format of promtool test rules",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{fmt.Errorf("name the test files: %s", cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) (err error) {
			if len(run) > 0 {
				if opts.Run, err = regexp.Compile(strings.Join(run, "|")); err != nil {
					return &usageError{fmt.Errorf("--run: %w", err)}
				}
			}
			if opts.Query, err = enabledFeatures(features); err != nil {
				return err
			}
			if debug {
				opts.Debug = io.err
			}
			opts.Parser = queryParser(opts.Query)
			opts.Open = func() (ruletest.Storage, error) { return openScratch(cmd.Context(), scratchSpan) }
			var results []ruletest.Result
			failed := false
			for _, file := range files {
				r := ruletest.Run(cmd.Context(), file, opts)
				report(io, &r)
				failed = failed || !r.OK()
				results = append(results, r)
			}
			if err := writeJUnit(junit, results); err != nil {
				return err
			}
			if failed {
				return &findings{exitFailure, errors.New("tests failed")}
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&run, "run", nil, "regular expression for the names of the tests to run; repeatable")
	c.Flags().BoolVar(&opts.Diff, "diff", false, "show of a failure only what differs")
	c.Flags().BoolVar(&debug, "debug", false, "show when each test starts and ends, and all its samples")
	c.Flags().BoolVar(&opts.IgnoreUnknownFields, "ignore-unknown-fields", false, "accept fields of rule files that mean nothing")
	c.Flags().StringVar(&junit, "junit", "", "file to write the results to, as JUnit XML")
	addFeatureFlag(c.Flags(), &features)
	return c
}

// report says how the tests of a file went.
func report(io streams, r *ruletest.Result) {
	for _, w := range r.Warnings {
		fmt.Fprintf(io.err, "%s: warning: %s\n", r.File, w)
	}
	switch {
	case r.Err != nil:
		fmt.Fprintf(io.out, "%s: FAILED\n  %s\n", r.File, strings.ReplaceAll(r.Err.Error(), "\n", "\n  "))
	case r.OK():
		fmt.Fprintf(io.out, "%s: ok, %s\n", r.File, counted(len(r.Cases), "test"))
	default:
		fmt.Fprintf(io.out, "%s: FAILED\n", r.File)
	}
	for _, c := range r.Cases {
		for _, err := range c.Failures {
			fmt.Fprintf(io.out, "  %s: %v\n", c.Name, err)
		}
	}
}

func writeJUnit(path string, results []ruletest.Result) (err error) {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return ruletest.WriteJUnit(f, results, time.Now())
}
