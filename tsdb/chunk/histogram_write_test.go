package chunk

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
)

// story is a line of testdata/appends.jsonl: histograms that were appended one after the other, and the chunks that
// Prometheus 3.14's library made of them.
type story struct {
	Name    string
	Samples []struct {
		T     int64
		Int   *histogram.Histogram
		Float *histogram.FloatHistogram
		Stale bool
	}
	Cuts   []int
	Chunks [][]byte
}

func stories(tb testing.TB) []story {
	tb.Helper()
	data, err := os.ReadFile("testdata/appends.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	var all []story
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data))
	for lines.Scan() {
		var s story
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			tb.Fatal(err)
		}
		for i := range s.Samples {
			switch one := &s.Samples[i]; {
			case one.Stale && one.Int != nil:
				one.Int.Sum = sample.StaleNaN()
			case one.Stale:
				one.Float.Sum = sample.StaleNaN()
			}
		}
		all = append(all, s)
	}
	return all
}

// write appends as the head does, and returns the chunks.
func (s *story) write() [][]byte {
	var chunks [][]byte
	var w *HistogramWriter
	for i, one := range s.Samples {
		h := Native{one.Int, one.Float}
		if w != nil && !slices.Contains(s.Cuts, i) && w.Append(one.T, h) {
			continue
		}
		if w != nil {
			chunks = append(chunks, w.Bytes())
		}
		w = BeginHistograms(w, one.T, h)
	}
	return append(chunks, w.Bytes())
}

func TestHistogramChunksAreUpstreams(t *testing.T) {
	for _, s := range stories(t) {
		t.Run(s.Name, func(t *testing.T) {
			got := s.write()
			for i := range min(len(got), len(s.Chunks)) {
				g, w := slices.Clone(got[i]), slices.Clone(s.Chunks[i])
				// Upstream claims that there was no reset also where it did not look, which holds nowhere.
				if g[2] == flagUnknown && w[2] == flagNoReset {
					g[2] = flagNoReset
				}
				if !bytes.Equal(g, w) {
					t.Fatalf("chunk %d of %d:\ngot  %x\nwant %x", i, len(s.Chunks), g, w)
				}
			}
			if len(got) != len(s.Chunks) || len(got) < 4 {
				t.Fatalf("got %d chunks, want %d", len(got), len(s.Chunks))
			}
		})
	}
}

// TestAppendedHistogramsAreRead compares what was appended with what is read, bucket by bucket.
func TestAppendedHistogramsAreRead(t *testing.T) {
	for _, s := range stories(t) {
		var c Columns
		for _, data := range s.write() {
			enc := EncHistogram
			if s.Samples[0].Float != nil {
				enc = EncFloatHistogram
			}
			if err := Decode(enc, data, math.MinInt64, math.MaxInt64, &c); err != nil {
				t.Fatal(err)
			}
		}
		for i, one := range s.Samples {
			want := one.Float
			if one.Int != nil {
				want = one.Int.ToFloat()
			}
			got := c.H[i]
			if c.T[i] != one.T || sample.IsStale(got.Sum) != one.Stale || !one.Stale && (got.Sum != want.Sum ||
				got.Count != want.Count || got.ZeroCount != want.ZeroCount || got.Schema != want.Schema) {
				t.Fatalf("%s: sample %d:\ngot  %+v\nwant %+v", s.Name, i, got, want)
			}
			sameCounts(t, got.PositiveSpans, want.PositiveSpans, got.PositiveBuckets, want.PositiveBuckets)
			sameCounts(t, got.NegativeSpans, want.NegativeSpans, got.NegativeBuckets, want.NegativeBuckets)
		}
	}
}

func sameCounts(t *testing.T, a, b []histogram.Span, as, bs []float64) {
	t.Helper()
	for p := range histogram.Pair(a, b) {
		x, y := 0.0, 0.0
		if p.A >= 0 {
			x = as[p.A]
		}
		if p.B >= 0 {
			y = bs[p.B]
		}
		if x != y {
			t.Fatalf("bucket %d holds %v, want %v", p.Index, x, y)
		}
	}
}

// encodeAgain writes what a chunk holds.
func encodeAgain(tb testing.TB, enc Encoding, data []byte) []byte {
	tb.Helper()
	var c Columns
	if err := Decode(enc, data, math.MinInt64, math.MaxInt64, &c); err != nil {
		tb.Fatal(err)
	}
	var w *HistogramWriter
	for i, h := range c.H {
		n := Native{Float: h}
		if enc == EncHistogram {
			n = Native{Int: integer(h)}
		}
		if i == 0 {
			w = BeginHistograms(nil, c.T[i], n)
		} else if !w.Append(c.T[i], n) {
			tb.Fatalf("sample %d does not fit: %+v", i, h)
		}
	}
	again := w.Bytes()
	again[2] = data[2] // What came before the chunk is not known.
	return again
}

// integer is the inverse of ToFloat.
func integer(h *histogram.FloatHistogram) *histogram.Histogram {
	i := &histogram.Histogram{
		CounterResetHint: h.CounterResetHint, Schema: h.Schema, ZeroThreshold: h.ZeroThreshold,
		ZeroCount: uint64(h.ZeroCount), Count: uint64(h.Count), Sum: h.Sum,
		PositiveSpans: h.PositiveSpans, NegativeSpans: h.NegativeSpans, CustomValues: h.CustomValues,
	}
	deltas := func(counts []float64) (ds []int64) {
		before := int64(0)
		for _, n := range counts {
			ds = append(ds, int64(n)-before)
			before = int64(n)
		}
		return ds
	}
	i.PositiveBuckets, i.NegativeBuckets = deltas(h.PositiveBuckets), deltas(h.NegativeBuckets)
	return i
}

func TestHistogramBytesAreUpstreams(t *testing.T) {
	for _, u := range upstreamChunks(t) {
		if u.Encoding != EncHistogram && u.Encoding != EncFloatHistogram {
			continue
		}
		if got := encodeAgain(t, u.Encoding, u.Data); !bytes.Equal(got, u.Data) {
			t.Errorf("%s: encoded again, the bytes differ:\ngot  %x\nwant %x", u.Name, got, u.Data)
		}
	}
}

// FuzzHistograms: whatever is appended is read back, in as many chunks as it takes.
func FuzzHistograms(f *testing.F) {
	f.Add([]byte("\x00abcdefgh\x01ijklmnop\x02qrstuvwx"), false)
	f.Add([]byte("\x03\x00\x00\x01\x09\x02\x03\x04\x05\x03\x01\x07\x01\x09\x02\x03\x04\x06"), true)
	f.Fuzz(func(t *testing.T, raw []byte, float bool) {
		s := story{}
		for at := int64(0); len(raw) >= 9; raw = raw[9:] {
			at += 1 + int64(raw[0])
			h := &histogram.Histogram{
				CounterResetHint: histogram.CounterResetHint(raw[0] & 3), Schema: int32(raw[1]%13) - 4, ZeroThreshold: float64(raw[2]),
				ZeroCount: uint64(raw[3]), Count: uint64(raw[4]) << (raw[0] & 31), Sum: float64(raw[5]) / 3,
			}
			if raw[2] == 255 {
				h = &histogram.Histogram{Sum: sample.StaleNaN()}
			} else {
				h.PositiveSpans = []histogram.Span{{Offset: int32(int8(raw[6])), Length: 1}, {Offset: int32(raw[7] & 7), Length: 2}}
				h.PositiveBuckets = []int64{int64(raw[8]), 1, -1}
			}
			one := Native{Int: h}
			if float {
				one = Native{Float: h.ToFloat()}
			}
			s.Samples = append(s.Samples, struct {
				T     int64
				Int   *histogram.Histogram
				Float *histogram.FloatHistogram
				Stale bool
			}{at, one.Int, one.Float, one.IsStale()})
		}
		if len(s.Samples) == 0 {
			return
		}
		enc := EncHistogram
		if float {
			enc = EncFloatHistogram
		}
		var c Columns
		for _, data := range s.write() {
			if err := Decode(enc, data, math.MinInt64, math.MaxInt64, &c); err != nil {
				t.Fatal(err)
			}
		}
		if len(c.T) != len(s.Samples) {
			t.Fatalf("read %d of %d samples", len(c.T), len(s.Samples))
		}
		for i, one := range s.Samples {
			if c.T[i] != one.T || sample.IsStale(c.H[i].Sum) != one.Stale {
				t.Fatalf("sample %d: got %+v", i, c.H[i])
			}
			if !one.Stale && one.Int != nil {
				want := one.Int.ToFloat()
				sameCounts(t, c.H[i].PositiveSpans, want.PositiveSpans, c.H[i].PositiveBuckets, want.PositiveBuckets)
			}
		}
	})
}

func BenchmarkAppendHistogram(b *testing.B) {
	for _, s := range stories(b)[:4] {
		b.Run("data="+s.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.write()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(s.Samples)), "ns/sample")
		})
	}
}
