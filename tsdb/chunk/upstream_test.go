package chunk

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
)

// upstreamChunk is a line of testdata/upstream.jsonl: a chunk that Prometheus 3.14's library wrote and the samples that
// the same library read from it. Floats that may be NaN are the hexadecimal digits of their bits.
type upstreamChunk struct {
	Name     string
	Encoding Encoding
	Data     []byte
	Samples  []struct {
		T, ST int64
		F     hexFloat
		H     *struct {
			Hint                            histogram.CounterResetHint
			Schema                          int32
			Spans                           [2][]histogram.Span
			ZeroThreshold, Zero, Count, Sum hexFloat
			Pos, Neg, Custom                []float64
		}
	}
}

type hexFloat float64

func (f *hexFloat) UnmarshalJSON(b []byte) error {
	u, err := strconv.ParseUint(string(bytes.Trim(b, `"`)), 16, 64)
	*f = hexFloat(math.Float64frombits(u))
	return err
}

func upstreamChunks(tb testing.TB) []upstreamChunk {
	tb.Helper()
	data, err := os.ReadFile("testdata/upstream.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	var all []upstreamChunk
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data))
	for lines.Scan() {
		var c upstreamChunk
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			tb.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func TestUpstreamChunks(t *testing.T) {
	for _, c := range upstreamChunks(t) {
		t.Run(c.Name, func(t *testing.T) {
			got := decodeAll(t, c.Encoding, c.Data, math.MinInt64, math.MaxInt64)
			if len(got.T) != len(c.Samples) || len(got.T) == 0 {
				t.Fatalf("got %d samples, want %d", len(got.T), len(c.Samples))
			}
			for i, want := range c.Samples {
				if got.T[i] != want.T {
					t.Fatalf("sample %d: got time %d, want %d", i, got.T[i], want.T)
				}
				st := int64(0)
				if len(got.ST) > 0 {
					st = got.ST[i]
				}
				if st != want.ST {
					t.Fatalf("sample %d: got start time %d, want %d", i, st, want.ST)
				}
				if want.H == nil {
					if math.Float64bits(got.F[i]) != math.Float64bits(float64(want.F)) {
						t.Fatalf("sample %d: got %v, want %v", i, got.F[i], want.F)
					}
					continue
				}
				w := &histogram.FloatHistogram{
					CounterResetHint: want.H.Hint, Schema: want.H.Schema,
					ZeroThreshold: float64(want.H.ZeroThreshold), ZeroCount: float64(want.H.Zero),
					Count: float64(want.H.Count), Sum: float64(want.H.Sum),
					PositiveSpans: want.H.Spans[0], NegativeSpans: want.H.Spans[1],
					PositiveBuckets: want.H.Pos, NegativeBuckets: want.H.Neg, CustomValues: want.H.Custom,
				}
				if !got.H[i].Equal(w) {
					t.Fatalf("sample %d:\ngot  %+v\nwant %+v", i, got.H[i], w)
				}
			}
		})
	}
}

// TestXORBytesAreUpstreams encodes again what upstream encoded.
func TestXORBytesAreUpstreams(t *testing.T) {
	for _, c := range upstreamChunks(t) {
		if c.Encoding != EncXOR {
			continue
		}
		cols := decodeAll(t, EncXOR, c.Data, math.MinInt64, math.MaxInt64)
		var s XORState
		var b []byte
		for i := range cols.T {
			b = s.Append(b, cols.T[i], cols.F[i])
		}
		if !slices.Equal(b, c.Data) {
			t.Fatalf("%s: encoded again, the bytes differ", c.Name)
		}
	}
}

// TestXOR2BytesAreUpstreams is the same for floats with start timestamps.
func TestXOR2BytesAreUpstreams(t *testing.T) {
	n := 0
	for _, c := range upstreamChunks(t) {
		if c.Encoding != EncXOR2 {
			continue
		}
		n++
		cols := decodeAll(t, EncXOR2, c.Data, math.MinInt64, math.MaxInt64)
		var w XOR2Writer
		for i := range cols.T {
			before := len(w.Bytes())
			w.Append(cols.T[i], cols.start(i), cols.F[i])
			if grown := len(w.Bytes()) - before; i > 0 && grown > MaxXOR2SampleBytes || grown > xor2Header+MaxXOR2SampleBytes {
				t.Errorf("%s: sample %d takes %d bytes", c.Name, i, grown)
			}
			if at, v := w.xor.LastT(), w.xor.LastV(); at != cols.T[i] || math.Float64bits(v) != math.Float64bits(cols.F[i]) {
				t.Fatalf("%s: the latest sample is %v at %d", c.Name, v, at)
			}
		}
		if !slices.Equal(w.Bytes(), c.Data) {
			t.Fatalf("%s: encoded again, the bytes differ", c.Name)
		}
	}
	if n < 5 {
		t.Fatalf("%d chunks", n)
	}
}

// TestXOR2WithoutStarts: a writer that does not look for start timestamps writes the same, up to sample 127.
func TestXOR2WithoutStarts(t *testing.T) {
	for _, p := range [][]point{randomPoints(1, 127), randomPoints(2, 2), randomPoints(3, 127)} {
		var s XORState
		var starts STState
		var b []byte
		var w XOR2Writer
		for i, one := range p {
			w.Append(one.t, 0, one.v)
			b = s.AppendXOR2(b, nil, 0, one.t, one.v)
			if i >= 100 { // The state can be made when the first start timestamp comes.
				w.Append(one.t+1, one.t-1, one.v)
				b = s.AppendXOR2(b, &starts, one.t-1, one.t+1, one.v)
				break
			}
		}
		if !slices.Equal(b, w.Bytes()) {
			t.Fatal("the bytes differ")
		}
	}
}

// TestHistogramSTBytesAreUpstreams encodes again what upstream encoded with start timestamps, histogram by histogram.
func TestHistogramSTBytesAreUpstreams(t *testing.T) {
	n := 0
	for _, c := range upstreamChunks(t) {
		if c.Encoding != EncHistogramST && c.Encoding != EncFloatHistogramST {
			continue
		}
		n++
		cols := decodeAll(t, c.Encoding, c.Data, math.MinInt64, math.MaxInt64)
		var w *HistogramWriter
		for i, h := range cols.H {
			native := Native{Float: h}
			if c.Encoding == EncHistogramST {
				native = Native{Int: h.ToInt()}
			}
			if w == nil {
				w = BeginHistogramsST(nil, cols.T[i], cols.start(i), native)
			} else if !w.AppendST(cols.T[i], cols.start(i), native) {
				t.Fatalf("%s: sample %d begins a new chunk", c.Name, i)
			}
		}
		if !slices.Equal(w.Bytes(), c.Data) || w.Encoding() != c.Encoding {
			t.Fatalf("%s: encoded again, the bytes differ:\ngot  %x\nwant %x", c.Name, w.Bytes(), c.Data)
		}
	}
	if n < 6 {
		t.Fatalf("%d chunks", n)
	}
}

// TestFilterOfEachEncoding: a chunk written anew with all of its samples is the same, byte for byte, and a part has the
// samples of the part.
func TestFilterOfEachEncoding(t *testing.T) {
	for _, c := range upstreamChunks(t) {
		whole, err := Filter(c.Encoding, c.Data, func(int64) bool { return true })
		if err != nil || !slices.Equal(whole.Data, c.Data) || whole.Samples != len(c.Samples) {
			t.Errorf("%s: written anew, the bytes differ (%v)", c.Name, err)
		}
		all := decodeAll(t, c.Encoding, c.Data, math.MinInt64, math.MaxInt64)
		n := 0
		kept, err := Filter(c.Encoding, c.Data, func(int64) bool { n++; return n%3 == 0 })
		if err != nil {
			t.Fatal(err)
		}
		if kept.Samples == 0 {
			continue
		}
		part := decodeAll(t, c.Encoding, kept.Data, math.MinInt64, math.MaxInt64)
		for i := range part.T {
			k := 3*i + 2
			if part.T[i] != all.T[k] || part.start(i) != all.start(k) || math.Float64bits(part.F[i]) != math.Float64bits(all.F[k]) ||
				len(all.H) > 0 && (part.H[i].Count != all.H[k].Count || math.Float64bits(part.H[i].Sum) != math.Float64bits(all.H[k].Sum)) {
				t.Fatalf("%s: sample %d of the part is not sample %d", c.Name, i, k)
			}
		}
	}
}

func TestRangeOfEachEncoding(t *testing.T) {
	for _, c := range upstreamChunks(t) {
		all := decodeAll(t, c.Encoding, c.Data, math.MinInt64, math.MaxInt64)
		from, to := len(all.T)/3, len(all.T)*2/3
		part := decodeAll(t, c.Encoding, c.Data, all.T[from], all.T[to])
		if !slices.Equal(part.T, all.T[from:to+1]) {
			t.Errorf("%s: got %d samples of %d..%d", c.Name, len(part.T), from, to)
		}
	}
}

// TestMixedColumns decodes chunks of all encodings one after another into the same columns.
func TestMixedColumns(t *testing.T) {
	var c Columns
	want := 0
	for _, u := range upstreamChunks(t) {
		if err := Decode(u.Encoding, u.Data, math.MinInt64, math.MaxInt64, &c); err != nil {
			t.Fatal(err)
		}
		want += len(u.Samples)
		if len(c.T) != want || len(c.F) != want || len(c.H) != 0 && len(c.H) != want || len(c.ST) != 0 && len(c.ST) != want {
			t.Fatalf("after %s: lengths %d, %d, %d, %d, want %d", u.Name, len(c.T), len(c.F), len(c.H), len(c.ST), want)
		}
	}
}

func TestCutChunksAreErrors(t *testing.T) {
	for _, u := range upstreamChunks(t) {
		for cut := range len(u.Data) {
			var c Columns
			if err := Decode(u.Encoding, u.Data[:cut], math.MinInt64, math.MaxInt64, &c); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s cut to %d of %d bytes: got error %v", u.Name, cut, len(u.Data), err)
			}
		}
	}
}
