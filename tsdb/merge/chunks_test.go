package merge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// chunkOf makes a chunk of floats, or of histograms of whole numbers, whose values say which chunk they are from.
func chunkOf(origin int, native bool, times ...int64) storage.Chunk {
	c := storage.Chunk{MinT: times[0], MaxT: times[len(times)-1], Encoding: uint8(chunk.EncXOR)}
	if !native {
		var x chunk.XORState
		for _, t := range times {
			c.Data = x.Append(c.Data, t, float64(origin))
		}
		return c
	}
	w := chunk.BeginHistograms(nil, times[0], chunk.Native{Int: &histogram.Histogram{Sum: float64(origin)}})
	for _, t := range times[1:] {
		w.Append(t, chunk.Native{Int: &histogram.Histogram{Sum: float64(origin)}})
	}
	c.Encoding, c.Data = uint8(chunk.EncHistogram), w.Bytes()
	return c
}

// TestApart brings random chunks apart, and compares with what their samples say.
func TestApart(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		want := map[int64]string{}
		var chunks []storage.Chunk
		for origin := range 1 + r.IntN(5) {
			native := r.IntN(3) == 0
			var times []int64
			for at, n := int64(r.IntN(300)), 1+r.IntN(200); n > 0; n-- {
				times = append(times, at)
				at += 1 + int64(r.IntN(4))
			}
			for _, at := range times {
				if _, ok := want[at]; !ok {
					want[at] = fmt.Sprint(origin, native)
				}
			}
			chunks = append(chunks, chunkOf(origin, native, times...))
		}
		apart, err := Apart(chunks)
		if err != nil {
			t.Fatal(err)
		}
		got, last := 0, int64(math.MinInt64)
		for _, c := range apart {
			var cols chunk.Columns
			if err := chunk.Decode(chunk.Encoding(c.Encoding), c.Data, math.MinInt64, math.MaxInt64, &cols); err != nil {
				t.Fatal(err)
			}
			if c.MinT <= last || cols.T[0] != c.MinT || cols.T[len(cols.T)-1] != c.MaxT {
				t.Fatalf("seed %d: a chunk of [%d, %d] behind %d has [%d, %d]", seed, c.MinT, c.MaxT, last, cols.T[0], cols.T[len(cols.T)-1])
			}
			last = c.MaxT
			for i, at := range cols.T {
				value := fmt.Sprint(cols.F[i], false)
				if len(cols.H) > 0 {
					value = fmt.Sprint(cols.H[i].Sum, true)
				}
				if want[at] != value {
					t.Fatalf("seed %d: the sample at %d is %s, want %s", seed, at, value, want[at])
				}
				got++
			}
		}
		if got != len(want) {
			t.Fatalf("seed %d: %d samples, want %d", seed, got, len(want))
		}
	}
}

func TestApartLeavesWhatDoesNotOverlap(t *testing.T) {
	chunks := []storage.Chunk{chunkOf(0, false, 50, 60), chunkOf(1, true, 1, 2), chunkOf(2, false, 10, 20), chunkOf(3, false, 15, 16)}
	apart, err := Apart(chunks)
	if err != nil || len(apart) != 3 || &apart[0].Data[0] != &chunks[1].Data[0] || &apart[2].Data[0] != &chunks[0].Data[0] {
		t.Errorf("got %v, %v", apart, err)
	}
}
