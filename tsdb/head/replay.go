package head

import (
	"context"
	"fmt"
	"math"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// replay reads the log.
func (h *Head) replay(ctx context.Context, o *Options) error {
	if err := wal.Clean(o.WAL.FS, o.WAL.Dir); err != nil {
		return err
	}
	chain, err := wal.FindChain(o.WAL.FS, o.WAL.Dir)
	if err != nil {
		return err
	}
	for _, gap := range chain.Missing {
		h.metrics.corruptions.Inc()
		h.logger.Error("Segments of the write-ahead log are missing, and no checkpoint stands for them; going on without them. "+
			"Their samples are lost unless the files come back, with the server stopped, before the log is shortened",
			"dir", gap.Dir, "first", gap.First, "last", gap.Last)
	}
	p := player{h: h, o: o, chain: chain, minValid: o.MinValidTime, ids: newRefTable()}
	p.shards = newShards(&p)
	defer p.shards.close()
	if err := p.loadMapped(); err != nil {
		return err
	}
	if len(chain.Segments) > 0 {
		if err := p.readLog(ctx); err != nil {
			return err
		}
	}
	p.finish()
	return nil
}

// readLog reads both logs.
func (p *player) readLog(ctx context.Context) error {
	h := p.h
	h.logger.Info("Reading the write-ahead log", "segments", len(p.chain.Segments))
	p.reader = wal.NewReader(p.o.WAL.FS, p.chain.Segments, h.damaged)
	defer func() { _ = p.reader.Close() }()
	if err := p.run(ctx); err != nil {
		return err
	}
	h.mendTail(p.o.WAL.FS, p.reader)
	p.shards.wait()
	return p.runLate(ctx)
}

// runLate reads the log of samples that came out of order. Markers, which Prometheus writes when it moves samples to a
// head chunk, are left out: the log has all samples that are in no block.
func (p *player) runLate(ctx context.Context) error {
	segs, err := wal.ListSegments(p.o.LateWAL.FS, p.o.LateWAL.Dir)
	if err != nil || len(segs) == 0 {
		return err
	}
	p.late = true
	p.reader = wal.NewReader(p.o.LateWAL.FS, segs, p.h.damaged)
	defer func() { _ = p.reader.Close() }()
	for p.reader.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch t := wal.TypeOf(p.reader.Record()); {
		case t == wal.TypeSamples, t == wal.TypeSamplesV2, t.IsHistograms():
			p.apply(p.reader.Record())
		case t == wal.TypeMarkers:
		case t == wal.TypeUnknown:
			p.unknownRecords++
		default:
			p.unsupported[t]++
		}
	}
	if err := p.readError(); err != nil {
		return err
	}
	p.h.mendTail(p.o.LateWAL.FS, p.reader)
	return ctx.Err()
}

// damaged reports a part of the log that was left out, once: a checkpoint comes across what the start found.
func (h *Head) damaged(d *wal.Damage) {
	where := fmt.Sprintf("%s:%d", d.Segment.Path(), d.Offset)
	if h.reported[where] {
		return
	}
	h.reported[where] = true
	h.metrics.corruptions.Inc()
	h.logger.Error("Write-ahead log is damaged; what can't be read is left out. Nothing needs to be done: the segment goes with the next checkpoints. "+
		"If it comes again in other segments, check the disk", "file", d.Segment.Path(), "offset", d.Offset, "bytes", d.Bytes, "err", d.Err)
}

// readError returns why the machine failed to read the log. To go on without what it failed to read would be to delete
// it with the next checkpoint.
func (p *player) readError() error {
	if err := p.reader.Err(); err != nil {
		return fmt.Errorf("%w: make the file readable, copy the directory to another disk, or move the file away to go on without it", err)
	}
	return nil
}

// mendTail cuts off a record that was being written when the process died, so that later readers don't take it for
// damage.
func (h *Head) mendTail(fs wal.FS, r *wal.Reader) {
	seg, size, torn := r.TornTail()
	if _, readOnly := fs.(wal.ReadOnly); !torn || readOnly {
		return // Nothing to mend, or somebody is writing there just now.
	}
	if err := fs.Truncate(seg.Path(), size); err != nil {
		h.logger.Warn("Cannot cut off an unfinished record of the write-ahead log", "file", seg.Path(), "offset", size, "err", err)
		return
	}
	h.logger.Info("Cut off an unfinished record of the write-ahead log", "file", seg.Path(), "offset", size)
}

// player applies records.
type player struct {
	h        *Head
	o        *Options
	chain    wal.Chain
	reader   *wal.Reader
	minValid int64
	// ids leads from the log's references to series.
	ids    refTable
	mapped mappedChunks
	shards *shards
	// late tells that the log of samples that came out of order is being read.
	late bool
	// skipped counts what was left out, by the type of record.
	unknownRefs, unsupported [wal.TypeFloatHistogramsV2 + 1]int
	unknownRecords           int
	lateUnknownRefs          int

	series  []wal.Series
	samples []wal.Sample
	stones  []wal.Tombstone
	md      []wal.Metadata
	natives []wal.Histogram

	exemplars []wal.Exemplar
}

func (p *player) run(ctx context.Context) error {
	current := wal.Segment{Index: -1}
	done := 0
	for p.reader.Next() {
		if seg := p.reader.Segment(); seg != current {
			if err := ctx.Err(); err != nil {
				return err
			}
			p.endSegment(current)
			current = seg
			p.progress(done)
			done++
		}
		p.apply(p.reader.Record())
	}
	if err := p.readError(); err != nil {
		return err
	}
	p.endSegment(current)
	return ctx.Err()
}

// endSegment notes how far a segment reaches that was read.
func (p *player) endSegment(seg wal.Segment) {
	if seg.Dir == p.o.WAL.Dir {
		p.h.bounds.end(seg.Index)
	}
}

func (p *player) progress(done int) {
	seg := p.reader.Segment()
	last := p.chain.Segments[len(p.chain.Segments)-1].Index
	if p.o.OnSegment != nil {
		p.o.OnSegment(max(p.chain.Checkpoint+1, 0), last, max(p.chain.Checkpoint, min(seg.Index, last)))
	}
	p.h.logger.Info("Reading segment of the write-ahead log", "file", seg.Path(), "number", done+1, "of", len(p.chain.Segments))
}

func (p *player) apply(rec []byte) {
	var err error
	switch t := wal.TypeOf(rec); {
	case t == wal.TypeSeries:
		if p.series, err = wal.DecodeSeries(rec, p.series[:0]); err == nil {
			err = p.addSeries()
		}
	case t == wal.TypeSamples, t == wal.TypeSamplesV2:
		if p.samples, err = wal.DecodeSamples(rec, p.samples[:0]); err == nil {
			p.addSamples()
		}
	case t == wal.TypeTombstones:
		if p.stones, err = wal.DecodeTombstones(rec, p.stones[:0]); err == nil {
			p.addTombstones()
		}
	case t == wal.TypeMetadata:
		if p.md, err = wal.DecodeMetadata(rec, p.md[:0]); err == nil {
			p.addMetadata()
		}
	case t.IsHistograms():
		if p.natives, err = wal.DecodeHistograms(rec, p.natives[:0]); err == nil {
			err = p.addHistograms(t)
		}
	case t == wal.TypeExemplars:
		if p.exemplars, err = wal.DecodeExemplars(rec, p.exemplars[:0]); err == nil {
			p.addExemplars()
		}
	case t == wal.TypeUnknown:
		p.unknownRecords++
	default:
		p.unsupported[t]++
	}
	if err != nil {
		p.reader.Report(err)
	}
}

func (p *player) addSeries() error {
	h := p.h
	for _, s := range p.series {
		if s.Ref == 0 || s.Labels.IsEmpty() {
			continue
		}
		id, created, err := h.index.getOrCreate(s.Labels, func() uint64 { return s.Ref }, 0)
		if err != nil {
			return err
		}
		if created {
			h.metrics.seriesCreated.Inc()
		}
		page, i := h.index.at(id)
		page.slots[i].logged = true
		if page.slots[i].ref != s.Ref {
			h.extra.aliases[s.Ref] = id
		}
		p.ids.set(s.Ref, id)
		p.claim(s.Ref, id, created)
		h.lastRef.Store(max(h.lastRef.Load(), s.Ref))
	}
	return nil
}

func (p *player) addSamples() {
	for k := range p.samples {
		s := &p.samples[k]
		p.add(s.Ref, s.T, s.ST, s.V, chunk.Native{}, wal.TypeSamples)
	}
}

// addHistograms leaves out what is no histogram, and returns why.
func (p *player) addHistograms(t wal.Type) error {
	var invalid error
	for k := range p.natives {
		s := &p.natives[k]
		native := chunk.Native{Int: s.Int, Float: s.Float}
		if err := validate(native); err != nil {
			invalid = fmt.Errorf("%s record: %w", t, err)
			continue
		}
		p.add(s.Ref, s.T, s.ST, 0, native, t)
	}
	clear(p.natives)
	return invalid
}

// add hands a sample to its series.
func (p *player) add(ref uint64, t, st int64, v float64, native chunk.Native, typ wal.Type) {
	if p.late {
		p.addLate(ref, lateSample{t: t, st: p.h.start(st), v: v, native: native})
		return
	}
	p.h.bounds.note(t)
	if t < p.minValid {
		return
	}
	id, ok := p.ids.get(ref)
	if !ok {
		p.unknownRefs[typ]++
		return
	}
	p.shards.add(id, t, p.h.start(st), v, native)
}

// addLate takes a sample that came out of order.
func (p *player) addLate(ref uint64, s lateSample) {
	id, ok := p.ids.get(ref)
	if !ok {
		p.lateUnknownRefs++
		return
	}
	page, i := p.h.index.at(id)
	added, began := page.appendLate(i, s, false)
	if added {
		p.h.extendLate(s.t)
	}
	p.count(began)
}

func (p *player) count(began int) {
	p.h.chunks.Add(int64(began))
	p.h.metrics.chunksCreated.Add(float64(began))
}

func (p *player) addExemplars() {
	for _, e := range p.exemplars {
		p.h.bounds.note(e.T)
		if e.T < p.minValid {
			continue // As upstream has it: what a checkpoint would drop.
		}
		id, ok := p.ids.get(e.Ref)
		if !ok {
			p.unknownRefs[wal.TypeExemplars]++
			continue
		}
		p.h.exemplars.add(id, sample.Exemplar{Labels: e.Labels, Value: e.V, T: e.T, HasT: true}, func() labels.Labels { return p.h.index.labels(id) })
	}
	clear(p.exemplars)
}

func (p *player) addTombstones() {
	for _, s := range p.stones {
		if isEviction(s) {
			p.evict(s.Ref)
			continue
		}
		// Those before the end of the blocks may be about samples that came out of order.
		id, ok := p.ids.get(s.Ref)
		if !ok {
			if s.MaxT >= p.minValid {
				p.unknownRefs[wal.TypeTombstones]++
			}
			continue
		}
		// Samples that the log holds behind the deletion are deleted too, as upstream does.
		p.h.extra.deleted[id] = append(p.h.extra.deleted[id], interval{minT: s.MinT, maxT: s.MaxT})
	}
}

func (p *player) addMetadata() {
	for _, m := range p.md {
		if id, ok := p.ids.get(m.Ref); ok {
			p.h.extra.metadata[id] = m.Metadata
		} else {
			p.unknownRefs[wal.TypeMetadata]++
		}
	}
}

// finish sets the bounds, drops series of which the log has no sample that is still needed, and tells what was left out.
func (p *player) finish() {
	h := p.h
	p.shards.wait()
	p.attachRest()
	for _, s := range p.shards.all {
		if s.first <= s.last {
			h.extend(s.first, s.last)
		}
		p.count(s.began)
	}
	h.dropEmpty()
	h.exemplars.forgetHasT()
	h.extra.remove(nil, h.stoneMint(p.minValid))
	for t, n := range p.unknownRefs {
		if n > 0 {
			h.metrics.unknownRefs.WithLabelValues(wal.Type(t).String()).Add(float64(n))
			h.logger.Warn("Write-ahead log has entries for series that it does not name", "type", wal.Type(t).String(), "count", n)
		}
	}
	if n := p.lateUnknownRefs; n > 0 {
		h.metrics.lateUnknownRefs.WithLabelValues(wal.TypeSamples.String()).Add(float64(n))
		h.logger.Warn("The log of out-of-order samples has some for series that the write-ahead log does not name", "count", n)
	}
	for t, n := range p.unsupported {
		if n > 0 {
			h.logger.Warn("Write-ahead log has records that are not supported; they are left out", "type", wal.Type(t).String(), "records", n)
		}
	}
	if p.unknownRecords > 0 {
		h.logger.Warn("Write-ahead log has records of unknown types; they are left out", "records", p.unknownRecords)
	}
	stats := h.Stats()
	h.logger.Info("Read the write-ahead log", "series", stats.Series, "chunks", stats.Chunks)
}

// dropEmpty forgets series without samples: their labels would be selected for nothing, and the log keeps them anyway.
func (h *Head) dropEmpty() {
	var dead []uint32
	h.index.each(func(first uint32, p *page) {
		for i := range p.slots {
			if p.slots[i].ref == 0 {
				continue
			}
			if _, _, ok := p.span(i); !ok {
				dead = append(dead, first+uint32(i))
			}
		}
	})
	if len(dead) > 0 {
		h.index.remove(dead)
		h.extra.remove(dead, math.MinInt64)
	}
}
