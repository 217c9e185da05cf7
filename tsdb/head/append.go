package head

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// appender is a batch.
type appender struct {
	h *Head
	// minValid is the bound that applied when the batch began, contended the count at that time.
	minValid  int64
	contended uint64
	// newest and window are the time of the newest sample and the out-of-order window at that time.
	newest, window int64
	samples        []staged
	// lates are samples that come out of order.
	lates []staged
	// natives are the histograms among the samples.
	natives []chunk.Native
	// starts are the start timestamps, of which most batches have none.
	starts starts
	// unlogged are series that the log may not know yet, with their labels.
	unlogged []unlogged
	metadata []stagedMetadata
	// exemplars are those that the ring may take.
	exemplars []stagedExemplar
	// last leads from a series to its latest staged sample. It is made when a series comes up again.
	last map[uint32]int32
	done bool
}

type staged struct {
	t  int64
	v  float64
	id uint32
	// native is the place of a histogram in the batch's natives, plus one; zero for a float, and for one with a start
	// timestamp the place of that, negative and less one.
	native int32
}

type unlogged struct {
	id     uint32
	labels labels.Labels
}

type stagedMetadata struct {
	id uint32
	md sample.Metadata
}

// Appender starts a batch. Start timestamps are kept if the options say so.
func (h *Head) Appender() storage.Appender {
	a, ok := h.appenders.Get().(*appender)
	if !ok {
		a = &appender{h: h}
	}
	a.done = false
	a.minValid, a.contended = h.lowestValid(), h.contended.Load()
	a.newest, a.window = max(h.maxTime.Load(), h.minValid.Load()), h.window.Load()
	h.openAppenders.Add(1)
	h.metrics.appendersCreated.Inc()
	return a
}

// Append stages entries.
func (a *appender) Append(ctx context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	switch {
	case a.done:
		return fmt.Errorf("append: %w", errDone)
	case a.h.closed.Load():
		return fmt.Errorf("append: %w", ErrClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("append: %w", ctx.Err())
	case len(outcomes) < len(entries):
		return fmt.Errorf("append: room for %d outcomes of %d entries", len(outcomes), len(entries))
	}
	a.h.index.mu.RLock()
	for i := 0; i < len(entries); i++ {
		a.appendOne(&entries[i], &outcomes[i])
		i += a.appendMore(entries[i+1:], outcomes[i+1:])
	}
	a.h.index.mu.RUnlock()
	return nil
}

// appendOne stages an entry. The caller holds the index's lock for reading, which is given up while a series is made.
func (a *appender) appendOne(e *storage.Entry, out *storage.Outcome) {
	*out = storage.Outcome{}
	x := &a.h.index
	id, ok := a.resolve(e)
	if e.NoSample {
		a.annotate(id, ok, e, out)
		return
	}
	created := false
	if !ok {
		if e.Labels.IsEmpty() {
			a.h.metrics.notFound.Inc()
			out.Err = storage.ErrUnknownSeries
			return
		}
		if err := a.refuse(e); err != nil && err != errLate { //nolint:errorlint // never wrapped
			out.Err = err
			return // No series is made for nothing.
		}
		x.mu.RUnlock()
		id, created, out.Err = x.getOrCreate(e.Labels, a.h.newRef, 1)
		x.mu.RLock()
		if out.Err != nil {
			return
		}
	}
	out.Ref, out.Created = storage.SeriesRef(id)+1, created
	if created {
		a.h.metrics.seriesCreated.Inc()
	}
	if out.Err = a.stage(id, e, !ok); out.Err == nil && len(e.Exemplars) > 0 {
		out.ExemplarErr = a.stageExemplars(id, e.Exemplars)
	}
}

// appendMore stages the floats that the entries begin with, as far as each comes behind the latest staged sample, which is one of
// the same series, and returns how many there are. Fast path: requests of those who catch up have many samples of each
// series (BenchmarkAppendRun).
func (a *appender) appendMore(entries []storage.Entry, outcomes []storage.Outcome) (n int) {
	last := len(a.samples) - 1
	if last < 0 || a.samples[last].native > 0 {
		return 0
	}
	id, t := a.samples[last].id, a.samples[last].t
	ref := storage.SeriesRef(id) + 1
	for n < len(entries) {
		e := &entries[n]
		if e.Ref != ref || e.T <= t || e.NoSample || e.Histogram != nil || e.FloatHistogram != nil || len(e.Exemplars) > 0 {
			break
		}
		if e.Metadata != nil || e.ST != 0 {
			a.take(e, id, chunk.Native{}, false, true) // The sample before saw to the labels.
		} else {
			a.samples = append(a.samples, staged{t: e.T, v: e.V, id: id})
		}
		outcomes[n] = storage.Outcome{Ref: ref}
		t = e.T
		n++
	}
	if n > 0 {
		if a.last != nil {
			a.last[id] = int32(len(a.samples) - 1)
		}
		p, i := a.h.index.at(id)
		p.mu.Lock()
		p.slots[i].pending += uint32(n)
		p.mu.Unlock()
	}
	return n
}

// annotate takes what an entry without a sample has for the series, if there is one.
func (a *appender) annotate(id uint32, ok bool, e *storage.Entry, out *storage.Outcome) {
	if !ok {
		out.Err = storage.ErrUnknownSeries
		return
	}
	out.Ref = storage.SeriesRef(id) + 1
	if len(e.Exemplars) > 0 {
		out.ExemplarErr = a.stageExemplars(id, e.Exemplars)
	}
	if e.Metadata != nil {
		a.stageMetadata(id, e.Metadata)
	}
}

// resolve finds the series of an entry that exists. The caller holds the index's lock.
func (a *appender) resolve(e *storage.Entry) (uint32, bool) {
	x := &a.h.index
	if e.Ref != 0 && e.Ref <= math.MaxUint32 {
		id := uint32(e.Ref - 1)
		if p, _ := x.at(id); p != nil {
			return id, true
		}
	}
	if e.Labels.IsEmpty() {
		return 0, false
	}
	return x.find(e.Labels, e.Labels.Hash())
}

func (h *Head) newRef() uint64 { return h.lastRef.Add(1) }

// stage takes the sample of an entry if it fits behind those that are there. A series that was just looked up under the
// other lock has a pending sample counted already.
func (a *appender) stage(id uint32, e *storage.Entry, counted bool) error {
	p, i := a.h.index.at(id)
	p.mu.Lock()
	s := &p.slots[i]
	if !counted {
		s.pending++
	}
	if s.pending == 1 && s.xor.Samples() > 0 && !s.native && e.T > s.xor.LastT() && e.T >= a.minValid && e.Histogram == nil && e.FloatHistogram == nil {
		// Fast path: the next float of a series of floats (BenchmarkAppend).
		logged := s.logged
		p.mu.Unlock()
		a.take(e, id, chunk.Native{}, false, logged)
		return nil
	}
	native, err := a.check(p, i, id, e)
	if err != nil && err != errLate { //nolint:errorlint // never wrapped
		s.pending--
	}
	logged := s.logged
	p.mu.Unlock()
	if err == errSame { //nolint:errorlint // never wrapped, and never leaves this function
		return nil
	}
	late := err == errLate //nolint:errorlint // as above
	if late && a.h.isDeleted(id, e.T) {
		// A deletion in memory holds for all samples of its time: to take this one would be to lose it.
		p.mu.Lock()
		p.slots[i].pending--
		p.mu.Unlock()
		a.h.metrics.of(native).outOfOrder.Inc()
		return fmt.Errorf("samples of the series at this time were deleted a short while ago: %w", storage.ErrOutOfOrder)
	}
	if err != nil && !e.InOrder && a.newest > math.MinInt64 && (late || errors.Is(err, storage.ErrTooOld) || errors.Is(err, storage.ErrOutOfOrder) || errors.Is(err, storage.ErrOutOfBounds)) {
		a.h.metrics.lateDelta.Observe(float64(a.newest-e.T) / 1000)
	}
	if err != nil && !late {
		return err
	}
	a.take(e, id, native, late, logged)
	return nil
}

// take stages the sample of an entry, which was checked.
func (a *appender) take(e *storage.Entry, id uint32, native chunk.Native, late, logged bool) {
	one := staged{t: e.T, v: e.V, id: id}
	if native != (chunk.Native{}) {
		a.natives = append(a.natives, native)
		one.native = int32(len(a.natives))
	}
	if st := a.h.start(e.ST); st != 0 {
		a.starts.note(&one, st)
	}
	if late {
		a.lates = append(a.lates, one)
	} else {
		if a.last != nil {
			a.last[id] = int32(len(a.samples))
		}
		a.samples = append(a.samples, one)
	}
	if k := len(a.unlogged); !logged && (k == 0 || a.unlogged[k-1].id != id) {
		a.unlogged = append(a.unlogged, unlogged{id: id, labels: e.Labels})
	}
	if e.Metadata != nil {
		a.stageMetadata(id, e.Metadata)
	}
}

// refuse returns why the sample can't be taken whatever its series holds.
func (a *appender) refuse(e *storage.Entry) error {
	native := chunk.Native{Int: e.Histogram, Float: e.FloatHistogram}
	if e.T < a.minValid {
		if e.InOrder {
			return storage.ErrOutOfBounds
		}
		if err := a.late(e.T, native, storage.ErrOutOfBounds); err != errLate { //nolint:errorlint // never wrapped
			return err
		}
		if err := validate(native); err != nil {
			return err
		}
		return errLate
	}
	return validate(native)
}

// validate returns why a histogram is none.
func validate(h chunk.Native) error {
	var err error
	switch {
	case h.Int != nil:
		err = h.Int.Validate()
	case h.Float != nil:
		err = h.Float.Validate()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", storage.ErrInvalidHistogram, err)
	}
	return nil
}

// check returns why the sample can't be taken, errSame if it is there already. A histogram is returned, also in place
// of a float that marks the end of a series of histograms.
func (a *appender) check(p *page, i int, id uint32, e *storage.Entry) (chunk.Native, error) {
	native := chunk.Native{Int: e.Histogram, Float: e.FloatHistogram}
	if err := a.refuse(e); err != nil {
		return native, err
	}
	s := &p.slots[i]
	last, ok := p.newest(i)
	v, before := s.xor.LastV(), chunk.Native{}
	if s.native {
		before = p.native[uint8(i)].last
	}
	if s.pending > 1 {
		if j, found := a.stagedLast(id); found {
			last, v, ok, before = a.samples[j].t, a.samples[j].v, true, a.nativeOf(&a.samples[j])
		} else {
			a.h.contended.Add(1)
		}
	}
	if native == (chunk.Native{}) && sample.IsStale(e.V) {
		native = staleLike(before)
	}
	if _, open := p.newestOpen(i); ok && !open && s.pending <= 1 {
		if c, _ := p.lastFull(i); c.enc.IsHistogram() && native == (chunk.Native{}) && sample.IsStale(e.V) {
			native = staleIn(c.enc)
		}
		return native, a.checkAgainstFull(p, i, e, native)
	}
	same := before == chunk.Native{} && native == before && math.Float64bits(e.V) == math.Float64bits(v)
	switch {
	case !ok || e.T > last:
		return native, nil
	case e.T < last && e.InOrder:
		return native, storage.ErrOutOfOrder
	case e.T < last:
		return native, a.late(e.T, native, storage.ErrOutOfOrder)
	case !same && !sameNative(native, before):
		return native, storage.ErrDuplicate
	}
	return native, errSame
}

// checkAgainstFull is the end of check for a series that has no open chunk, as after a restart.
func (a *appender) checkAgainstFull(p *page, i int, e *storage.Entry, native chunk.Native) error {
	c, _ := p.lastFull(i)
	switch {
	case e.T > c.maxT:
		return nil
	case e.T < c.maxT:
		return a.late(e.T, native, storage.ErrOutOfOrder)
	}
	var cols chunk.Columns
	enc, data, err := c.load(a.h.disk)
	if err == nil {
		err = chunk.Decode(enc, data, c.maxT, c.maxT, &cols)
	}
	if err != nil || len(cols.T) != 1 {
		return storage.ErrDuplicate // Nobody can tell whether it is the same.
	}
	same := len(cols.H) == 0 && native == chunk.Native{} && math.Float64bits(e.V) == math.Float64bits(cols.F[0])
	if len(cols.H) > 0 {
		switch before := (chunk.Native{Float: cols.H[0]}); {
		case native.Int != nil:
			same = sameNative(chunk.Native{Float: native.Int.ToFloat()}, before)
		case native.Float != nil:
			same = sameNative(native, before)
		}
	}
	if same {
		return errSame
	}
	return storage.ErrDuplicate
}

// staleIn returns the stale marker for a series whose latest chunk of histograms has an encoding.
func staleIn(enc chunk.Encoding) chunk.Native {
	if enc == chunk.EncHistogram || enc == chunk.EncHistogramST {
		return staleLike(chunk.Native{Int: &histogram.Histogram{}})
	}
	return staleLike(chunk.Native{Float: &histogram.FloatHistogram{}})
}

// staleLike returns the stale marker for a series whose latest sample is given; none for floats.
func staleLike(before chunk.Native) chunk.Native {
	switch {
	case before.Int != nil:
		return chunk.Native{Int: &histogram.Histogram{Sum: sample.StaleNaN()}}
	case before.Float != nil:
		return chunk.Native{Float: &histogram.FloatHistogram{Sum: sample.StaleNaN()}}
	}
	return chunk.Native{}
}

// nativeOf returns the histogram of a staged sample, none for a float.
func (a *appender) nativeOf(s *staged) chunk.Native {
	if s.native <= 0 {
		return chunk.Native{}
	}
	return a.natives[s.native-1]
}

// stagedLast finds the batch's latest sample of a series.
func (a *appender) stagedLast(id uint32) (int32, bool) {
	n := len(a.samples)
	if n > 0 && a.samples[n-1].id == id {
		return int32(n - 1), true
	}
	if a.last == nil {
		a.last = make(map[uint32]int32, n)
		for j := range a.samples {
			a.last[a.samples[j].id] = int32(j)
		}
	}
	j, ok := a.last[id]
	return j, ok
}

func (a *appender) stageMetadata(id uint32, md *sample.Metadata) {
	x := &a.h.extra
	x.mu.RLock()
	same := x.metadata[id] == *md
	x.mu.RUnlock()
	if !same {
		a.metadata = append(a.metadata, stagedMetadata{id, *md})
	}
}

// Rollback drops the batch.
func (a *appender) Rollback() error {
	if a.done {
		return fmt.Errorf("roll back: %w", errDone)
	}
	a.h.index.mu.RLock()
	for _, all := range [...][]staged{a.samples, a.lates} {
		for k := range all {
			p, i := a.h.index.at(all[k].id)
			p.mu.Lock()
			p.slots[i].pending--
			p.mu.Unlock()
		}
	}
	a.h.index.mu.RUnlock()
	a.end()
	return nil
}

// end gives the appender's memory to the next batch.
func (a *appender) end() {
	a.done = true
	h := a.h
	h.openAppenders.Add(-1)
	clear(a.unlogged)
	clear(a.metadata)
	clear(a.natives)
	clear(a.exemplars)
	next := &appender{h: h, samples: a.samples[:0], lates: a.lates[:0], natives: a.natives[:0], starts: a.starts, unlogged: a.unlogged[:0], metadata: a.metadata[:0], exemplars: a.exemplars[:0]}
	a.samples, a.lates, a.natives, a.unlogged, a.metadata, a.exemplars, a.last = nil, nil, nil, nil, nil, nil, nil
	a.starts = starts{}
	next.starts.reset()
	h.appenders.Put(next)
}

// walSeries makes the log's entries for series that it does not know. The caller holds the commit lock.
func (a *appender) walSeries() []wal.Series {
	var series []wal.Series
	x := &a.h.index
	for _, u := range a.unlogged {
		x.mu.RLock()
		p, i := x.at(u.id)
		logged, ref := p.slots[i].logged, p.slots[i].ref
		x.mu.RUnlock()
		if logged {
			continue
		}
		if u.labels.IsEmpty() {
			u.labels = x.labels(u.id)
		}
		series = append(series, wal.Series{Ref: ref, Labels: u.labels})
	}
	return series
}
