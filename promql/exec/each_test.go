package exec

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/promql/plan"
)

// numbered has rows whose values are their numbers; at fail it returns an error, or panics without one.
type numbered struct {
	n    int
	fail int
	err  error
}

func (o *numbered) series() []series { return make([]series, o.n) }

func (o *numbered) row(_ context.Context, _ *worker, i int, dst *row) error {
	if o.fail == i {
		if o.err == nil {
			panic("boom")
		}
		return o.err
	}
	dst.reset(1)
	dst.F[0] = float64(i)
	return nil
}

func TestEachKeepsTheOrder(t *testing.T) {
	for _, parallelism := range []int{1, 2, 7} {
		q := &query{Usage: &Usage{}, Env: Env{Pool: &Pool{}, Parallelism: parallelism}}
		next := 0
		err := q.each(t.Context(), &numbered{n: 10_000, fail: -1}, plan.NewGrid(0, 0, 0), func(i int, r *row) error {
			if i != next || r.F[0] != float64(i) {
				t.Fatalf("parallelism %d: row %d with value %v comes as number %d", parallelism, i, r.F[0], next)
			}
			next++
			return nil
		})
		if err != nil || next != 10_000 {
			t.Errorf("parallelism %d: %d rows, %v", parallelism, next, err)
		}
	}
}

func TestEachStopsAtErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, parallelism := range []int{1, 4} {
		q := &query{Usage: &Usage{}, Env: Env{Pool: &Pool{}, Parallelism: parallelism}}
		g := plan.NewGrid(0, 0, 0)
		if err := q.each(t.Context(), &numbered{n: 1000, fail: 500, err: broken}, g, func(int, *row) error { return nil }); !errors.Is(err, broken) {
			t.Errorf("parallelism %d: error of a row came as %v", parallelism, err)
		}
		if err := q.each(t.Context(), &numbered{n: 1000, fail: -1}, g, func(i int, _ *row) error {
			if i == 700 {
				return broken
			}
			return nil
		}); !errors.Is(err, broken) {
			t.Errorf("parallelism %d: error of the fold came as %v", parallelism, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.each(ctx, &numbered{n: 1000, fail: -1}, g, func(int, *row) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("parallelism %d: cancelled, got %v", parallelism, err)
		}
	}
}

func TestEachTurnsPanicsIntoErrors(t *testing.T) {
	q := &query{Usage: &Usage{}, Env: Env{Pool: &Pool{}, Parallelism: 4}}
	g := plan.NewGrid(0, 0, 0)
	err := q.each(t.Context(), &numbered{n: 1000, fail: 500}, g, func(int, *row) error { return nil })
	if bug, ok := errors.AsType[*PanicError](err); !ok || !strings.Contains(string(bug.Stack), "numbered") {
		t.Errorf("panic of a row came as %v", err)
	}
	err = q.each(t.Context(), &numbered{n: 1000, fail: -1}, g, func(i int, _ *row) error {
		if i == 300 {
			panic("boom")
		}
		return nil
	})
	if _, ok := errors.AsType[*PanicError](err); !ok {
		t.Errorf("panic of the fold came as %v", err)
	}
}
