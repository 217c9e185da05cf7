package storagetest

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// Store is a storage in memory. It rejects samples out of order, takes histograms as they are and forgets nothing. Where
// readers lend memory for histograms, it uses it, and has it spoiled when they take it back: whoever keeps a histogram
// for too long finds it broken. The zero value is not usable: call [NewStore].
type Store struct {
	mu    sync.Mutex
	share bool
	// series by reference less one, whether they have samples or not; refs finds them by [labels.Labels.AppendKey].
	series []*series
	refs   map[string]storage.SeriesRef
	// visible is what queriers see: series with samples, in label order. It is replaced, never changed.
	visible []*snapshot
}

// series is the writers' side of a series.
type series struct {
	ls labels.Labels
	// cols only grow; a snapshot holds slices of the same memory that end earlier.
	cols storage.Columns
}

// snapshot is the readers' side of a series: immutable.
type snapshot struct {
	ls   labels.Labels
	cols storage.Columns
}

// NewStore returns an empty store.
func NewStore() *Store { return &Store{refs: map[string]storage.SeriesRef{}} }

// ShareHistograms makes readers hand out the histograms that the store has, also where they are lent memory for them, as
// benchmarks want it. Call it before anything else.
func (s *Store) ShareHistograms() { s.share = true }

// Appender starts a batch.
func (s *Store) Appender() storage.Appender { return &appender{store: s, last: map[*series]staged{}} }

// Querier returns a snapshot.
func (s *Store) Querier(mint, maxt int64) (storage.Querier, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &querier{mint: mint, maxt: maxt, series: s.visible, share: s.share}, nil
}

// Reset forgets everything; snapshots that were made before stay as they are.
func (s *Store) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.series, s.visible = nil, nil
	clear(s.refs)
}

// find returns the series of an entry, which it makes if it can.
func (s *Store) find(e *storage.Entry) (sr *series, ref storage.SeriesRef, created bool, err error) {
	if e.Ref > 0 && int(e.Ref) <= len(s.series) {
		return s.series[e.Ref-1], e.Ref, false, nil
	}
	if e.Labels.IsEmpty() {
		return nil, 0, false, storage.ErrUnknownSeries
	}
	key := string(e.Labels.AppendKey(nil))
	if ref, ok := s.refs[key]; ok {
		return s.series[ref-1], ref, false, nil
	}
	if e.NoSample {
		return nil, 0, false, storage.ErrUnknownSeries
	}
	sr = &series{ls: e.Labels}
	s.series = append(s.series, sr)
	ref = storage.SeriesRef(len(s.series))
	s.refs[key] = ref
	return sr, ref, true, nil
}

// publish replaces what queriers see of the given series.
func (s *Store) publish(changed []*series) {
	byLabels := func(a, b *snapshot) int { return labels.Compare(a.ls, b.ls) }
	next := slices.Clone(s.visible)
	for _, sr := range changed {
		snap := &snapshot{ls: sr.ls, cols: sr.cols}
		if i, found := slices.BinarySearchFunc(next[:len(s.visible)], snap, byLabels); found {
			next[i] = snap
		} else {
			next = append(next, snap)
		}
	}
	slices.SortFunc(next, byLabels)
	s.visible = next
}

var errDead = errors.New("appender was committed or rolled back")

// staged is a sample of a batch, or the newest sample of a series as the batch sees it.
type staged struct {
	series *series
	t, st  int64
	f      float64
	h      *histogram.FloatHistogram
}

type appender struct {
	store   *Store
	samples []staged
	// last is the newest sample that the batch holds for a series.
	last map[*series]staged
	dead bool
}

func (a *appender) Append(ctx context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	if a.dead {
		return errDead
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	for i := range entries {
		outcomes[i] = a.stage(&entries[i])
	}
	return nil
}

func (a *appender) stage(e *storage.Entry) (out storage.Outcome) {
	sr, ref, created, err := a.store.find(e)
	out = storage.Outcome{Ref: ref, Created: created, Err: err}
	if err != nil {
		return out
	}
	if e.NoSample {
		return out
	}
	s := staged{series: sr, t: e.T, st: e.ST, f: e.V, h: e.FloatHistogram}
	if e.Histogram != nil {
		s.h = e.Histogram.ToFloat()
	}
	last, ok := a.last[sr]
	if n := sr.cols.Len(); !ok && n > 0 {
		last, ok = newest(sr), true
	}
	if s.h == nil && last.h != nil && sample.IsStale(s.f) {
		s.f, s.h = 0, &histogram.FloatHistogram{Sum: s.f}
	}
	if out.Err = order(last, ok, s); out.Err != nil || ok && last.t == s.t {
		return out
	}
	a.last[sr] = s
	a.samples = append(a.samples, s)
	return out
}

func newest(sr *series) staged {
	n := sr.cols.Len() - 1
	s := staged{series: sr, t: sr.cols.T[n], f: sr.cols.F[n]}
	if len(sr.cols.H) > 0 {
		s.h = sr.cols.H[n]
	}
	return s
}

// order tells whether s may follow last, of which there is one if ok is set.
func order(last staged, ok bool, s staged) error {
	switch {
	case !ok || s.t > last.t:
		return nil
	case s.t < last.t:
		return storage.ErrOutOfOrder
	case (s.h == nil) != (last.h == nil), s.h == nil && math.Float64bits(s.f) != math.Float64bits(last.f), s.h != nil && !s.h.Equal(last.h):
		return storage.ErrDuplicate
	}
	return nil
}

func (a *appender) Commit(ctx context.Context) error {
	if a.dead {
		return errDead
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	a.dead = true
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	changed := map[*series]bool{}
	for _, s := range a.samples {
		cols := &s.series.cols
		if n := cols.Len(); n > 0 && cols.T[n-1] >= s.t {
			continue // Another batch was faster.
		}
		cols.AppendST(s.t, s.st, s.f, s.h)
		changed[s.series] = true
	}
	list := make([]*series, 0, len(changed))
	for _, sr := range a.store.series {
		if changed[sr] {
			list = append(list, sr)
		}
	}
	slices.SortFunc(list, func(x, y *series) int { return labels.Compare(x.ls, y.ls) })
	a.store.publish(list)
	return nil
}

func (a *appender) Rollback() error {
	if a.dead {
		return errDead
	}
	a.dead = true
	return nil
}

// timeRange returns the indexes of the samples in [mint, maxt].
func timeRange(ts []int64, mint, maxt int64) (lo, hi int) {
	lo, _ = slices.BinarySearch(ts, mint)
	hi, found := slices.BinarySearch(ts, maxt)
	if found {
		hi++
	}
	return lo, max(lo, hi)
}
