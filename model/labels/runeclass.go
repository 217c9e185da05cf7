package labels

import (
	"iter"
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// runeClass is a set of runes.
type runeClass struct {
	ascii [utf8.RuneSelf]bool
	// ranges are pairs of first and last, ascending.
	ranges []rune
}

func newRuneClass(ranges []rune) *runeClass {
	c := &runeClass{ranges: ranges}
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= min(ranges[i+1], utf8.RuneSelf-1); r++ {
			c.ascii[r] = true
		}
	}
	return c
}

func (c *runeClass) has(r rune) bool {
	if r < utf8.RuneSelf {
		return c.ascii[r]
	}
	return inRanges(c.ranges, r)
}

func (c *runeClass) equal(o *runeClass) bool {
	return c == o || c != nil && o != nil && slices.Equal(c.ranges, o.ranges)
}

// classOf returns the class of an expression that isClass holds for; nil for that of all runes.
func classOf(re *syntax.Regexp) *runeClass {
	switch re.Op {
	case syntax.OpAnyChar:
		return nil
	case syntax.OpAnyCharNotNL:
		return newRuneClass([]rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune})
	}
	return newRuneClass(re.Rune)
}

func isClass(re *syntax.Regexp) bool {
	return re.Op == syntax.OpCharClass || re.Op == syntax.OpAnyChar || re.Op == syntax.OpAnyCharNotNL
}

// inRanges reports whether r is in one of the pairs of first and last, which ascend.
func inRanges(ranges []rune, r rune) bool {
	low, high := 0, len(ranges)/2
	for low < high {
		switch mid := (low + high) / 2; {
		case r < ranges[2*mid]:
			high = mid
		case r > ranges[2*mid+1]:
			low = mid + 1
		default:
			return true
		}
	}
	return false
}

func classSize(ranges []rune) int {
	n := 0
	for i := 0; i < len(ranges); i += 2 {
		n += int(ranges[i+1]-ranges[i]) + 1
	}
	return n
}

// complement returns the ranges of the runes that are not in ranges.
func complement(ranges []rune) []rune {
	var out []rune
	next := rune(0)
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i] > next {
			out = append(out, next, ranges[i]-1)
		}
		next = ranges[i+1] + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, next, unicode.MaxRune)
	}
	return out
}

func runesOf(ranges []rune) iter.Seq[rune] {
	return func(yield func(rune) bool) {
		for i := 0; i < len(ranges); i += 2 {
			for r := ranges[i]; r <= ranges[i+1]; r++ {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// closedUnderFolding reports whether a class, or else what it leaves out, is known to have each rune in each case.
func closedUnderFolding(ranges []rune) bool {
	if classSize(ranges) > maxLiterals {
		ranges = complement(ranges)
	}
	if classSize(ranges) > maxLiterals {
		return false
	}
	for r := range runesOf(ranges) {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			if !inRanges(ranges, f) {
				return false
			}
		}
	}
	return true
}

// notText reports whether a rune of an expression matches what is not its own encoding, or nothing at all: U+FFFD
// matches stray bytes, and surrogates are not encoded.
func notText(r rune) bool { return r == utf8.RuneError || !utf8.ValidRune(r) }

// appendFolded appends s with each rune replaced by the one that stands for all that differ from it in case alone.
func appendFolded(dst []byte, s string) []byte {
	for _, r := range s {
		if r < utf8.RuneSelf {
			if 'a' <= r && r <= 'z' {
				r -= 'a' - 'A'
			}
			dst = append(dst, byte(r))
			continue
		}
		dst = utf8.AppendRune(dst, foldRune(r))
	}
	return dst
}

// foldRune returns the least of the runes that differ from r in case alone.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

// eachCase returns r and those that differ from it in case alone as ranges of one.
func eachCase(r rune) []rune {
	ranges := []rune{r, r}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		ranges = append(ranges, f, f)
	}
	return ranges
}
