// Package storage holds the contracts between those who write and read samples and those who keep them; it contains
// no implementation. tsdb implements them durably, storagetest in memory and with a suite that checks each
// implementation against these words.
//
// Start with [Appender] for writing and [Querier] for reading. Times are milliseconds since the Unix epoch
// everywhere, and intervals are closed at both ends.
package storage

import (
	"context"
	"errors"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// Reasons for which a storage rejects an entry. They come wrapped: test with errors.Is.
var (
	// ErrOutOfOrder: the sample is older than the newest one of its series.
	ErrOutOfOrder = errors.New("out of order sample")
	// ErrDuplicate: the series has a sample with that timestamp and another value.
	ErrDuplicate = errors.New("duplicate sample for timestamp")
	// ErrOutOfBounds: the sample is older than everything the storage takes in.
	ErrOutOfBounds = errors.New("out of bounds")
	// ErrTooOld: the sample is older than the out-of-order window reaches.
	ErrTooOld = errors.New("too old sample")
	// ErrUnknownSeries: the reference is not, or no longer, valid and the entry carries no labels. Append it again
	// with labels.
	ErrUnknownSeries = errors.New("unknown series")
	// ErrInvalidHistogram: the counts, spans or bounds of a native histogram do not fit each other.
	ErrInvalidHistogram = errors.New("invalid native histogram")
	// ErrUnsupported: the storage cannot hold entries of this sort.
	ErrUnsupported = errors.New("unsupported by this storage")
	// ErrOutOfOrderExemplar and ErrDuplicateExemplar: as for samples.
	ErrOutOfOrderExemplar = errors.New("out of order exemplar")
	ErrDuplicateExemplar  = errors.New("duplicate exemplar")
	// ErrExemplarLabelLength: the names and values of an exemplar's labels have more than 128 characters.
	ErrExemplarLabelLength = errors.New("label length for exemplar exceeds 128 UTF-8 characters")
)

// SeriesRef identifies a series within a storage while it runs. Zero is no series. A reference never comes to mean
// another series; it can become unknown when the storage forgets a series.
type SeriesRef uint64

// Entry is one sample on its way into a storage.
type Entry struct {
	// Ref is the series, if the caller knows it. Labels are used when it is zero or has become unknown.
	Ref    SeriesRef
	Labels labels.Labels
	// T is the sample's time; ST, if not zero, the time at which its counting started.
	T, ST int64
	// V is the value, unless one of the histograms is set. The stale marker behind a histogram is kept as a histogram
	// with that sum.
	V              float64
	Histogram      *histogram.Histogram
	FloatHistogram *histogram.FloatHistogram
	// Exemplars and Metadata go with the series; most entries have none. Exemplars are taken if the sample is; a storage
	// that keeps none leaves them out, and one that is there already is fine.
	Exemplars []sample.Exemplar
	Metadata  *sample.Metadata
	// InOrder says that the sample is not worth being kept out of order: it is rejected if the series has a newer one.
	InOrder bool
	// NoSample says that there is no sample, and T and what goes with it mean nothing: exemplars and metadata are for a
	// series that is there. None is made for them; without one they are rejected with [ErrUnknownSeries].
	NoSample bool
}

// Outcome tells what became of an entry.
type Outcome struct {
	// Ref is the series, to be used from now on. It is set whenever the series exists, also if the sample was
	// rejected.
	Ref SeriesRef
	// Err is nil if the sample was taken, else the reason, such as [ErrOutOfOrder].
	Err error
	// ExemplarErr is the reason for which an exemplar was rejected; the sample is not affected.
	ExemplarErr error
	// Created reports that the entry made a new series.
	Created bool
}

// Appendable is what can be written to.
type Appendable interface {
	// Appender starts a batch. It never blocks for long and returns an appender also when the storage is closed,
	// whose calls then fail.
	Appender() Appender
}

// Appender takes one batch: a scrape, a request, an evaluation. A batch is staged by any number of calls of Append,
// then becomes visible to queries as a whole with Commit, durable first, or vanishes with Rollback. One of the two
// must be called, once; the appender is dead afterwards. It is for one goroutine at a time.
type Appender interface {
	// Append stages entries, in order, and writes what became of entries[i] to outcomes[i], for which the caller
	// gives the room. The storage keeps neither slice, and copies what it needs of the entries, except for
	// histograms, which it may keep: the caller leaves them alone afterwards. Rejected entries do not spoil the
	// others. An error means that the batch is lost and must be rolled back.
	Append(ctx context.Context, entries []Entry, outcomes []Outcome) error
	// Commit makes the batch durable and visible. A batch whose Commit fails is not visible.
	Commit(ctx context.Context) error
	// Rollback drops the batch. Series that it created may stay.
	Rollback() error
}
