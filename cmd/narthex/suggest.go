package main

import (
	"iter"
	"slices"
	"strings"

	"github.com/spf13/pflag"
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
	if best := nearest(name, names); best != "" {
		return "; did you mean --" + best + "?"
	}
	return ""
}

// didYouMean asks for the name that was probably meant.
func didYouMean(name string, names iter.Seq[string]) string {
	if best := nearest(name, slices.Sorted(names)); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// nearest returns the name that the fewest typing mistakes lead from, or nothing if that takes many.
func nearest(name string, names []string) string {
	best, distance := "", min(len(name)/4, 3)+1
	for _, candidate := range names {
		if d := edits(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// edits counts the bytes to insert, remove or change to get from a to b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
