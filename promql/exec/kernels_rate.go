package exec

import "strings"

func looksLikeCounter(name string) bool {
	for _, suffix := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// resets moves over the counter resets of a series, together with the windows.
type resets struct {
	at     []int32
	lo, hi int
}

// findResets returns the samples at which the counter starts anew.
func (in *windowed) findResets() resets {
	at := in.w.order[:0]
	for i := 1; i < len(in.F); i++ {
		if in.F[i] < in.F[i-1] || in.startedAnew(i) {
			at = append(at, int32(i))
		}
	}
	in.w.order = at
	return resets{at: at}
}

// within returns the resets between the samples of a window. Windows must come in order.
func (r *resets) within(lo, hi int32) []int32 {
	for r.lo < len(r.at) && r.at[r.lo] <= lo {
		r.lo++
	}
	r.hi = max(r.hi, r.lo)
	for r.hi < len(r.at) && r.at[r.hi] < hi {
		r.hi++
	}
	return r.at[r.lo:r.hi]
}

// extrapolated is the kernel of rate, increase (both for counters) and delta.
func extrapolated(isCounter, isRate bool) kernel {
	return func(in *windowed, dst *Row) error {
		if in.anchored || in.smoothed {
			return in.extendedRates(isCounter, isRate, dst)
		}
		if len(in.H) > 0 {
			return in.histogramRates(isCounter, isRate, dst)
		}
		var rs resets
		if isCounter {
			rs = in.findResets()
		}
		for i := range dst.F {
			lo, hi := in.lo[i], in.hi[i]
			fromZero := isCounter && in.startsInside(i)
			if hi-lo < 2 && !fromZero {
				continue
			}
			delta := in.F[hi-1] - in.F[lo]
			if isCounter {
				for _, k := range rs.within(lo, hi) {
					delta += in.F[k-1]
				}
				in.noteOverlap(i)
			}
			if fromZero {
				delta += in.F[lo]
			}
			dst.F[i] = delta * in.extrapolation(i, in.F[lo], delta, isCounter, isRate)
		}
		return nil
	}
}

// extrapolation returns the factor that stretches a difference between the first and the last sample of a window to
// the whole window. first and delta are the value at the beginning and the difference; a counter is not stretched
// beyond the time at which it was zero.
func (in *windowed) extrapolation(step int, first, delta float64, isCounter, isRate bool) float64 {
	lo, hi := in.lo[step], in.hi[step]
	end := in.shift.Reference(in.g.At(step))
	toStart := float64(in.T[lo]-(end-in.length)) / 1000
	toEnd := float64(end-in.T[hi-1]) / 1000
	sampled := float64(in.T[hi-1]-in.T[lo]) / 1000
	average := 0.0
	if hi-lo > 1 {
		average = sampled / float64(hi-lo-1)
	}
	// A border further away than this is not where the next sample would have been.
	threshold := average * 1.1
	if isCounter && in.startsInside(step) {
		sampled, toStart = float64(in.T[hi-1]-in.ST[lo])/1000, 0
	} else {
		if toStart >= threshold {
			toStart = average / 2
		}
		if isCounter && delta > 0 && first >= 0 {
			if toZero := sampled * (first / delta); toZero < toStart {
				toStart = toZero
			}
		}
	}
	if toEnd >= threshold {
		toEnd = average / 2
	}
	factor := 1.0
	if sampled != 0 {
		factor = (sampled + toStart + toEnd) / sampled
	}
	if isRate {
		factor /= float64(in.length) / 1000
	}
	return factor
}

// lastTwo is the kernel of irate, which is for counters, and idelta.
func lastTwo(isRate bool) kernel {
	return func(in *windowed, dst *Row) error {
		for i := range dst.F {
			lo, hi := in.lo[i], in.hi[i]
			if hi-lo < 2 {
				continue
			}
			if len(in.H) > 0 && (in.H[hi-1] != nil || in.H[hi-2] != nil) {
				if err := in.lastTwoHistograms(i, isRate, dst); err != nil {
					return err
				}
				continue
			}
			prev, v := in.F[hi-2], in.F[hi-1]
			// After a reset a counter has grown from zero.
			if !isRate || !(v < prev || in.startedAnew(int(hi-1))) {
				v -= prev
			}
			if isRate {
				v /= float64(in.T[hi-1]-in.T[hi-2]) / 1000
			}
			dst.F[i] = v
		}
		return nil
	}
}
