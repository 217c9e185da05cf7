package receive

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// batchSize is how many entries go to the storage in one call.
const batchSize = 256

// batch is what goes to the storage next.
type batch struct {
	// entries are zero behind its length.
	entries  []storage.Entry
	origins  []origin
	outcomes []storage.Outcome
	exemplar [batchSize]sample.Exemplar
	metadata [batchSize]sample.Metadata
}

// origin says where an entry comes from: which of the pending series, and what of it.
type origin struct {
	series int
	kind   entryKind
}

type entryKind uint8

const (
	sampleEntry entryKind = iota
	histogramEntry
	zeroEntry // nothing counted yet
	exemplarEntry
	metadataEntry
)

func newBatch() batch {
	return batch{
		entries:  make([]storage.Entry, 0, batchSize),
		origins:  make([]origin, 0, batchSize),
		outcomes: make([]storage.Outcome, batchSize),
	}
}

func (b *batch) clear() {
	clear(b.entries)
	clear(b.exemplar[:len(b.entries)])
	clear(b.metadata[:len(b.entries)])
	b.entries, b.origins = b.entries[:0], b.origins[:0]
}

// flush stores the pending series.
func (r *request) flush(ctx context.Context) error {
	r.h.refs.find(r.pending, r.era)
	for i := range r.pending {
		if err := r.emit(ctx, i); err != nil {
			return err
		}
	}
	if err := r.send(ctx); err != nil {
		return err
	}
	for i := range r.pending {
		if r.pending[i].changed {
			r.h.refs.put(r.pending, r.era)
			break
		}
	}
	r.pending, r.waiting = r.pending[:0], 0
	return nil
}

// emit makes entries of what a series holds: samples, then histograms, then what goes with them.
func (r *request) emit(ctx context.Context, i int) error {
	s := &r.pending[i]
	var ls labels.Labels
	if s.ref == 0 {
		var err error
		if ls, err = r.labelsOf(s); err != nil {
			return r.badLabels(s, err)
		}
	}
	if r.message == V2 && s.samples == 0 && s.histograms == 0 {
		r.bad.add(fmt.Errorf("TimeSeries must contain at least one sample or histogram for series %s", r.seriesName(s)))
		return nil
	}
	if err := r.emitSamples(ctx, i, ls); err != nil {
		return err
	}
	if s.histograms+s.exemplars > 0 {
		if err := r.emitOthers(ctx, i, ls); err != nil {
			return err
		}
	}
	if r.message == V2 && r.h.opts.Metadata {
		return r.emitMetadata(ctx, i, ls)
	}
	return nil
}

// emitOthers makes entries of what a series holds besides floats.
func (r *request) emitOthers(ctx context.Context, i int, ls labels.Labels) error {
	s := &r.pending[i]
	for _, part := range []struct {
		count int
		field int32
		each  func(context.Context, int, labels.Labels, []byte) error
	}{
		{s.histograms, r.layout.histograms, r.emitHistogram},
		{s.exemplars, r.layout.exemplars, r.emitExemplar},
	} {
		w := wire.Walker{Rest: s.rest}
		for left := part.count; left > 0 && w.Next(); {
			if w.Num != part.field {
				continue
			}
			left--
			if err := part.each(ctx, i, ls, w.Bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// badLabels notes a series that has none that could name it.
func (r *request) badLabels(s *pendingSeries, err error) error {
	bad, ok := errors.AsType[*errLabels](err)
	if !ok {
		return err
	}
	if err := r.check(s); err != nil {
		return err
	}
	switch r.message {
	case V1: // As upstream, the rest of the request is taken, and nobody told but the operator.
		r.invalidLabels++
		r.h.log.invalidLabels(bad.text)
	default:
		r.invalidLabels += s.samples + s.histograms
		r.bad.add(bad)
	}
	return nil
}

// check looks whether what a series holds that is left out could be read: a request that is damaged is not taken at all.
func (r *request) check(s *pendingSeries) error {
	w := wire.Walker{Rest: s.message}
	for w.Next() {
		switch w.Num {
		case seriesSamples:
			_, w.Err = wire.ReadSample(w.Bytes, r.message == V2)
		case r.layout.histograms:
			_, w.Err = wire.ReadNative(w.Bytes, r.message == V2)
		case r.layout.exemplars:
			if _, err := r.readExemplar(w.Bytes); errors.Is(err, wire.ErrMalformed) {
				w.Err = err
			}
		}
	}
	return w.Err
}

func (r *request) emitSamples(ctx context.Context, i int, ls labels.Labels) error {
	w := wire.Walker{Rest: r.pending[i].rest}
	for range r.pending[i].samples {
		p, ok := w.NextSample(seriesSamples)
		for !ok && w.Next() {
			if ok = w.Num == seriesSamples; ok {
				if p, w.Err = wire.ReadSample(w.Bytes, r.message == V2); w.Err != nil {
					return w.Err
				}
			}
		}
		if err := r.emitSample(ctx, i, ls, p); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) emitSample(ctx context.Context, i int, ls labels.Labels, p wire.Sample) error {
	if p.T > r.maxT {
		return r.reject(&r.pending[i], errFuture, p.T)
	}
	if r.h.opts.StartZeros && p.ST != 0 && p.T != 0 && p.ST < p.T {
		if err := r.push(ctx, storage.Entry{Labels: ls, T: p.ST, InOrder: true}, origin{i, zeroEntry}); err != nil {
			return err
		}
	}
	// Fast path: what else there is in an entry is zero already (BenchmarkRequest).
	b := &r.batch
	n := len(b.entries)
	b.entries = b.entries[:n+1]
	e := &b.entries[n]
	e.Ref, e.Labels, e.T, e.ST, e.V = r.pending[i].ref, ls, p.T, p.ST, p.V
	return r.pushed(ctx, origin{i, sampleEntry})
}

func (r *request) emitHistogram(ctx context.Context, i int, ls labels.Labels, message []byte) error {
	n, err := wire.ReadNative(message, r.message == V2)
	if err != nil {
		return err
	}
	if n.T > r.maxT {
		return r.reject(&r.pending[i], errFuture, n.T)
	}
	n.Fit()
	if r.h.opts.StartZeros && n.ST != 0 && n.T != 0 && n.ST < n.T {
		e := storage.Entry{Labels: ls, T: n.ST, InOrder: true}
		e.Histogram, e.FloatHistogram = zeroOf(n)
		if err := r.push(ctx, e, origin{i, zeroEntry}); err != nil {
			return err
		}
	}
	e := storage.Entry{Labels: ls, T: n.T, ST: n.ST}
	if n.IsFloat {
		e.FloatHistogram = &n.Float
	} else {
		e.Histogram = &n.Whole
	}
	return r.push(ctx, e, origin{i, histogramEntry})
}

func (r *request) emitExemplar(ctx context.Context, i int, ls labels.Labels, message []byte) error {
	e, err := r.readExemplar(message)
	if bad, ok := errors.AsType[*badRefs](err); ok {
		r.bad.add(fmt.Errorf("parsing exemplar for series %s: %w", r.seriesName(&r.pending[i]), bad))
		return nil
	}
	if err != nil || e.T > r.maxT {
		return err
	}
	at := len(r.batch.entries)
	r.batch.exemplar[at] = e
	return r.push(ctx, storage.Entry{Labels: ls, NoSample: true, Exemplars: r.batch.exemplar[at : at+1 : at+1]}, origin{i, exemplarEntry})
}

// maxExemplarLabels is more than the storage takes, which counts their characters.
const maxExemplarLabels = 256

// readExemplar reads an exemplar. Labels that make no set are left out: upstream takes them as they are.
func (r *request) readExemplar(message []byte) (e sample.Exemplar, err error) {
	w := wire.Walker{Rest: message}
	for w.Next() {
		switch w.Num {
		case exemplarValue:
			e.Value = w.Double()
		case exemplarTime:
			e.T = int64(w.Number())
		}
	}
	if w.Err != nil {
		return e, w.Err
	}
	e.HasT = e.T != 0
	b, left := labels.NewBuilder(labels.Labels{}), maxExemplarLabels
	err = r.eachLabel(message, func(name, value string) {
		if left--; left >= 0 && len(name) <= maxLabelBytes && len(value) <= maxLabelBytes {
			b.Set(name, value)
		}
	})
	if err == nil {
		e.Labels = b.Labels()
	}
	return e, err
}

// emitMetadata hands on what the request says about a series.
func (r *request) emitMetadata(ctx context.Context, i int, ls labels.Labels) error {
	s := &r.pending[i]
	at := len(r.batch.entries)
	r.batch.metadata[at] = sample.Metadata{Type: s.meta.typ, Help: r.kept(r.symbol(s.meta.help)), Unit: r.kept(r.symbol(s.meta.unit))}
	if s.meta.typ == "" {
		r.batch.metadata[at].Type = sample.TypeUnknown
	}
	return r.push(ctx, storage.Entry{Labels: ls, NoSample: true, Metadata: &r.batch.metadata[at]}, origin{i, metadataEntry})
}

// kept returns a text that stays when the body goes.
func (r *request) kept(text string) string {
	if known, ok := r.texts[text]; ok {
		return known
	}
	if r.texts == nil {
		r.texts = map[string]string{}
	}
	known := string([]byte(text))
	r.texts[known] = known
	return known
}

// push adds an entry to the batch.
func (r *request) push(ctx context.Context, e storage.Entry, o origin) error {
	e.Ref = r.pending[o.series].ref
	r.batch.entries = append(r.batch.entries, e)
	return r.pushed(ctx, o)
}

// pushed notes where the latest entry comes from.
func (r *request) pushed(ctx context.Context, o origin) error {
	r.batch.origins = append(r.batch.origins, o)
	if len(r.batch.entries) < batchSize {
		return nil
	}
	return r.send(ctx)
}

// send hands the batch to the storage and looks at what became of it.
func (r *request) send(ctx context.Context) error {
	b := &r.batch
	if len(b.entries) == 0 {
		return nil
	}
	defer b.clear()
	outcomes := b.outcomes[:len(b.entries)]
	if err := r.out.Append(ctx, b.entries, outcomes); err != nil {
		return fmt.Errorf("store samples: %w", err)
	}
	for n := range outcomes {
		s := &r.pending[b.origins[n].series]
		if o := &outcomes[n]; o.Err == nil && o.Ref == s.ref && b.origins[n].kind == sampleEntry {
			r.written.samples++ // Fast path: a sample of a known series.
			continue
		}
		if errors.Is(outcomes[n].Err, storage.ErrUnknownSeries) && b.entries[n].Labels.IsEmpty() {
			if err := r.again(ctx, n, s); err != nil {
				return err
			}
		}
		if o := &outcomes[n]; o.Ref != 0 && o.Ref != s.ref {
			s.ref, s.changed = o.Ref, true
		}
		if err := r.outcome(ctx, n, s); err != nil {
			return err
		}
	}
	return nil
}

// again appends an entry whose reference the storage has forgotten, with labels.
func (r *request) again(ctx context.Context, n int, s *pendingSeries) (err error) {
	b := &r.batch
	e := &b.entries[n]
	if e.Labels, err = r.labelsOf(s); err != nil {
		return err
	}
	e.Ref = 0
	if err := r.out.Append(ctx, b.entries[n:n+1], b.outcomes[n:n+1]); err != nil {
		return fmt.Errorf("store samples: %w", err)
	}
	return nil
}

// outcome counts what was taken, and says what is wrong with what was not.
func (r *request) outcome(ctx context.Context, n int, s *pendingSeries) error {
	o := &r.batch.outcomes[n]
	switch r.batch.origins[n].kind {
	case sampleEntry:
		if o.Err != nil {
			return r.rejected(ctx, n, s, &r.written.samples)
		}
		r.written.samples++
	case histogramEntry:
		if o.Err != nil {
			return r.rejected(ctx, n, s, &r.written.histograms)
		}
		r.written.histograms++
	case exemplarEntry:
		switch {
		case o.Err == nil && o.ExemplarErr == nil:
			r.written.exemplars++
		case errors.Is(o.ExemplarErr, storage.ErrOutOfOrderExemplar) && r.message == V2:
			r.bad.add(fmt.Errorf("%w for series %s", o.ExemplarErr, r.seriesName(s)))
		}
	case metadataEntry:
		if o.Err != nil {
			r.withoutMetadata += s.samples + s.histograms
		}
	case zeroEntry: // It is there already, or too late: most are.
	}
	return nil
}

// errFuture says that a sample has a time that is far away.
var errFuture = fmt.Errorf("%w: timestamp is too far in the future", storage.ErrOutOfBounds)

// rejected deals with a sample that the storage did not take. One whose place another sample of the same request took is
// left out silently, and counts as written: that is how upstream has it, and a request that is refused for such a sample
// would be lost as a whole.
func (r *request) rejected(ctx context.Context, n int, s *pendingSeries, count *int) error {
	err := r.batch.outcomes[n].Err
	e := &r.batch.entries[n]
	if (errors.Is(err, storage.ErrOutOfOrder) || errors.Is(err, storage.ErrDuplicate)) && r.fitsAlone(ctx, *e, s) {
		*count++
		return nil
	}
	return r.reject(s, err, e.T)
}

// fitsAlone reports whether the storage would take an entry if the request held nothing else.
func (r *request) fitsAlone(ctx context.Context, e storage.Entry, s *pendingSeries) bool {
	probe := r.h.opts.Storage.Appender()
	e.Ref = s.ref
	var out [1]storage.Outcome
	err := probe.Append(ctx, []storage.Entry{e}, out[:])
	return errors.Join(err, out[0].Err, probe.Rollback()) == nil
}

// reject says why a sample is not taken: as a mistake of the request if it is one, of which one is enough in 1.0.
func (r *request) reject(s *pendingSeries, err error, t int64) error {
	for _, mistake := range []error{
		storage.ErrOutOfOrder, storage.ErrOutOfBounds, storage.ErrDuplicate, storage.ErrTooOld, storage.ErrInvalidHistogram,
	} {
		if !errors.Is(err, mistake) {
			continue
		}
		err = fmt.Errorf("%w for series %s at %d", err, r.seriesName(s), t)
		if r.message == V1 {
			return &refusal{http.StatusBadRequest, err}
		}
		r.bad.add(err)
		return nil
	}
	return fmt.Errorf("store samples of series %s: %w", r.seriesName(s), err)
}

// seriesName formats the labels of a series for people.
func (r *request) seriesName(s *pendingSeries) string {
	ls, err := r.labelsOf(s)
	if err != nil {
		return describe(r.pairs)
	}
	return ls.String()
}
