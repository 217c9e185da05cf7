package exec

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/plan"
)

var (
	// ErrTooManySamples means that a query would hold more samples in memory than it may.
	ErrTooManySamples = errors.New("query processing would load too many samples into memory in query execution")
	// ErrTooMuchMemory means that a query would hold more bytes in memory than it may.
	ErrTooMuchMemory = errors.New("query processing would use too much memory")
)

// Usage is what a query holds and has done. It may be read while the query runs.
type Usage struct {
	held, peak  atomic.Int64
	bytes       atomic.Int64
	total, read atomic.Int64
	decoded     atomic.Int64
	// shared is set before the query begins.
	shared *SharedBudget
	// selecting is the time, in nanoseconds, that the storage took to find the series.
	selecting atomic.Int64
}

// Samples returns the number of samples that are in memory.
func (u *Usage) Samples() int64 { return u.held.Load() }

// Bytes returns the memory that is held.
func (u *Usage) Bytes() int64 { return u.bytes.Load() }

// Decoded returns the number of samples that came from storage.
func (u *Usage) Decoded() int64 { return u.decoded.Load() }

// Selecting returns how long the storage took to find the series.
func (u *Usage) Selecting() time.Duration { return time.Duration(u.selecting.Load()) }

// Stats returns the counts of samples, without those of the steps.
func (u *Usage) Stats() Stats {
	return Stats{Total: u.total.Load(), Read: u.read.Load(), Peak: u.peak.Load()}
}

// SharedBudget bounds the memory of several queries together.
type SharedBudget struct {
	// Max is in bytes; zero means no bound.
	Max           int64
	held, queries atomic.Int64
}

// Enter counts the memory of a query, which has not begun, until leave is called.
func (s *SharedBudget) Enter(u *Usage) (leave func()) {
	u.shared = s
	s.queries.Add(1)
	return func() {
		s.queries.Add(-1)
		s.held.Add(-u.bytes.Load())
	}
}

// exceeded reports whether all queries together hold too much, and this one more than its share: small queries do not
// fail because of large ones.
func (u *Usage) exceeded() bool {
	s := u.shared
	if s == nil || s.Max <= 0 || s.held.Load() <= s.Max {
		return false
	}
	return u.bytes.Load() > s.Max/max(s.queries.Load(), 1)
}

// addBytes counts memory, or takes back what was counted.
func (u *Usage) addBytes(n int64) {
	u.bytes.Add(n)
	if u.shared != nil {
		u.shared.held.Add(n)
	}
}

const (
	// sampleBytes is the size of a sample: a time and a value.
	sampleBytes = 16
	// seriesBytes is about what a series costs besides its labels.
	seriesBytes = 96
)

// hold counts n samples that are going to be kept in memory.
func (q *query) hold(n int) error { return q.keepMore(n, int64(n)*sampleBytes) }

// release takes back what hold counted.
func (q *query) release(n int) {
	q.held.Add(-int64(n))
	q.addBytes(-int64(n) * sampleBytes)
}

// holdRow counts a row that is going to be kept in memory.
func (q *query) holdRow(r *row) error { return q.keepMore(r.count(), r.bytes()) }

// keepMore is holdMore for what the operator that is being made keeps.
func (q *query) keepMore(n int, bytes int64) error {
	if q.at != nil {
		q.at.bytes.Add(bytes)
	}
	return q.holdMore(n, bytes)
}

// holdMore counts samples that take up some bytes.
func (q *query) holdMore(n int, bytes int64) error {
	held := q.held.Add(int64(n))
	for {
		peak := q.peak.Load()
		if held <= peak || q.peak.CompareAndSwap(peak, held) {
			break
		}
	}
	if q.MaxSamples > 0 && held > q.MaxSamples {
		return ErrTooManySamples
	}
	q.addBytes(bytes)
	return q.overspent()
}

// holdBytes counts memory other than that of samples.
func (q *query) holdBytes(n int64) error {
	if q.at != nil {
		q.at.bytes.Add(n)
	}
	q.addBytes(n)
	return q.overspent()
}

// Hold counts memory that a storage takes for the query, which makes it a [storage.Budget].
func (q *query) Hold(bytes int64) error {
	q.addBytes(bytes)
	return q.overspent()
}

// begin returns an error if there is no point in beginning a part of the query: it has ended, or not even one row would
// fit into memory.
func (q *query) begin(ctx context.Context, g plan.Grid) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case q.MaxSamples > 0 && int64(g.N) > q.MaxSamples:
		return ErrTooManySamples
	case q.MaxBytes > 0 && int64(g.N) > q.MaxBytes/8:
		return q.tooMuch()
	}
	return nil
}

// overspent returns an error if the query holds more memory than it may.
func (q *query) overspent() error {
	if q.MaxBytes > 0 && q.bytes.Load() > q.MaxBytes {
		return q.tooMuch()
	}
	if q.exceeded() {
		return fmt.Errorf("%w: all queries together more than %d bytes, and this one more than its share", ErrTooMuchMemory, q.shared.Max)
	}
	return nil
}

func (q *query) tooMuch() error {
	return fmt.Errorf("%w: more than %d bytes", ErrTooMuchMemory, q.MaxBytes)
}

// bytes returns the memory of a row.
func (r *row) bytes() int64 { return 8*int64(cap(r.F)+cap(r.H)) + histogramBytes(r.H) }

// histogramBytes returns the memory of histograms, as if they shared none.
func histogramBytes(hs []*histogram.FloatHistogram) int64 {
	total := 0
	for _, h := range hs {
		if h != nil {
			total += int(unsafe.Sizeof(*h)) + 8*(len(h.PositiveSpans)+len(h.NegativeSpans)+len(h.PositiveBuckets)+len(h.NegativeBuckets)+len(h.CustomValues))
		}
	}
	return int64(total)
}
