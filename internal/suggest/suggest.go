// Package suggest finds the name that was probably meant, for error messages.
package suggest

import "slices"

// Nearest returns the name that the fewest typing mistakes lead from, the first in order of several, or "" if even that
// takes more than a third of the name's letters.
func Nearest(name string, names []string) string { return Within(len(name)/3, name, names) }

// Within is [Nearest] with the number of mistakes that there may be.
func Within(mistakes int, name string, names []string) string {
	names = slices.Sorted(slices.Values(names))
	best, distance := "", mistakes+1
	for _, candidate := range names {
		if d := edits(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// edits counts the bytes to insert, remove or change, and the neighbours to swap, to get from a to b.
func edits(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, before
		row[0] = i + 1
		for j := range len(b) {
			change := above[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, row[j]+1, above[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
