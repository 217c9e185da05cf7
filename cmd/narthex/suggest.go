package main

import (
	"iter"
	"slices"
	"strings"

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

// didYouMean asks for the name that was probably meant.
func didYouMean(name string, names iter.Seq[string]) string {
	if best := suggest.Nearest(name, slices.Collect(names)); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}
