package exec

import (
	"cmp"
	"context"
	"slices"
	"unsafe"
)

const (
	// paceSeries and paceBytes are how much a loop may do between two looks at the deadline: well below a millisecond.
	paceSeries, paceBytes = 256, 256 << 10
	// seriesHeader is the size of a series without its labels.
	seriesHeader = int64(unsafe.Sizeof(series{}))
)

// pace returns a function to be called once for each turn of a loop over series, with the bytes that the turn has
// made to last as long as the query. It counts them, and asks now and then whether the query has ended.
func (q *query) pace(ctx context.Context) func(bytes int64) error {
	turns, made := 0, int64(0)
	return func(bytes int64) error {
		made += bytes
		if turns++; turns%paceSeries != 0 && made < paceBytes {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		held := made
		made = 0
		return q.holdBytes(held)
	}
}

// pieceSteps is the number of steps after which loops over the values of one row ask whether the query has ended: below
// 10 ms of work for most.
const pieceSteps = 1 << 16

// inPieces calls f for the steps of a row, from (included) to (excluded), and asks ended in between. Most rows are one
// piece, of which nothing is asked.
func inPieces(ended func() error, steps int, f func(from, to int)) error {
	if steps <= pieceSteps {
		f(0, steps)
		return nil
	}
	for from := 0; from < steps; from += pieceSteps {
		if err := ended(); err != nil {
			return err
		}
		f(from, min(from+pieceSteps, steps))
	}
	return nil
}

// roomFor returns room for n values, that of old ones if it is enough. Unlike [slices.Grow] it writes nothing: where the
// room is a hundred megabytes, its pages come one by one, in loops that ask whether the query has ended.
func roomFor[T any](old []T, n int) []T {
	if cap(old) >= n {
		return old[:0]
	}
	return make([]T, 0, n)
}

// ending is pace for loops that keep nothing.
func ending(ctx context.Context) func() error {
	turns := 0
	return func() error {
		if turns++; turns%paceSeries != 0 {
			return nil
		}
		return ctx.Err()
	}
}

// sortFloats sorts, with NaN first. Ended is asked before, and, if there are many, now and then.
func sortFloats(ended func() error, values []float64) error {
	err := ended()
	if err != nil {
		return err
	}
	if len(values) <= 1<<20 {
		slices.Sort(values)
		return nil
	}
	compared := 0
	slices.SortFunc(values, func(a, b float64) int {
		if compared++; compared%(1<<16) == 0 && err == nil {
			err = ended()
		}
		if err != nil {
			return 0 // What is left is over soon if all are equal.
		}
		return cmp.Compare(a, b)
	})
	return err
}

// SortFunc sorts like [slices.SortStableFunc], and gives up when ctx ends: the order is then any, and the error that of
// ctx.
func SortFunc[T any](ctx context.Context, all []T, compare func(a, b T) int) error {
	ended, err := ending(ctx), error(nil)
	slices.SortStableFunc(all, func(a, b T) int {
		if err != nil {
			return 0 // What is left is over soon if all are equal.
		}
		if err = ended(); err != nil {
			return 0
		}
		return compare(a, b)
	})
	return err
}
