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
		checkFilter(t, Encoding(enc), data, &c)
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
		if n > 0 {
			checkXORRange(t, data, c.T[n/3], c.T[n-1-n/4])
		}
	})
}

// checkXORRange compares the fast loop with the plain one over a part of a chunk.
func checkXORRange(t *testing.T, data []byte, mint, maxt int64) {
	t.Helper()
	n, _ := Samples(EncXOR, data)
	ts, vs := make([]int64, n), make([]float64, n)
	want, wantErr := decodeXOR(data, mint, maxt, ts, vs)
	got, gotV, err := DecodeXOR(data, mint, maxt, nil, nil)
	if (err == nil) != (wantErr == nil) || len(got) != want || !slices.Equal(got, ts[:want]) {
		t.Fatalf("in [%d, %d]: got %d, %v, the plain loop %d, %v", mint, maxt, got, err, ts[:want], wantErr)
	}
	for i, v := range gotV {
		if math.Float64bits(v) != math.Float64bits(vs[i]) {
			t.Fatalf("value %d in [%d, %d] is %v, not %v", i, mint, maxt, v, vs[i])
		}
	}
}

// checkFilter drops every third sample of a chunk and compares what is left.
func checkFilter(t *testing.T, enc Encoding, data []byte, c *Columns) {
	t.Helper()
	if !slices.IsSorted(c.T) || len(c.T) == 0 { // Chunks of histograms can't be written with times that go back.
		return
	}
	n := 0
	f, err := Filter(enc, data, func(int64) bool { n++; return n%3 != 1 })
	if err != nil || f.Samples != len(c.T)-(len(c.T)+2)/3 {
		t.Fatalf("%d samples of %d are left, %v", f.Samples, len(c.T), err)
	}
	var part Columns
	if f.Samples > 0 {
		err = Decode(enc, f.Data, math.MinInt64, math.MaxInt64, &part)
	}
	if err != nil || len(part.T) != f.Samples {
		t.Fatalf("read %d of %d samples, %v", len(part.T), f.Samples, err)
	}
	for i, at := range part.T {
		from := i/2*3 + i%2 + 1
		if at != c.T[from] || math.Float64bits(part.F[i]) != math.Float64bits(c.F[from]) {
			t.Fatalf("sample %d is %v at %d, was %v at %d", i, part.F[i], at, c.F[from], c.T[from])
		}
		if part.start(i) != c.start(from) {
			t.Fatalf("sample %d starts at %d, did at %d", i, part.start(i), c.start(from))
		}
		if len(c.H) > 0 && math.Float64bits(part.H[i].Sum) != math.Float64bits(c.H[from].Sum) {
			t.Fatalf("histogram %d is %+v, was %+v", i, part.H[i], c.H[from])
		}
	}
}

// FuzzXORRoundTrip: whatever is appended is read back, and the writer can be resumed at each point.
func FuzzXORRoundTrip(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdeffedcba9876543210"))
	for _, kind := range []string{"counter", "gauge", "jitter"} {
		var raw []byte
		for _, p := range benchPoints(kind, 1) {
			raw = binary.LittleEndian.AppendUint64(raw, uint64(p.t))
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(p.v))
		}
		f.Add(raw)
	}
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
		checkXORRange(t, half, points[len(points)/3].t, points[len(points)-1-len(points)/4].t)
		checkXORRange(t, half[:len(half)-len(half)/3], math.MinInt64, math.MaxInt64)
		checkPoints(t, decodeAll(t, EncXOR, half, math.MinInt64, math.MaxInt64), points)
	})
}
