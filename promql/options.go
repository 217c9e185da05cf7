package promql

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options configure an [Engine]. The zero value has the defaults of Prometheus.
type Options struct {
	// Logger receives panics of queries; nil discards them.
	Logger *slog.Logger
	// Registerer receives the engine's metrics; nil registers none.
	Registerer prometheus.Registerer
	// Timeout bounds the time of a query, its wait for a place included. Zero means 2 minutes.
	Timeout time.Duration
	// MaxSamples bounds the samples that one query may hold in memory. Zero means 50 million.
	MaxSamples int
	// MaxBytes bounds the memory, in bytes, that one query may hold for series, rows and its result. Zero means 4 GiB.
	MaxBytes int64
	// MaxTotalBytes bounds the memory, in bytes, of all queries that run at the same time. When it is exceeded, queries
	// that hold more than their share fail. Zero means no bound.
	MaxTotalBytes int64
	// MaxConcurrency is the number of queries that run at the same time; others wait. Zero means 20.
	MaxConcurrency int
	// Parallelism is the number of goroutines that one query may use. Zero means GOMAXPROCS.
	Parallelism int
	// LookbackDelta is how old a sample may be to count as current. Zero means 5 minutes.
	LookbackDelta time.Duration
	// NoStepSubqueryInterval returns the step, in milliseconds, of a subquery over rangeMillis that does not name its step.
	// Nil means 1 minute for all.
	NoStepSubqueryInterval func(rangeMillis int64) int64
	// EnableDelayedNameRemoval keeps metric names to the end of the evaluation, so that label functions see them.
	EnableDelayedNameRemoval bool
	// EnableExperimentalFunctions allows the functions and aggregations that Prometheus calls experimental.
	EnableExperimentalFunctions bool
	// EnableExtendedRangeSelectors allows anchored and smoothed selectors.
	EnableExtendedRangeSelectors bool
	// EnablePerStepStats allows queries to ask for [SampleStats.PerStep].
	EnablePerStepStats bool
	// EnableBinopFillModifiers allows fill, fill_left and fill_right.
	EnableBinopFillModifiers bool
	// EnableTypeAndUnitLabels reads the labels __type__ and __unit__ as part of a metric's identity.
	EnableTypeAndUnitLabels bool
	// EnableStartTimestamps lets rates see the start timestamps of samples.
	EnableStartTimestamps bool
}

// QueryOptions are the settings of one query. The zero value means those of the engine.
type QueryOptions struct {
	// LookbackDelta replaces that of the engine, if not zero.
	LookbackDelta time.Duration
	// Limit cuts the result to that many series, with a warning; zero means all.
	Limit int
	// PerStepStats asks for [SampleStats.PerStep], where the engine has that enabled.
	PerStepStats bool
	// Origin says where the query comes from.
	Origin Origin
}

// The defaults are those of Prometheus, which does not bound the bytes.
const (
	defaultTimeout        = 2 * time.Minute
	defaultMaxSamples     = 50_000_000
	defaultMaxBytes       = 4 << 30
	defaultMaxConcurrency = 20
	defaultLookback       = 5 * time.Minute
	defaultSubqueryStep   = time.Minute
)
