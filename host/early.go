package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"unsafe"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// maxEarlyBytes bounds the batches that wait for the storage to open, by what they hold in memory.
const maxEarlyBytes = 128 << 20

// errEarlyFull is what committing fails with when too many batches wait.
var errEarlyFull = fmt.Errorf("the storage is not open yet, and %d MiB of samples wait for it already", maxEarlyBytes>>20)

// early keeps batches that come while the storage is opening, which reads the write-ahead log and can take a while, so that
// scraping need not wait: they are stored with their own times, in their order, before anything that comes afterwards. Until
// then they are in memory alone. The gate's mutex guards it.
type early struct {
	batches [][]earlySample
	series  map[uint64]labels.Labels // by hash, so that each is held once
	bytes   int
}

// earlySample is a sample that waits. Most have nothing but a value, and no rest.
type earlySample struct {
	labels labels.Labels
	t      int64
	v      float64
	rest   *storage.Entry
}

// add takes a batch, unless there are too many.
func (e *early) add(batch []earlySample) error {
	if e.series == nil {
		e.series = map[uint64]labels.Labels{}
	}
	size := 0
	for i := range batch {
		waiting := &batch[i]
		size += int(unsafe.Sizeof(*waiting))
		if waiting.rest != nil {
			size += int(unsafe.Sizeof(*waiting.rest))
		}
		hash := waiting.labels.Hash()
		if known, ok := e.series[hash]; !ok {
			e.series[hash] = waiting.labels
			size += waiting.labels.ByteSize()
		} else if labels.Compare(known, waiting.labels) == 0 {
			waiting.labels = known
		}
	}
	if e.bytes+size > maxEarlyBytes {
		return errEarlyFull
	}
	e.bytes += size
	e.batches = append(e.batches, batch)
	return nil
}

// take returns the batches that wait.
func (e *early) take() [][]earlySample {
	taken := e.batches
	*e = early{}
	return taken
}

// storeEarly stores batches that waited, and returns how many samples were taken and how many were not.
func storeEarly(ctx context.Context, to storage.Appendable, batches [][]earlySample, log *slog.Logger) (stored, rejected int) {
	for i, b := range batches {
		taken, err := storeBatch(ctx, to, b)
		if err != nil {
			log.Error("samples that were scraped while the storage was opening are lost", "samples", len(b), "err", err)
			continue
		}
		stored, rejected = stored+taken, rejected+len(b)-taken
		batches[i] = nil
	}
	return stored, rejected
}

// storeBatch stores one batch and returns how many samples of it were taken.
func storeBatch(ctx context.Context, to storage.Appendable, batch []earlySample) (taken int, err error) {
	const piece = 1024
	app := to.Appender()
	entries, outcomes := make([]storage.Entry, 0, piece), make([]storage.Outcome, piece)
	for part := range slices.Chunk(batch, piece) {
		entries = entries[:0]
		for i := range part {
			if s := &part[i]; s.rest != nil {
				entries = append(entries, *s.rest)
			} else {
				entries = append(entries, storage.Entry{Labels: s.labels, T: s.t, V: s.v})
			}
		}
		clear(outcomes)
		if err := app.Append(ctx, entries, outcomes[:len(entries)]); err != nil {
			return 0, errors.Join(err, app.Rollback())
		}
		for i := range entries {
			if outcomes[i].Err == nil {
				taken++
			}
		}
	}
	return taken, app.Commit(ctx)
}

// earlyAppender stages a batch for a storage that is not open yet. It knows no references, so that callers bring labels.
type earlyAppender struct {
	gate  *gate
	batch []earlySample
}

// Append stages entries.
func (a *earlyAppender) Append(_ context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	for i := range entries {
		entry := &entries[i]
		if entry.Labels.IsEmpty() {
			outcomes[i] = storage.Outcome{Err: storage.ErrUnknownSeries}
			continue
		}
		s := earlySample{labels: entry.Labels, t: entry.T, v: entry.V}
		if !plain(entry) {
			rest := *entry
			rest.Ref, rest.Exemplars = 0, slices.Clone(entry.Exemplars)
			if rest.Metadata != nil {
				metadata := *rest.Metadata
				rest.Metadata = &metadata
			}
			s.rest = &rest
		}
		a.batch = append(a.batch, s)
	}
	return nil
}

// plain reports whether an entry is nothing but a value.
func plain(e *storage.Entry) bool {
	return e.ST == 0 && e.Histogram == nil && e.FloatHistogram == nil && len(e.Exemplars) == 0 && e.Metadata == nil && !e.InOrder && !e.NoSample
}

// Commit makes the batch wait for the storage, or stores it if that has opened meanwhile.
func (a *earlyAppender) Commit(ctx context.Context) error {
	db, err := a.gate.await(a.batch)
	if db == nil {
		return err
	}
	_, err = storeBatch(ctx, db, a.batch)
	return err
}

// Rollback drops the batch.
func (a *earlyAppender) Rollback() error { return nil }
