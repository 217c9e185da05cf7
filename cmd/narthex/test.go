package main

import (
	"context"
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
	junit := test.PersistentFlags().String("junit", "", "file to write the results to, as JUnit XML")
	test.AddCommand(testRulesCommand(io, junit))
	return test
}

// ruleTests is what test rules is told.
type ruleTests struct {
	ruletest.Options
	run, features []string
	debug         bool
}

func testRulesCommand(io streams, junit *string) *cobra.Command {
	var f ruleTests
	c := &cobra.Command{
		Use:   "rules FILE...",
		Short: "Run unit tests of rules, in the format of promtool test rules",
		Args:  atLeastOne("name the test files"),
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := f.complete(cmd.Context(), io); err != nil {
				return err
			}
			v := verdicts{streams: io}
			var results []ruletest.Result
			for _, file := range files {
				fmt.Fprintf(io.out, "Unit testing %s\n", file)
				r := ruletest.Run(cmd.Context(), file, f.Options)
				report(&v, &r)
				results = append(results, r)
			}
			return errors.Join(writeJUnit(*junit, results), v.result())
		},
	}
	c.Flags().StringArrayVar(&f.run, "run", nil, "regular expression for the names of the tests to run; repeatable")
	c.Flags().BoolVar(&f.Diff, "diff", false, "show of a failure only what differs")
	c.Flags().BoolVar(&f.debug, "debug", false, "show when each test starts and ends, and all its samples")
	c.Flags().BoolVar(&f.IgnoreUnknownFields, "ignore-unknown-fields", false, "accept fields of rule files that mean nothing")
	addFeatureFlag(c.Flags(), &f.features)
	return c
}

// complete makes the options that follow from flags.
func (f *ruleTests) complete(ctx context.Context, io streams) (err error) {
	if len(f.run) > 0 {
		if f.Run, err = regexp.Compile(strings.Join(f.run, "|")); err != nil {
			return &usageError{fmt.Errorf("--run: %w", err)}
		}
	}
	if f.Query, err = enabledFeatures(f.features); err != nil {
		return err
	}
	if f.debug {
		f.Debug = io.err
	}
	f.Parser = queryParser(f.Query)
	f.Open = func() (ruletest.Storage, error) { return openScratch(ctx, scratchSpan) }
	return nil
}

// report says how the tests of a file went.
func report(v *verdicts, r *ruletest.Result) {
	for _, w := range r.Warnings {
		v.warn(w)
	}
	if r.OK() {
		v.success("%s", counted(len(r.Cases), "test"))
		v.end()
		return
	}
	errs := []error{r.Err}
	for _, c := range r.Cases {
		for _, err := range c.Failures {
			errs = append(errs, fmt.Errorf("  %s: %w", c.Name, err))
		}
	}
	v.failure(errors.Join(errs...))
	v.end()
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
