package main

import (
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/narthex-io/narthex/internal/suggest"
)

// suggestFlag asks for the flag that was probably meant: one written with a single dash, or one of a similar name.
func suggestFlag(fs *pflag.FlagSet, unknown *pflag.NotExistError) string {
	name := unknown.GetSpecifiedName()
	if shorthands := unknown.GetSpecifiedShortnames(); shorthands != "" {
		name, _, _ = strings.Cut(shorthands, "=")
		if fs.Lookup(name) != nil {
			return "; did you mean --" + name + "?"
		}
	}
	switch name { // Flags that Prometheus had once.
	case "alertmanager.timeout":
		return "; set timeout below alerting.alertmanagers in the configuration instead"
	case "storage.tsdb.allow-overlapping-blocks":
		return "; remove it, since blocks may always overlap"
	case "storage.tsdb.retention":
		return "; did you mean --storage.tsdb.retention.time?"
	}
	var names []string
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if best := suggest.Nearest(name, names); best != "" {
		return "; did you mean --" + best + "?"
	}
	return ""
}

// suggestCommand asks for the subcommand that was probably meant.
func suggestCommand(cmd *cobra.Command, name string) string {
	if name == "serve" || name == "server" {
		return "; without a subcommand, " + cmd.CommandPath() + " serves"
	}
	if name == "version" {
		return "; did you mean " + cmd.Root().Name() + " --version?"
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if best := suggest.Nearest(name, names); best != "" {
		return "; did you mean " + cmd.CommandPath() + " " + best + "?"
	}
	return ""
}

// didYouMean asks for the name that was probably meant.
func didYouMean(name string, names iter.Seq[string]) string {
	if best := suggest.Nearest(name, slices.Collect(names)); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}
