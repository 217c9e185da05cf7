package exec

import "github.com/narthex-io/narthex/model/histogram"

// nativeQuantile is the φ-quantile of a native histogram, with notes on observations that are not numbers.
func nativeQuantile(phi float64, h *histogram.FloatHistogram, name string, at spot, notes *Annotations) float64 {
	v, effect := h.Quantile(phi)
	switch effect {
	case histogram.NaNResult:
		notes.info(at, forMetric("input to histogram_quantile has NaN observations, result is NaN", name))
	case histogram.NaNSkewed:
		notes.info(at, forMetric("input to histogram_quantile has NaN observations, result is skewed higher", name))
	}
	return v
}

// nativeFraction is the part of the observations that lies between two values, with a note on those that lie nowhere.
func nativeFraction(lower, upper float64, h *histogram.FloatHistogram, name string, at spot, notes *Annotations) float64 {
	v, nans := h.Fraction(lower, upper)
	if nans {
		notes.info(at, forMetric("input to histogram_fraction has NaN observations, which are excluded from all fractions", name))
	}
	return v
}
