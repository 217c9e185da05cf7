package chunk

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBatchesReadLikeSingleNumbers reads random bits both ways, from any bit on and up to the end of the data.
func TestBatchesReadLikeSingleNumbers(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 1+rnd.IntN(200))
		for i := range data {
			data[i] = byte(rnd.Uint64())
			if seed%3 == 0 {
				data[i] &= byte(rnd.Uint64()) // More zeros: shorter numbers.
			}
		}
		skip, n := rnd.IntN(8), 1+rnd.IntN(40)
		one := bitReader{data: data}
		one.take(skip)
		many := one

		xs := make([]xorValue, n)
		ys := make([]xorValue, n)
		ints, jints := make([]int64, n), make([]int64, n)
		for range 3 { // The windows of one round are those of the next.
			for k := range xs {
				xs[k].read(&one)
			}
			readXORs(&many, ys)
			for k := range ints {
				ints[k] += one.varbitInt()
			}
			addVarbitInts(&many, jints)
			if one.overrun() != many.overrun() {
				t.Fatalf("seed %d: overrun %v, in a batch %v", seed, one.overrun(), many.overrun())
			}
			if one.overrun() {
				break
			}
			if !slices.Equal(xs, ys) || !slices.Equal(ints, jints) || one.left() != many.left() {
				t.Fatalf("seed %d: got %v, %v, in a batch %v, %v", seed, xs, ints, ys, jints)
			}
		}
	}
}
