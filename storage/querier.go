package storage

import (
	"context"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
)

// Queryable is what can be read from.
type Queryable interface {
	// Querier returns a snapshot of the samples in [mint, maxt]. The caller closes it.
	Querier(mint, maxt int64) (Querier, error)
}

// Querier is a snapshot: each batch that was committed before it was made is visible as a whole, later ones not at
// all. It is safe for use by several goroutines until it is closed, which must come after all use of what it handed
// out.
type Querier interface {
	LabelQuerier
	// Select returns the series that all matchers select and that may have samples in the time range of the hints
	// (or of the querier, if hints is nil). With sorted, they come in the order of [labels.Compare]. Failures show
	// in the set's Err.
	Select(ctx context.Context, sorted bool, hints *SelectHints, matchers ...*labels.Matcher) SeriesSet
	// Close releases the snapshot.
	Close() error
}

// LabelQuerier answers questions about labels of the series that may have samples in the querier's range.
type LabelQuerier interface {
	// LabelNames returns the names that occur in the selected series, sorted, all series being selected without
	// matchers.
	LabelNames(ctx context.Context, hints LabelHints, matchers ...*labels.Matcher) ([]string, Warnings, error)
	// LabelValues returns the values of a name in the selected series, sorted.
	LabelValues(ctx context.Context, name string, hints LabelHints, matchers ...*labels.Matcher) ([]string, Warnings, error)
}

// Warnings are problems that left a result incomplete.
type Warnings []error

// LabelHints narrow a question about labels.
type LabelHints struct {
	// Limit is the number of answers that the caller can use; zero means all. A storage may return more.
	Limit int
}

// SelectHints tell a storage what the caller will do with the series, so that it can leave out work. A storage may
// ignore each of them, but for the range.
type SelectHints struct {
	// Start and End bound the samples that will be read, both included.
	Start, End int64
	// Limit is the number of series that the caller can use; zero means all.
	Limit int
	// Step is the distance between evaluations, zero for an instant query; Range the length of the window of a
	// range selector, zero if there is none. Both in milliseconds.
	Step, Range int64
	// Func is the function or aggregation that consumes the series.
	Func string
	// Grouping are the labels of the consuming aggregation, sorted; By says how to read them.
	Grouping []string
	By       bool
	// ProjectionLabels are, if Projection is set, all labels that will be read, sorted; series may come without the
	// others.
	Projection       bool
	ProjectionLabels []string
	// Latest says that of each series nothing but the latest sample in the range will be used, so that those before it may
	// be left out.
	Latest bool
	// SeriesOnly says that no samples will be read.
	SeriesOnly bool
	// Budget, if not nil, is told of the memory that the answer takes, by storages that have it made for the caller alone.
	Budget Budget
}

// Budget bounds the memory of a query.
type Budget interface {
	// Hold counts bytes, which a negative number gives back; the rest is given back when the query ends. An error says that it
	// must end now. It may be called by several goroutines.
	Hold(bytes int64) error
}

// SeriesSet iterates over series. It belongs to one goroutine; the series that it hands out do not.
type SeriesSet interface {
	// Next goes to the next series and reports whether there is one.
	Next() bool
	// At returns the current series, which stays valid until the querier is closed.
	At() Series
	// Err returns the failure that ended the iteration, if any.
	Err() error
	// Warnings returns problems that left the set incomplete. Call it after the last Next.
	Warnings() Warnings
}

// Sized is a [SeriesSet] that knows how many series are left at most, for those who make room for them.
type Sized interface{ Size() int }

// Series is one series of a snapshot. Different series may be used by different goroutines at once.
type Series interface {
	// Labels returns the identity. It may be made on demand: call it once.
	Labels() labels.Labels
	// Samples returns a reader over the samples in the hinted range. A reader of the same storage that is not needed
	// any more can be handed in for reuse; nil is fine.
	Samples(reuse ColumnReader) ColumnReader
}

// Columns are samples of one series side by side, in ascending order of time, in memory that the caller owns.
type Columns struct {
	// T are the timestamps.
	T []int64
	// F are the float values: len(F) == len(T). F[i] has no meaning where H[i] is set.
	F []float64
	// H is empty if none of the samples is a histogram; else len(H) == len(T), nil for floats. The histograms may be
	// shared: do not change them. How long they are valid is up to Lent.
	H []*histogram.FloatHistogram
	// ST is empty if none of the samples has a start timestamp; else len(ST) == len(T), zero for none.
	ST []int64
	// Lent is nil in columns whose histograms stay valid for good. If the caller sets it, to an arena of its own that is
	// reusable, readers may take the memory of histograms and of their buckets from it: these are valid until the next
	// Reset, and whoever keeps one copies it ([histogram.Arena.Copy]). Spans and custom values never come from there: they
	// stay valid, and copies may share them. A reader keeps nothing that it has taken from it, and never resets it.
	Lent *histogram.Arena
}

// Reset empties the columns and keeps their memory, which includes that of the histograms if it is lent.
func (c *Columns) Reset() {
	if c.Lent != nil {
		c.Lent.Reset()
	}
	clear(c.H)
	c.T, c.F, c.H, c.ST = c.T[:0], c.F[:0], c.H[:0], c.ST[:0]
}

// Len returns the number of samples.
func (c *Columns) Len() int { return len(c.T) }

// Append adds a sample; h is nil for a float.
func (c *Columns) Append(t int64, f float64, h *histogram.FloatHistogram) {
	if h != nil && len(c.H) == 0 {
		c.H = append(c.H, make([]*histogram.FloatHistogram, len(c.T))...)
	}
	c.T = append(c.T, t)
	c.F = append(c.F, f)
	if h != nil || len(c.H) > 0 {
		c.H = append(c.H, h)
	}
	if len(c.ST) > 0 {
		c.ST = append(c.ST, 0)
	}
}

// AppendST adds a sample with a start timestamp.
func (c *Columns) AppendST(t, st int64, f float64, h *histogram.FloatHistogram) {
	c.Append(t, f, h)
	if st == 0 {
		return
	}
	for len(c.ST) < len(c.T) {
		c.ST = append(c.ST, 0)
	}
	c.ST[len(c.T)-1] = st
}

// ForgetReset makes sample number i, if it is a histogram, say nothing about whether the counter was reset since the one before
// it: that may be another one than the writer knew. What a gauge says stays.
func (c *Columns) ForgetReset(i int) {
	if i < len(c.H) {
		c.H[i] = histogram.ForgetReset(c.H[i])
	}
}

// ColumnReader reads the samples of one series, a chunk or so at a time: never one dynamic call a sample.
type ColumnReader interface {
	// Read appends the next run of samples to dst and reports whether it appended any; false means that the samples
	// are exhausted or that reading failed, which Err tells. Stale markers are samples like others. Each timestamp
	// occurs once.
	Read(dst *Columns) bool
	// Err returns the failure that ended reading, if any.
	Err() error
}
