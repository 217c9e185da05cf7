package query

import (
	"fmt"
	"sync/atomic"

	"github.com/narthex-io/narthex/storage"
)

// shared bounds the memory of all answers together.
type shared struct {
	max  int64
	held atomic.Int64
}

// room counts the memory that the answers to one selection take.
type room struct {
	all *shared
	// query is what the query may hold; nil means that nobody counts that.
	query storage.Budget
	held  int64
}

// budgetError says that the query, not the remote, is what has to end.
type budgetError struct{ error }

func (e *budgetError) Unwrap() error { return e.error }

// hold counts bytes, before they are taken where that is possible. A negative number gives some back.
func (m *room) hold(n int) error {
	m.held += int64(n)
	all := m.all.held.Add(int64(n))
	if m.query != nil {
		if err := m.query.Hold(int64(n)); err != nil {
			return &budgetError{err}
		}
	}
	if m.all.max > 0 && all > m.all.max && n > 0 {
		return fmt.Errorf("what remote servers answer takes more than %d bytes: ask for less", m.all.max)
	}
	return nil
}

// giveBack gives back everything, also to the query, which goes on.
func (m *room) giveBack() {
	_ = m.hold(-int(m.held)) // To hold less does not fail, unless the query is at its end anyway.
}

// free gives back everything, as far as it is not the query's to do so at its end.
func (m *room) free() {
	m.all.held.Add(-m.held)
	m.held = 0
}
