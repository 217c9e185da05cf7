// Package suggest finds the name that was probably meant, for error messages.
package suggest

import "slices"

// Nearest returns the name that the fewest typing mistakes lead from, the first in order of several, or "" if even that
// takes more than a third of the name's letters.
func Nearest(name string, names []string) string {
	names = slices.Sorted(slices.Values(names))
	best, distance := "", len(name)/3+1
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
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
