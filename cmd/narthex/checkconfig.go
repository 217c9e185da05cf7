package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host"
)

// configCheck is what check config is told.
type configCheck struct {
	ruleChecks
	directories       []string
	trusted           trustFlags
	syntaxOnly, agent bool
}

func checkConfigCommand(io streams, lookback *string) *cobra.Command {
	var f configCheck
	c := &cobra.Command{
		Use:   "config FILE...",
		Short: "Check configuration files, with the rule files and plugins that they use",
		Args:  atLeastOne("name the files to check"),
		RunE: func(cmd *cobra.Command, files []string) error {
			if f.agent {
				return &usageError{errors.New("--agent: this version has no agent mode")}
			}
			f.lookback = *lookback
			opts, err := f.options(io)
			if err != nil {
				return err
			}
			v := verdicts{streams: io}
			for _, file := range files {
				v.begin(file)
				checked, err := host.CheckConfig(cmd.Context(), file, opts)
				f.report(&v, file, &checked, err)
			}
			return f.verdict(v.result())
		},
	}
	c.Flags().StringArrayVar(&f.directories, "plugins.directory", nil, "directory to search for plugins first; repeatable")
	c.Flags().BoolVar(&f.syntaxOnly, "syntax-only", false, "read the files and nothing that they name: no rule files, no credentials, no plugins")
	c.Flags().BoolVar(&f.agent, "agent", false, "refused: this version has no agent mode")
	f.trusted.add(c.Flags())
	f.addFlags(c.Flags())
	return c
}

func (f *configCheck) options(io streams) (opts host.CheckOptions, err error) {
	query, err := f.prepare(io)
	if err != nil {
		return opts, err
	}
	if opts, err = checkOptions(io, f.directories, &f.trusted); err != nil {
		return opts, err
	}
	opts.Query, opts.IgnoreUnknownFields, opts.SyntaxOnly = query, f.ignoreUnknown, f.syntaxOnly
	return opts, nil
}

// checkOptions are for commands that start the plugins of a configuration as a server would.
func checkOptions(io streams, directories []string, trusted *trustFlags) (host.CheckOptions, error) {
	warnOfAbsent(io, directories)
	trust, err := trusted.read()
	return host.CheckOptions{
		Getenv:            os.Getenv,
		PluginDirectories: pluginDirectories(directories),
		PluginWorker:      ownBinary(),
		PluginTrust:       trust,
	}, err
}

// report says how the check of a file went, and of the rule files that it names.
func (f *configCheck) report(v *verdicts, file string, checked *host.Checked, err error) {
	if err != nil {
		v.failure(err)
		v.end()
		return
	}
	for _, text := range checked.Inert {
		v.warn(text)
	}
	if n := len(checked.RuleFiles); n > 0 {
		v.success("%d rule files found", n)
	}
	f.ruleChecks.report(v, f.intervals(file, checked.Intervals), fmt.Sprintf("%s is valid, with %s", file, counted(checked.Jobs, "scrape config")))
	for _, rules := range checked.RuleFiles {
		v.begin(rules.Path)
		f.reportRules(v, rules)
	}
}

// atLeastOne asks for an argument, in the given words, if there is none.
func atLeastOne(request string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return &usageError{fmt.Errorf("%s: %s", request, cmd.UseLine())}
		}
		return nil
	}
}
