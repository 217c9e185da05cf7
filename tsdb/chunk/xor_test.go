package chunk

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/sample"
)

type point struct {
	t int64
	v float64
}

func encodeXOR(points []point) []byte {
	var s XORState
	var b []byte
	for _, p := range points {
		b = s.Append(b, p.t, p.v)
	}
	return b
}

// decodeAll decodes a chunk and checks the invariants that hold for each column.
func decodeAll(t *testing.T, enc Encoding, data []byte, mint, maxt int64) Columns {
	t.Helper()
	var c Columns
	if err := Decode(enc, data, mint, maxt, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.F) != len(c.T) || len(c.H) > 0 && len(c.H) != len(c.T) || len(c.ST) > 0 && len(c.ST) != len(c.T) {
		t.Fatalf("columns of lengths %d, %d, %d, %d", len(c.T), len(c.F), len(c.H), len(c.ST))
	}
	return c
}

func checkPoints(t *testing.T, got Columns, want []point) {
	t.Helper()
	if len(got.T) != len(want) {
		t.Fatalf("got %d samples, want %d", len(got.T), len(want))
	}
	for i, p := range want {
		if got.T[i] != p.t || math.Float64bits(got.F[i]) != math.Float64bits(p.v) {
			t.Fatalf("sample %d: got %d %v, want %d %v", i, got.T[i], got.F[i], p.t, p.v)
		}
	}
}

// randomPoints walks over all sizes of distances and of values' windows.
func randomPoints(seed uint64, n int) []point {
	r := rand.New(rand.NewPCG(seed, 1))
	points := make([]point, 0, n)
	t := int64(r.Uint64()>>16) - 1<<46
	v := 0.0
	for range n {
		t += 1 + r.Int64N(1<<r.IntN(40))
		switch r.IntN(6) {
		case 0:
			v = math.Float64frombits(r.Uint64())
		case 1:
			v = sample.StaleNaN()
		case 2:
			v = math.Float64frombits(math.Float64bits(v) ^ 1<<r.IntN(64))
		case 3:
			v = r.Float64()
		case 4:
			v += float64(r.IntN(1000))
		}
		points = append(points, point{t, v})
	}
	return points
}

func TestXORRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		points := randomPoints(seed, 1+int(seed)*3)
		checkPoints(t, decodeAll(t, EncXOR, encodeXOR(points), math.MinInt64, math.MaxInt64), points)
	}
}

func TestXORExtremes(t *testing.T) {
	points := []point{
		{math.MinInt64, math.Inf(1)},
		{-1, math.Inf(-1)},
		{0, math.NaN()},
		{1, math.Copysign(0, -1)},
		{1 << 62, math.MaxFloat64},
		{math.MaxInt64, math.SmallestNonzeroFloat64},
	}
	checkPoints(t, decodeAll(t, EncXOR, encodeXOR(points), math.MinInt64, math.MaxInt64), points)
}

// TestXORBytes pins the layout: 1000ms apart with one late sample, value unchanged and changed within a window.
func TestXORBytes(t *testing.T) {
	got := encodeXOR([]point{{1000, 1}, {2000, 1}, {3001, 2}, {4002, 2}})
	want := []byte{
		0, 4, // samples
		0xd0, 0x0f, // 1000, zigzag
		0x3f, 0xf0, 0, 0, 0, 0, 0, 0, // 1.0
		0xe8, 0x07, // 1000
		// 0 same value; 10 and 14 bits of +1; 11, 5 bits of 1, 6 bits of 11, 11 ones; 0; 0.
		0b0_1000000, 0b00000000, 0b1_11_00001, 0b001011_11, 0b11111111, 0b1_0_0_00000,
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %08b\nwant %08b", got, want)
	}
}

func TestXORRange(t *testing.T) {
	var points []point
	for i := range int64(120) {
		points = append(points, point{i * 10, float64(i)})
	}
	data := encodeXOR(points)
	check := func(mint, maxt int64, first, count int) {
		t.Helper()
		checkPoints(t, decodeAll(t, EncXOR, data, mint, maxt), points[first:first+count])
	}
	check(0, 1190, 0, 120)
	check(1, 1189, 1, 118)
	check(-5, -1, 0, 0)
	check(1191, 2000, 0, 0)
	check(500, 500, 50, 1)
	check(501, 509, 0, 0)
	check(0, 0, 0, 1)
	check(10, 10, 1, 1)
}

// TestXORRangeOfRuns reads parts of a chunk in which most samples repeat the one before.
func TestXORRangeOfRuns(t *testing.T) {
	var points []point
	for i := range int64(120) {
		points = append(points, point{i * 10, float64(i / 50)})
	}
	data := encodeXOR(points)
	for first := range int64(120) {
		for last := first; last < 120; last++ {
			checkPoints(t, decodeAll(t, EncXOR, data, first*10, last*10+9), points[first:last+1])
		}
	}
}

func TestXORAppendsAfterWhatIsThere(t *testing.T) {
	data := encodeXOR([]point{{5, 1.5}, {6, 2.5}})
	c := Columns{T: []int64{1}, F: []float64{9}}
	if err := Decode(EncXOR, data, 0, 10, &c); err != nil {
		t.Fatal(err)
	}
	checkPoints(t, c, []point{{1, 9}, {5, 1.5}, {6, 2.5}})
}

func TestXORResume(t *testing.T) {
	points := randomPoints(7, 300)
	want := encodeXOR(points)
	for _, cut := range []int{0, 1, 2, 3, 50, 299, 300} {
		b := encodeXOR(points[:cut])
		s := XORState{}
		if cut > 0 {
			var err error
			if s, err = ResumeXOR(b); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range points[cut:] {
			b = s.Append(b, p.t, p.v)
		}
		if !slices.Equal(b, want) {
			t.Fatalf("resumed after %d samples, the chunk differs", cut)
		}
	}
}

func TestXORAppendStaysInItsRoom(t *testing.T) {
	slab := make([]byte, 0, 4096)
	b := slab
	var s XORState
	for _, p := range randomPoints(3, 5000) {
		if cap(b)-len(b) < MaxXORSampleBytes {
			break
		}
		before := len(b)
		b = s.Append(b, p.t, p.v)
		if len(b)-before > MaxXORSampleBytes {
			t.Fatalf("a sample took %d bytes", len(b)-before)
		}
	}
	if &b[0] != &slab[:1][0] {
		t.Fatal("the chunk moved although there was room")
	}
}

func TestXORDamageIsAnError(t *testing.T) {
	data := encodeXOR(randomPoints(11, 120))
	for cut := range len(data) {
		var c Columns
		if err := Decode(EncXOR, data[:cut], math.MinInt64, math.MaxInt64, &c); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: got error %v", cut, err)
		}
	}
	lying := slices.Clone(data)
	lying[0], lying[1] = 0xff, 0xff
	var c Columns
	if err := Decode(EncXOR, lying, math.MinInt64, math.MaxInt64, &c); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("got error %v", err)
	}
}

func TestUnknownEncodingIsTyped(t *testing.T) {
	var unsupported *UnsupportedError
	if err := Decode(99, []byte{0, 1, 2}, 0, 1, &Columns{}); !errors.As(err, &unsupported) || unsupported.Encoding != 99 {
		t.Fatalf("got error %v", err)
	}
}
