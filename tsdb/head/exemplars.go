package head

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// maxExemplarLabels is the number of characters that the labels of an exemplar may have, as OpenMetrics says.
const maxExemplarLabels = 128

// exemplarRing holds the latest exemplars of all series in the order in which they came; a new one takes the place of
// the oldest. Those of one series are chained in order of time.
type exemplarRing struct {
	mu sync.RWMutex
	// size is how many all may hold, zero to take none; next is the place of the oldest once it is full.
	size, next int
	all        []heldExemplar
	series     map[uint32]*exemplarSeries
	// window is how far in milliseconds an exemplar may come behind the newest of its series.
	window int64

	appended, outOfOrder prometheus.Counter
}

type heldExemplar struct {
	sample.Exemplar
	id uint32
	// before and after are places in the ring, noPlace at the ends.
	before, after int32
}

const noPlace = -1

// exemplarSeries are the ends of a chain. The labels stay when the head forgets the series.
type exemplarSeries struct {
	labels         labels.Labels
	oldest, newest int32
}

// errDuplicateExemplar says that the newest exemplar came again.
var errDuplicateExemplar = errors.New("same exemplar")

// SetMaxExemplars changes how many exemplars are kept, zero for none. When there are more, the oldest go.
func (h *Head) SetMaxExemplars(n int) { h.exemplars.resize(max(n, 0)) }

func (r *exemplarRing) enabled() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.size > 0
}

func (r *exemplarRing) resize(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == r.size {
		return
	}
	old := slices.Concat(r.all[r.next:], r.all[:r.next])
	old = old[max(0, len(old)-n):]
	series := r.series
	r.size, r.next, r.all, r.series = n, 0, nil, map[uint32]*exemplarSeries{}
	for i := range old {
		r.put(old[i].id, old[i].Exemplar, func() labels.Labels { return series[old[i].id].labels })
	}
}

// check returns why an exemplar can't be taken.
func (r *exemplarRing) check(id uint32, e *sample.Exemplar) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.refuse(id, e)
}

// refuse is check under the lock.
func (r *exemplarRing) refuse(id uint32, e *sample.Exemplar) error {
	length := 0
	for name, value := range e.Labels.All() {
		length += utf8.RuneCountInString(name) + utf8.RuneCountInString(value)
	}
	if length > maxExemplarLabels {
		return storage.ErrExemplarLabelLength
	}
	s := r.series[id]
	if s == nil {
		return nil
	}
	switch newest := &r.all[s.newest].Exemplar; {
	// A target that gives no times shows the same exemplar at each scrape.
	case (newest.T == e.T || !newest.HasT && !e.HasT) && math.Float64bits(newest.Value) == math.Float64bits(e.Value) && labels.Equal(newest.Labels, e.Labels):
		return errDuplicateExemplar
	case e.T < newest.T && e.T <= newest.T-r.window, e.T == newest.T && e.Value < newest.Value,
		e.T == newest.T && e.Value == newest.Value && labels.Compare(e.Labels, newest.Labels) < 0:
		return storage.ErrOutOfOrderExemplar
	}
	return nil
}

// forgetHasT marks all exemplars as without a time of their own. The log doesn't tell, and a target that gives none shows
// the same exemplar again after a restart.
func (r *exemplarRing) forgetHasT() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.all {
		r.all[i].HasT = false
	}
}

// add takes an exemplar, unless another batch left no place for it. labelsOf is asked for the labels of a series that
// has no exemplar yet.
func (r *exemplarRing) add(id uint32, e sample.Exemplar, labelsOf func() labels.Labels) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size == 0 {
		return
	}
	if err := r.refuse(id, &e); err != nil {
		if errors.Is(err, storage.ErrOutOfOrderExemplar) {
			r.outOfOrder.Inc()
		}
		return
	}
	if s := r.series[id]; s != nil && e.T < r.all[s.newest].T {
		if at := r.upTo(s, e.T); at != noPlace && r.all[at].T == e.T {
			return // One that comes late and has the time of another counts as the same.
		}
	}
	r.put(id, e, labelsOf)
	r.appended.Inc()
}

// put stores an exemplar in the place of the oldest.
func (r *exemplarRing) put(id uint32, e sample.Exemplar, labelsOf func() labels.Labels) {
	s := r.series[id]
	if s == nil {
		s = &exemplarSeries{labels: labelsOf(), oldest: noPlace, newest: noPlace}
	}
	place := int32(len(r.all))
	if len(r.all) < r.size {
		r.all = append(r.all, heldExemplar{})
	} else {
		place = int32(r.next)
		r.next = (r.next + 1) % r.size
		r.drop(place)
	}
	r.series[id] = s // It may have lost its last one just now.
	held := heldExemplar{Exemplar: e, id: id, before: r.upTo(s, e.T), after: s.oldest}
	if held.before != noPlace {
		held.after = r.all[held.before].after
		r.all[held.before].after = place
	} else {
		s.oldest = place
	}
	if held.after != noPlace {
		r.all[held.after].before = place
	} else {
		s.newest = place
	}
	r.all[place] = held
}

// upTo returns the place of the newest exemplar of a series that does not come after t.
func (r *exemplarRing) upTo(s *exemplarSeries, t int64) int32 {
	at := s.newest
	for at != noPlace && r.all[at].T > t {
		at = r.all[at].before
	}
	return at
}

// drop takes what is at a place out of its chain.
func (r *exemplarRing) drop(place int32) {
	e := &r.all[place]
	s := r.series[e.id]
	if e.before != noPlace {
		r.all[e.before].after = e.after
	} else {
		s.oldest = e.after
	}
	if e.after != noPlace {
		r.all[e.after].before = e.before
	} else {
		s.newest = e.before
	}
	if s.oldest == noPlace {
		delete(r.series, e.id)
	}
}

// Exemplars implements [storage.ExemplarQueryable].
func (h *Head) Exemplars(ctx context.Context, mint, maxt int64, matchers ...[]*labels.Matcher) ([]storage.SeriesExemplars, error) {
	if h.closed.Load() {
		return nil, ErrClosed
	}
	r := &h.exemplars
	var found []storage.SeriesExemplars
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.series {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("select exemplars: %w", ctx.Err())
		}
		if !slices.ContainsFunc(matchers, func(ms []*labels.Matcher) bool { return labels.MatchesLabels(s.labels, ms...) }) {
			continue
		}
		one := storage.SeriesExemplars{Labels: s.labels}
		for at := s.oldest; at != noPlace && r.all[at].T <= maxt; at = r.all[at].after {
			if r.all[at].T >= mint {
				one.Exemplars = append(one.Exemplars, r.all[at].Exemplar)
			}
		}
		if len(one.Exemplars) > 0 {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b storage.SeriesExemplars) int { return labels.Compare(a.Labels, b.Labels) })
	return joinSeries(found), nil
}

// joinSeries makes one of neighbours with the same labels: a series that the head forgot and met again.
func joinSeries(all []storage.SeriesExemplars) []storage.SeriesExemplars {
	joined := all[:0]
	for _, s := range all {
		if n := len(joined) - 1; n >= 0 && labels.Equal(joined[n].Labels, s.Labels) {
			joined[n].Exemplars = append(joined[n].Exemplars, s.Exemplars...)
			slices.SortStableFunc(joined[n].Exemplars, func(a, b sample.Exemplar) int { return cmp.Compare(a.T, b.T) })
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// stagedExemplar is one of a batch.
type stagedExemplar struct {
	id uint32
	sample.Exemplar
}

// stageExemplars takes the exemplars of an entry and returns the reason why one was refused. Without room for any they
// are left out silently, as upstream does.
func (a *appender) stageExemplars(id uint32, all []sample.Exemplar) (refused error) {
	r := &a.h.exemplars
	if !r.enabled() {
		return nil
	}
	for i := range all {
		err := r.check(id, &all[i])
		switch {
		case err == nil:
			a.exemplars = append(a.exemplars, stagedExemplar{id, all[i]})
		case errors.Is(err, errDuplicateExemplar):
		default:
			if errors.Is(err, storage.ErrOutOfOrderExemplar) {
				r.outOfOrder.Inc()
			}
			refused = cmp.Or(refused, err)
		}
	}
	return refused
}

// walExemplars makes the log's entries. The caller holds the index's lock.
func (a *appender) walExemplars() []wal.Exemplar {
	all := make([]wal.Exemplar, 0, len(a.exemplars))
	for k := range a.exemplars {
		e := &a.exemplars[k]
		if p, i := a.h.index.at(e.id); p != nil {
			all = append(all, wal.Exemplar{Ref: p.slots[i].ref, T: e.T, V: e.Value, Labels: e.Labels})
		}
	}
	return all
}

// showExemplars moves the batch's exemplars to the ring.
func (a *appender) showExemplars() {
	for k := range a.exemplars {
		e := &a.exemplars[k]
		if !a.h.index.has(e.id) {
			continue // No sample came with it that would have kept the series.
		}
		a.h.exemplars.add(e.id, e.Exemplar, func() labels.Labels { return a.h.index.labels(e.id) })
	}
}
