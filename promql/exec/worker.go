package exec

import (
	"context"
	"sync"
	"time"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/storage"
)

// worker is the scratch memory of one goroutine.
type worker struct {
	q *query
	// ended returns an error if the query has ended, or holds too much memory; readers and long kernels call it now and
	// then.
	ended   func() error
	cols    storage.Columns
	loaded  loaded
	reader  storage.ColumnReader
	windows windows
	in      windowed
	floats  []float64
	order   []int32
	sizes   []int64 // what the first histograms count
	// arena holds the histograms that stay valid, lent those of rows that are only looked at; lenders is the number of such
	// rows.
	arena   histogram.Arena
	lent    *histogram.Arena
	lenders int
	sums    runningSums
	squares runningSums
	rows    []*row
	block   []row
	// inner is the time that operators below the one at work have taken, if that is measured.
	inner time.Duration
	// held is how many samples of this memory are counted, bytes how much of the rest. Of the columns' histograms, the first
	// sized ones are counted, with sizedBytes.
	held       int
	bytes      int64
	sized      int
	sizedBytes int64
}

// Pool lends scratch memory and that of results to one query after the other. The zero value is ready to use.
type Pool struct{ workers, times, values, selections, results sync.Pool }

// newWorker returns a worker, to be closed by its goroutine.
func (q *query) newWorker(ctx context.Context) *worker {
	w, ok := q.Pool.workers.Get().(*worker)
	if !ok {
		w = &worker{lent: histogram.NewReusable()}
		w.cols.Lent = w.lent.Another()
	}
	w.q, w.inner = q, 0
	w.ended = func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return q.overspent()
	}
	return w
}

// maxPooled is how many bytes a worker may have to be kept for other queries.
const maxPooled = 32 << 20

// close gives the memory back.
func (w *worker) close() {
	if w.q.Probes != nil {
		w.q.Probes.scratch.Add(w.bytes + int64(w.held)*sampleBytes)
	}
	w.q.release(w.held)
	w.q.addBytes(-w.bytes)
	large := w.bytes+int64(w.held)*sampleBytes > maxPooled || w.lent.Size()+w.cols.Lent.Size() > maxPooled
	w.held, w.bytes = 0, 0
	if large {
		return // The next query is unlikely to need that much.
	}
	pool := w.q.Pool
	w.resetColumns()
	for _, r := range w.rows {
		r.reset(0)
	}
	for i := range w.block {
		w.block[i].reset(0)
	}
	// A reader holds on to the storage of the query.
	w.lenders = 0
	w.lent.Reset()
	w.q, w.ended, w.reader, w.in, w.loaded = nil, nil, nil, windowed{}, loaded{}
	pool.workers.Put(w)
}

// borrow returns a row of about n values to work with, to be given back.
func (w *worker) borrow(n int) *row {
	if k := len(w.rows); k > 0 {
		r := w.rows[k-1]
		w.rows = w.rows[:k-1]
		r.lent = nil
		if cap(r.F) < n {
			w.count(8 * int64(n))
		}
		return r
	}
	w.count(8 * int64(n))
	return &row{}
}

func (w *worker) giveBack(r *row) { w.rows = append(w.rows, r) }

// rowsOf returns k rows of about n values, which the worker keeps.
func (w *worker) rowsOf(k, n int) []row {
	w.count(8 * int64(k) * int64(n))
	if cap(w.block) < k {
		w.block = make([]row, k)
	}
	w.block = w.block[:k]
	for i := range w.block {
		w.block[i].lent = nil
	}
	return w.block
}

// lend makes the histograms of a row lie in memory that is used again after takeBack: the caller only looks at them.
func (w *worker) lend(r *row) {
	r.lent = w.lent
	w.lenders++
}

// takeBack ends what lend began. The histograms must not be used any more.
func (w *worker) takeBack(r *row) {
	r.lent = nil
	if w.lenders--; w.lenders == 0 {
		w.lent.Reset()
	}
}

// lendAll and takeBackAll are lend and takeBack for many rows at once.
func (w *worker) lendAll(rows []row) {
	for i := range rows {
		w.lend(&rows[i])
	}
}

func (w *worker) takeBackAll(rows []row) {
	for i := range rows {
		w.takeBack(&rows[i])
	}
}

// memory returns the memory for the histograms of a row.
func (w *worker) memory(dst *row) *histogram.Arena {
	if dst.lent != nil {
		return dst.lent
	}
	return &w.arena
}

// count counts memory of the worker. That it is too much shows when the worker asks whether the query has ended.
func (w *worker) count(bytes int64) {
	w.bytes += bytes
	w.q.addBytes(bytes)
}

// resetColumns empties the columns.
func (w *worker) resetColumns() {
	w.cols.Reset()
	w.sized, w.sizedBytes = 0, 0
}

// account makes the memory of the worker's columns count.
func (w *worker) account() error {
	if n := w.cols.Len(); n > w.held {
		grown := n - w.held
		w.held = n
		if err := w.q.holdMore(grown, int64(grown)*sampleBytes); err != nil {
			return err
		}
	}
	if len(w.cols.H) == 0 {
		return nil
	}
	w.sizedBytes += histogramBytes(w.cols.H[w.sized:])
	if w.sized = len(w.cols.H); w.sizedBytes > w.bytes {
		w.count(w.sizedBytes - w.bytes)
	}
	return w.ended()
}
