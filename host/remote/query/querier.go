package query

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// querier asks one remote on behalf of one query. Its failures are warnings.
type querier struct {
	r *remote
	// mint and maxt bound what is asked for.
	mint, maxt int64

	mu sync.Mutex
	// asked are the answers that came or are to come, by the messages of the requests: the same is not asked for twice.
	asked map[string]*answer
	// failed: the remote is not asked again.
	failed bool
	under  sync.WaitGroup
}

func newQuerier(r *remote, mint, maxt int64) *querier {
	return &querier{r: r, mint: mint, maxt: maxt, asked: map[string]*answer{}}
}

// Select begins to ask the remote in the background.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if !q.r.concerned(matchers) {
		return &set{}
	}
	what := question{mint: q.mint, maxt: q.maxt, hints: hints}
	var budget storage.Budget
	if hints != nil {
		what.mint, what.maxt, budget = max(what.mint, hints.Start), min(what.maxt, hints.End), hints.Budget
	}
	if what.mint > what.maxt {
		return &set{}
	}
	var added []string
	what.matchers, added = q.r.withExternal(matchers)
	message := what.appendTo(nil)
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.asked[string(message)]
	if a == nil {
		if q.failed {
			return &set{}
		}
		a = newAnswer(what.mint, what.maxt, added, room{all: &q.r.storage.memory, query: budget})
		q.asked[string(message)] = a
		own, stop := context.WithCancel(ctx)
		a.stop = stop
		q.under.Go(func() {
			defer close(a.done)
			q.fetch(own, a, message)
		})
	}
	return &set{answer: a, ended: ctx.Done(), why: ctx.Err}
}

// fetch has the remote answer, and notes how it went.
func (q *querier) fetch(ctx context.Context, a *answer, message []byte) {
	err := q.guarded(ctx, a, message)
	if err == nil {
		return
	}
	a.series, a.reading = nil, reading{}
	a.room.giveBack()
	if spent, ok := errors.AsType[*budgetError](err); ok {
		a.err = spent.error
		return
	}
	if ctx.Err() != nil {
		a.err = ctx.Err()
		return
	}
	a.warnings = storage.Warnings{err}
	q.mu.Lock()
	q.failed = true
	q.mu.Unlock()
}

// guarded keeps a mistake in reading what others send from ending the server.
func (q *querier) guarded(ctx context.Context, a *answer, message []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("remote_read: reading the answer panicked: %v", p)
			q.r.storage.opts.Log.Error("reading the answer of a remote panicked", "remote_name", q.r.name, "url", q.r.url, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return q.r.ask(ctx, message, a)
}

// errNoLabels is what upstream says, too.
var errNoLabels = errors.New("not implemented")

// LabelNames says that the protocol has no such question.
func (q *querier) LabelNames(context.Context, storage.LabelHints, ...*labels.Matcher) ([]string, storage.Warnings, error) {
	return nil, storage.Warnings{errNoLabels}, nil
}

// LabelValues says that the protocol has no such question.
func (q *querier) LabelValues(context.Context, string, storage.LabelHints, ...*labels.Matcher) ([]string, storage.Warnings, error) {
	return nil, storage.Warnings{errNoLabels}, nil
}

// Close ends what is under way.
func (q *querier) Close() error {
	q.mu.Lock()
	for _, a := range q.asked {
		a.stop()
	}
	q.mu.Unlock()
	q.under.Wait()
	for _, a := range q.asked {
		a.room.free()
	}
	return nil
}

// set hands out the series of an answer; one without an answer is empty.
type set struct {
	answer *answer
	// ended and why are of the context of the selection.
	ended <-chan struct{}
	why   func() error
	next  int
	err   error
}

// Next waits for the answer as a whole.
func (s *set) Next() bool {
	if s.answer == nil || s.err != nil {
		return false
	}
	select {
	case <-s.answer.done:
	case <-s.ended:
		s.err = s.why()
		return false
	}
	if s.err = s.answer.err; s.err != nil || s.next == len(s.answer.series) {
		return false
	}
	s.next++
	return true
}

// At returns the current series.
func (s *set) At() storage.Series { return s.answer.series[s.next-1] }

// Err returns why the query cannot go on.
func (s *set) Err() error { return s.err }

// Warnings returns why the remote has no part in the result.
func (s *set) Warnings() storage.Warnings {
	if s.answer == nil || s.err != nil {
		return nil
	}
	select {
	case <-s.answer.done:
		return s.answer.warnings
	default: // Nobody has waited for it.
		return nil
	}
}
