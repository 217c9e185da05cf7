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
