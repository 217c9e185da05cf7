package chunk

// ForgetReset makes it unknown, in a chunk of histograms without start timestamps, whether the counter was reset before
// the first sample: that is no longer known when another sample comes before it. It changes data.
func ForgetReset(enc Encoding, data []byte) {
	if (enc == EncHistogram || enc == EncFloatHistogram) && len(data) > 2 && data[2]&flagMask != flagGauge {
		data[2] = data[2]&^flagMask | flagUnknown
	}
}
