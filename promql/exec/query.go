package exec

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/plan"
	"github.com/narthex-io/narthex/storage"
)

// StorageError means that the storage failed to deliver.
type StorageError struct{ Err error }

// Error returns the text of the failure with what was attempted.
func (e *StorageError) Error() string { return "expanding series: " + e.Err.Error() }

// Unwrap returns the failure.
func (e *StorageError) Unwrap() error { return e.Err }

// Env is what a plan is evaluated with.
type Env struct {
	Querier storage.Querier
	// Grid is the steps of the query.
	Grid plan.Grid
	// Lookback is how old a sample may be, in milliseconds.
	Lookback int64
	// MaxSamples bounds the samples in memory, MaxBytes the memory; zero means no bound.
	MaxSamples, MaxBytes int64
	// Usage, if not nil, is where the query counts what it does.
	Usage *Usage
	// Probes, if not nil, measure the operators.
	Probes *Probes
	// Pool lends memory; nil stands for a new one.
	Pool *Pool
	// Parallelism is the number of goroutines to use, at least 1.
	Parallelism int
	// DelayNameRemoval keeps metric names to the end.
	DelayNameRemoval bool
	// TypeAndUnitLabels treats __type__ and __unit__ as parts of the metric name.
	TypeAndUnitLabels bool
	// StartTimestamps lets rates see the start timestamps of samples.
	StartTimestamps bool
	// PerStep asks for the samples of each step.
	PerStep bool
}

// Stats count the samples that a query touched.
type Stats struct {
	// Total counts the samples of all windows and look-ups, Read those of them that the step before had not seen. Peak is
	// the most that were held at a time.
	Total, Read, Peak int64
	// PerStep and ReadPerStep split Total and Read by the steps of the query, if that was asked for.
	PerStep, ReadPerStep []int64
}

// query is the state that the operators of a query share.
type query struct {
	Env
	*Usage
	probing
	reads           reads
	selections      []*selection
	notes           Annotations
	storageWarnings []error
	// perStep and readPerStep split the statistics, if that is asked for; tally is that of what is being built.
	perStep, readPerStep []atomic.Int64
	tally                *tally
}

// operator yields rows.
type operator interface {
	// series returns the identities of all rows. They differ from each other unless stated otherwise.
	series() []series
	// row calculates the values of the i-th series into dst, which it resets. It may be called by several goroutines,
	// each with a worker of its own, and several times for the same series.
	row(ctx context.Context, w *worker, i int, dst *row) error
}

// build makes the operator of a node of type vector.
func (q *query) build(ctx context.Context, n plan.Node, g plan.Grid) (operator, error) {
	if err := q.begin(ctx, g); err != nil {
		return nil, err
	}
	if q.Probes != nil {
		return q.measured(n, func() (operator, error) { return q.operatorOf(ctx, n, g) })
	}
	return q.operatorOf(ctx, n, g)
}

func (q *query) operatorOf(ctx context.Context, n plan.Node, g plan.Grid) (operator, error) {
	switch n := n.(type) {
	case *plan.Selector:
		return q.buildSelector(ctx, n, g)
	case *plan.Window:
		return q.buildWindow(ctx, n, g)
	case *plan.Call:
		return q.buildCall(ctx, n, g)
	case *plan.Info:
		return q.buildInfo(ctx, n, g)
	case *plan.Aggregate:
		return q.buildAggregate(ctx, n, g)
	case *plan.Binary:
		return q.buildBinary(ctx, n, g)
	case *plan.Negate:
		return q.buildNegate(ctx, n, g)
	case *plan.StepInvariant:
		return q.buildInvariant(ctx, n, g)
	default:
		return nil, fmt.Errorf("no operator for a plan of type %T", n)
	}
}

// errNoOperator is the error for a function that the parser knows, but no table here.
func errNoOperator(function string) error { return fmt.Errorf("no operator for function %s", function) }

// metricName returns the name that annotations give to a series.
func metricName(s *series) string { return s.labels.Get(labels.MetricName) }
