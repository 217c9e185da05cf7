package chunk

// ForgetReset makes it unknown, in a chunk of histograms, whether the counter was reset before the first sample: that is
// no longer known when another sample comes before it. It changes data.
func ForgetReset(enc Encoding, data []byte) {
	if !enc.IsHistogram() || len(data) < histogramHeader || resetFlags(enc, data)&flagMask == flagGauge {
		return
	}
	at := 2
	if enc == EncHistogramST || enc == EncFloatHistogramST {
		at = 0
	}
	data[at] = data[at]&^flagMask | flagUnknown
}
