package query

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/klauspost/compress/snappy"

	"github.com/narthex-io/narthex/storage"
)

// BenchmarkAnswer reads an answer of 1,000 series of 600 samples, 15 seconds apart, as it comes over the wire.
func BenchmarkAnswer(b *testing.B) {
	const count, samples = 1000, 600
	var frames bytes.Buffer
	var list [][]byte
	for i := range count {
		var chunks []storage.Chunk
		var times []int64
		for k := range int64(samples) {
			if times = append(times, base+k*15_000); len(times)%120 == 0 {
				chunks = append(chunks, floats(times[len(times)-120:]...))
			}
		}
		pairs := []string{"__name__", "http_requests_total", "code", "200", "instance", fmt.Sprintf("10.0.0.%d:8080", i), "job", "api"}
		frames.Write(frame(chunked(chunks, pairs...)))
		list = append(list, samplesOf(times, pairs...))
	}
	message := snappy.Encode(nil, result(list...))
	for _, c := range []struct {
		kind string
		body []byte
		read func(a *answer, body []byte) error
	}{
		{"chunks", frames.Bytes(), func(a *answer, body []byte) error { return a.readFrames(bytes.NewReader(body), 1<<20) }},
		{"samples", message, func(a *answer, body []byte) error { return a.readSamples(bytes.NewReader(body)) }},
	} {
		b.Run("type="+c.kind, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.body)))
			for b.Loop() {
				a := newAnswer(base, base+1e9, nil, room{all: &shared{}})
				if err := c.read(a, c.body); err != nil || len(a.series) != count {
					b.Fatal(len(a.series), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count*samples), "ns/sample")
		})
	}
}

// BenchmarkRead decodes what was read.
func BenchmarkRead(b *testing.B) {
	const samples = 600
	var times []int64
	s := &series{mint: minTime, maxt: maxTime}
	for k := range int64(samples) {
		if times = append(times, base+k*15_000); len(times)%120 == 0 {
			s.chunks = append(s.chunks, floats(times[len(times)-120:]...))
		}
	}
	var c storage.Columns
	var r storage.ColumnReader
	b.ReportAllocs()
	for b.Loop() {
		c.Reset()
		for r = s.Samples(r); r.Read(&c); {
			continue
		}
		if c.Len() != samples {
			b.Fatal(c.Len())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
}
