package exec

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narthex-io/narthex/promql/plan"
)

// PanicError is a panic, which is a bug, in a goroutine of a query.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the text of the panic.
func (e *PanicError) Error() string { return fmt.Sprintf("unexpected error: %v", e.Value) }

// blockValues is about the number of values that a goroutine calculates before it hands them on.
const blockValues = 4096

// each calculates all rows of an operator, on several goroutines if there are enough, and calls fold with one after
// the other in the order of the series: results do not depend on the number of goroutines. The row is valid during
// the call only. Two calls of fold never overlap.
func (q *query) each(ctx context.Context, op operator, g plan.Grid, fold func(i int, r *row) error) error {
	return q.eachMeasured(ctx, op, g, false, fold)
}

// look is each for a fold that keeps none of the histograms: their memory is used again after the call.
func (q *query) look(ctx context.Context, op operator, g plan.Grid, fold func(i int, r *row) error) error {
	return q.eachMeasured(ctx, op, g, true, fold)
}

func (q *query) eachMeasured(ctx context.Context, op operator, g plan.Grid, lent bool, fold func(i int, r *row) error) error {
	if q.at != nil {
		return q.measuredEach(ctx, op, g, lent, fold)
	}
	return q.eachRow(ctx, op, g, lent, fold)
}

func (q *query) eachRow(ctx context.Context, op operator, g plan.Grid, lent bool, fold func(i int, r *row) error) error {
	n := len(op.series())
	block := max(1, min(128, blockValues/max(g.N, 1)))
	blocks := (n + block - 1) / block
	parallel := min(q.Parallelism, blocks)
	if parallel <= 1 {
		return q.eachSerial(ctx, op, n, g.N, lent, fold)
	}
	return q.eachParallel(ctx, op, n, block, parallel, g.N, lent, fold)
}

func (q *query) eachSerial(ctx context.Context, op operator, n, steps int, lent bool, fold func(int, *row) error) error {
	w := q.newWorker(ctx)
	defer w.close()
	r := w.borrow(steps)
	defer w.giveBack(r)
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if lent {
			w.lend(r)
		}
		if err := op.row(ctx, w, i, r); err != nil {
			return err
		}
		if err := fold(i, r); err != nil {
			return err
		}
		if lent {
			w.takeBack(r)
		}
	}
	return nil
}

// turns lets goroutines fold their blocks in order.
type turns struct {
	mu   sync.Mutex
	cond sync.Cond
	next int
	err  error
}

// take waits for the turn of a block; it reports false if the work has failed.
func (t *turns) take(block int) bool {
	t.mu.Lock()
	for t.next != block && t.err == nil {
		t.cond.Wait()
	}
	if t.err != nil {
		t.mu.Unlock()
		return false
	}
	return true
}

// pass ends a turn.
func (t *turns) pass(err error) {
	t.next++
	t.err = err
	t.cond.Broadcast()
	t.mu.Unlock()
}

// fail ends the work of all.
func (t *turns) fail(err error) {
	t.mu.Lock()
	if t.err == nil {
		t.err = err
	}
	t.cond.Broadcast()
	t.mu.Unlock()
}

// helpAfter is how long one goroutine works alone before others help it: waking threads does not pay for less. The figure is
// a guess; on two busy cores, it made no measurable difference to starting all at once.
const helpAfter = 300 * time.Microsecond

// rowWork is the rows of an operator, for several goroutines to work on.
type rowWork struct {
	op              operator
	n, block, steps int
	lent            bool
	fold            func(int, *row) error
	claimed         atomic.Int64
	turns           turns
}

// claim returns the next block that is not worked on, and the rows that are in it, of which there are none at the end.
func (s *rowWork) claim() (block, from, to int) {
	block = int(s.claimed.Add(1)) - 1
	from = min(block*s.block, s.n)
	return block, from, min(from+s.block, s.n)
}

// left reports whether there is something to claim.
func (s *rowWork) left() bool { return int(s.claimed.Load())*s.block < s.n }

// eachParallel begins in the goroutine of the caller, as most queries end before it pays to start others.
func (q *query) eachParallel(ctx context.Context, op operator, n, block, parallel, steps int, lent bool, fold func(int, *row) error) error {
	s := &rowWork{op: op, n: n, block: block, steps: steps, lent: lent, fold: fold}
	s.turns.cond.L = &s.turns.mu
	var helpers sync.WaitGroup
	begin, alone := time.Now(), true
	q.workOn(ctx, s, func() {
		if !alone || time.Since(begin) < helpAfter || !s.left() {
			return
		}
		alone = false
		for range parallel - 1 {
			helpers.Go(func() { q.workOn(ctx, s, nil) })
		}
	})
	helpers.Wait()
	return s.turns.err
}

// workOn works on blocks until there are none left. It calls between, if not nil, after each of them.
func (q *query) workOn(ctx context.Context, s *rowWork, between func()) {
	defer func() {
		if p := recover(); p != nil {
			s.turns.fail(&PanicError{p, debug.Stack()})
		}
	}()
	w := q.newWorker(ctx)
	defer w.close()
	rows := w.rowsOf(s.block, s.steps)
	for {
		b, from, to := s.claim()
		if from == to {
			return
		}
		part := rows[:to-from]
		if s.lent {
			w.lendAll(rows)
		}
		if err := calculate(ctx, s.op, w, from, part); err != nil {
			s.turns.fail(err)
			return
		}
		if !s.turns.take(b) {
			return
		}
		s.turns.pass(foldRows(from, part, s.fold))
		if s.lent {
			w.takeBackAll(rows)
		}
		if between != nil {
			between()
		}
	}
}

func calculate(ctx context.Context, op operator, w *worker, from int, rows []row) error {
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := op.row(ctx, w, from+i, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// foldRows folds a block; a panic becomes an error, for a turn must be passed.
func foldRows(from int, rows []row, fold func(int, *row) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	for i := range rows {
		if err := fold(from+i, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}
