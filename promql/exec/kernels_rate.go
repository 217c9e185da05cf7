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
	return func(in *windowed, dst *row) error {
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
		s := in.stretch(isCounter, isRate)
		lows, highs := in.lo[:len(dst.F)], in.hi[:len(dst.F)]
		for i := range dst.F {
			lo, hi := lows[i], highs[i]
			fromZero := isCounter && len(in.ST) > 0 && in.startsInside(i)
			if hi-lo < 2 && !fromZero {
				continue
			}
			first := in.F[lo]
			delta := in.F[hi-1] - first
			if isCounter && len(rs.at) > 0 {
				for _, k := range rs.within(lo, hi) {
					delta += in.F[k-1]
				}
			}
			if isCounter && len(in.ST) > 0 {
				in.noteOverlap(i)
			}
			if fromZero {
				delta += first
			}
			dst.F[i] = delta * s.factor(i, first, delta)
		}
		return nil
	}
}

// stretch calculates how far differences are stretched, for the windows of one series in turn. Fast path: divisions are
// most of what a rate takes at many steps, so what does not change from one window to the next is kept, and those that
// can't matter are left out.
type stretch struct {
	in                *windowed
	isCounter, isRate bool
	// seconds is the length of the windows.
	seconds float64
	// span and samples are the time in milliseconds and the number of samples of the latest window, sampled is the time
	// in seconds and average the distance of its samples.
	span             int64
	samples          int32
	sampled, average float64
}

func (in *windowed) stretch(isCounter, isRate bool) stretch {
	return stretch{in: in, isCounter: isCounter, isRate: isRate, seconds: float64(in.length) / 1000}
}

// factor returns what stretches a difference between the first and the last sample of a window to the whole window.
// first and delta are the value at the beginning and the difference; a counter is not stretched beyond the time at which
// it was zero.
func (s *stretch) factor(step int, first, delta float64) float64 {
	in := s.in
	lo, hi := in.lo[step], in.hi[step]
	from, to := in.T[lo], in.T[hi-1]
	if span, n := to-from, hi-lo; span != s.span || n != s.samples {
		s.span, s.samples, s.sampled, s.average = span, n, float64(span)/1000, 0
		if n > 1 {
			s.average = s.sampled / float64(n-1)
		}
	}
	end := in.shift.Reference(in.g.At(step))
	sampled := s.sampled
	toStart, toEnd := float64(from-(end-in.length))/1000, float64(end-to)/1000
	// A border further away than this is not where the next sample would have been.
	threshold := s.average * 1.1
	if s.isCounter && len(in.ST) > 0 && in.startsInside(step) {
		sampled, toStart = float64(to-in.ST[lo])/1000, 0
	} else {
		if toStart >= threshold {
			toStart = s.average / 2
		}
		// One that has not even doubled was zero before the samples by more than they span.
		if s.isCounter && delta > 0 && first >= 0 && (first < delta || sampled < toStart) {
			if toZero := sampled * (first / delta); toZero < toStart {
				toStart = toZero
			}
		}
	}
	if toEnd >= threshold {
		toEnd = s.average / 2
	}
	factor := 1.0
	if sampled != 0 {
		factor = (sampled + toStart + toEnd) / sampled
	}
	if s.isRate {
		factor /= s.seconds
	}
	return factor
}

// lastTwo is the kernel of irate, which is for counters, and idelta.
func lastTwo(isRate bool) kernel {
	return func(in *windowed, dst *row) error {
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
