package exec

import "fmt"

// startedAnew reports whether the start timestamps tell that a counter was reset between a sample and the one before.
func (in *windowed) startedAnew(i int) bool {
	if len(in.ST) == 0 {
		return false
	}
	prevST, prevT, st, t := in.ST[i-1], in.T[i-1], in.ST[i], in.T[i]
	switch {
	case st == prevST || st == 0 || st >= t || st < prevT:
		return false // Nothing new, nothing known, or nonsense.
	case st > prevT:
		return true
	default:
		// It starts where the sample before ends. That is a delta, unless it is a counter whose start is not known and
		// was put there.
		return prevST != 0 && prevST < prevT
	}
}

// startsInside reports whether the counter of the first sample of a window was zero inside of the window.
func (in *windowed) startsInside(step int) bool {
	lo := in.lo[step]
	if len(in.ST) == 0 || lo == in.hi[step] {
		return false
	}
	st := in.ST[lo]
	return st != 0 && st > in.shift.Reference(in.g.At(step))-in.length && st < in.T[lo]
}

// noteOverlap warns of samples that started, so they say, before the sample before them was taken.
func (in *windowed) noteOverlap(step int) {
	if len(in.ST) == 0 {
		return
	}
	for i := in.lo[step] + 1; i < in.hi[step]; i++ {
		if st := in.ST[i]; st != 0 && st < in.T[i-1] && st != in.ST[i-1] {
			in.notes.warnTimes(in.at, fmt.Sprintf("sample has start time that overlaps with previous sample timestamp for metric %q", in.metric()), 1)
			return
		}
	}
}

// usesStarts reports whether a function looks at start timestamps.
func usesStarts(function string) bool {
	switch function {
	case "rate", "irate", "increase", "resets":
		return true
	default:
		return false
	}
}
