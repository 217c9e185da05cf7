package wal

import "testing"

// BenchmarkDecode decodes the samples of a scrape in both forms.
func BenchmarkDecode(b *testing.B) {
	var samples []Sample
	for i := range 1250 {
		samples = append(samples, Sample{Ref: uint64(5000 + i), T: 1_791_234_567_000, V: float64(i * i)})
	}
	for name, encode := range map[string]func([]byte, []Sample) []byte{"type=2": AppendSamples, "type=11": AppendSamplesV2} {
		b.Run(name, func(b *testing.B) {
			rec := encode(nil, samples)
			var dst []Sample
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = DecodeSamples(rec, dst[:0]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(samples)), "ns/sample")
		})
	}
}

// BenchmarkEncode encodes them.
func BenchmarkEncode(b *testing.B) {
	var samples []Sample
	for i := range 1250 {
		samples = append(samples, Sample{Ref: uint64(5000 + i), T: 1_791_234_567_000, V: float64(i * i)})
	}
	for name, encode := range map[string]func([]byte, []Sample) []byte{"type=2": AppendSamples, "type=11": AppendSamplesV2} {
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = encode(dst[:0], samples)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(samples)), "ns/sample")
		})
	}
}
