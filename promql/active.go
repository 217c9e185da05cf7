package promql

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/narthex-io/narthex/promql/exec"
)

// ActiveQuery is a query that runs or waits for a place.
type ActiveQuery struct {
	// ID is for [Engine.Cancel]. An engine uses each one once.
	ID    uint64
	Query string
	// Start, End and Step are the times that the query asks for; Step is zero for an instant query.
	Start, End time.Time
	Step       time.Duration
	Origin     Origin
	// Since is when the query arrived. Running is false while it waits.
	Since   time.Time
	Running bool
	// Samples and Bytes are what the query holds in memory now, SamplesRead what it has read from storage so far.
	Samples, Bytes, SamplesRead int64
}

// errByOperator is the cause of a context that [Engine.Cancel] ended.
var errByOperator = errors.New("canceled by an operator")

// activeQueries are the queries of an engine, by ID.
type activeQueries struct {
	mu   sync.Mutex
	last uint64
	all  map[uint64]*activeQuery
}

type activeQuery struct {
	ActiveQuery
	cancel context.CancelCauseFunc
	usage  *exec.Usage
}

// add adds a query and returns its ID.
func (a *activeQueries) add(r *request, cancel context.CancelCauseFunc) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	if a.all == nil {
		a.all = map[uint64]*activeQuery{}
	}
	a.all[a.last] = &activeQuery{
		ActiveQuery: ActiveQuery{
			ID: a.last, Query: r.query, Origin: r.opts.Origin, Since: time.Now(),
			Start: time.UnixMilli(r.start), End: time.UnixMilli(r.end), Step: time.Duration(r.step) * time.Millisecond,
		},
		cancel: cancel, usage: &r.usage,
	}
	return a.last
}

func (a *activeQueries) setRunning(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all[id].Running = true
}

func (a *activeQueries) remove(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, id)
}

// Active returns the queries that run or wait, the oldest first.
func (e *Engine) Active() []ActiveQuery {
	e.active.mu.Lock()
	defer e.active.mu.Unlock()
	list := make([]ActiveQuery, 0, len(e.active.all))
	for _, q := range e.active.all {
		now := q.ActiveQuery
		now.Samples, now.Bytes, now.SamplesRead = q.usage.Samples(), q.usage.Bytes(), q.usage.Decoded()
		list = append(list, now)
	}
	slices.SortFunc(list, func(a, b ActiveQuery) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Cancel ends a query, which then fails with [ErrCanceled]. It reports whether there is such a query, and does not wait
// for its end.
func (e *Engine) Cancel(id uint64) bool {
	e.active.mu.Lock()
	defer e.active.mu.Unlock()
	q, found := e.active.all[id]
	if found {
		q.cancel(errByOperator)
	}
	return found
}
