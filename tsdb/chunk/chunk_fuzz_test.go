package chunk

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// FuzzDecode: no bytes make a decoder panic, hang or ask for much memory, and what it returns is consistent.
func FuzzDecode(f *testing.F) {
	for _, c := range upstreamChunks(f) {
		f.Add(uint8(c.Encoding), c.Data)
	}
	f.Add(uint8(EncXOR), []byte{0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, enc uint8, data []byte) {
		var c Columns
		if err := Decode(Encoding(enc), data, math.MinInt64, math.MaxInt64, &c); err != nil {
			return
		}
		n, err := Samples(Encoding(enc), data)
		if err != nil || len(c.T) != n || len(c.F) != n {
			t.Fatalf("%d samples of %d, %v", len(c.T), n, err)
		}
		for _, h := range c.H {
			if h == nil {
				t.Fatal("a sample of a histogram chunk is none")
			}
			buckets := 0
			for _, s := range h.PositiveSpans {
				buckets += int(s.Length)
			}
			if buckets != len(h.PositiveBuckets) {
				t.Fatalf("spans of %d buckets over %d counts", buckets, len(h.PositiveBuckets))
			}
		}
		if Encoding(enc) != EncXOR {
			return
		}
		// The fast loop and the plain one read the same.
		d := xorReader{r: bitReader{data: data, pos: 2}}
		for i := range n {
			if d.next(i); d.r.overrun() || d.t != c.T[i] || d.v.bits != math.Float64bits(c.F[i]) {
				t.Fatalf("sample %d: got %d %x, the plain loop %d %x", i, c.T[i], math.Float64bits(c.F[i]), d.t, d.v.bits)
			}
		}
	})
}

// FuzzXORRoundTrip: whatever is appended is read back, and the writer can be resumed at each point.
func FuzzXORRoundTrip(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdeffedcba9876543210"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var points []point
		for ; len(raw) >= 16 && len(points) < MaxSamples; raw = raw[16:] {
			points = append(points, point{
				int64(binary.LittleEndian.Uint64(raw)), math.Float64frombits(binary.LittleEndian.Uint64(raw[8:])),
			})
		}
		if len(points) == 0 {
			return
		}
		half := encodeXOR(points[:(len(points)+1)/2])
		s, err := ResumeXOR(half)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range points[(len(points)+1)/2:] {
			half = s.Append(half, p.t, p.v)
		}
		if !slices.Equal(half, encodeXOR(points)) {
			t.Fatal("a resumed writer writes other bytes")
		}
		checkPoints(t, decodeAll(t, EncXOR, half, math.MinInt64, math.MaxInt64), points)
	})
}
