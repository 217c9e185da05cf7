package send

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// Source is the storage whose log is followed.
type Source interface {
	Log() *wal.Log
	// LateLog has what came out of order; nil as long as nothing can.
	LateLog() *wal.Log
	// EachSeries calls f with each series in memory, under each reference that the logs use for it, and with its metadata,
	// whose type is empty if there is none.
	EachSeries(f func(ref uint64, ls labels.Labels, md sample.Metadata))
}

// follower reads the log for a queue and hands what it finds to the shards. It belongs to one goroutine, which never waits for
// the receiver but where a shard is full, and in shard order.
type follower struct {
	q    *queue
	src  Source
	tail *wal.Tail
	// late is nil until there is a log of what comes out of order; lateFrom is where it begins, nil for its start.
	late     *wal.Tail
	lateFrom *wal.Position

	names *namer
	table *table
	// checkpoint is the latest one up to which series were forgotten.
	checkpoint int

	shards []*shard
	think  *time.Ticker
	read   [256]prometheus.Counter // by the type of record

	series   []wal.Series
	floats   []wal.Sample
	natives  []wal.Histogram
	examples []wal.Exemplar
	metadata []wal.Metadata
	run      []item
	// held are the samples of a batch, if exemplars may follow them, and heldAt where the latest sample of a series is.
	held   []heldItem
	heldAt map[uint64]int
}

// heldItem is a sample with the exemplars that belong to it behind it.
type heldItem struct {
	ref       uint64
	sample    item
	exemplars []item
}

// pollInterval is how often the log is looked at although nobody said that something was written.
const pollInterval = 15 * time.Second

func newFollower(q *queue, src Source, from, lateFrom *wal.Position) *follower {
	f := &follower{
		q: q, src: src, lateFrom: lateFrom, table: newTable(), checkpoint: -1,
		names: newNamer(q.cfg, q.external, q.m.opts.TypeAndUnit),
	}
	f.begin(*from)
	src.EachSeries(func(ref uint64, ls labels.Labels, md sample.Metadata) {
		s := f.name(ref, ls, from.Segment)
		if md.Type != "" {
			f.names.describe(s, &md)
		}
	})
	return f
}

// begin has reading begin at a place of the log.
func (f *follower) begin(from wal.Position) { f.tail = f.src.Log().Tail(from, f.damaged, f.skipped) }

// follow reads until the queue is told to end and has read what it has to, or hard is done.
func (f *follower) follow(hard context.Context) {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	f.think = time.NewTicker(reshardInterval)
	defer f.think.Stop()
	f.startShards(hard, f.q.cfg.QueueConfig.MinShards)
	for {
		b := f.q.bounds(f.src)
		if !f.readAll(hard, b) || b.final {
			break
		}
		f.forget()
		select {
		case <-hard.Done():
		case <-f.q.wake:
		case <-poll.C:
		case <-f.think.C:
			f.reshard(hard)
		}
	}
	f.stopShards()
	f.abandon()
	f.q.reached.end = f.tail.Position()
	_ = f.tail.Close() // Opened for reading alone.
	if f.late != nil {
		at := f.late.Position()
		f.q.reached.late = &at
		_ = f.late.Close()
	}
}

// readAll reads both logs up to the bounds, and returns false if hard is done.
func (f *follower) readAll(hard context.Context, b bounds) bool {
	if !f.readTo(hard, f.tail, b.end) {
		return false
	}
	if b.late == nil {
		return true
	}
	if f.late == nil {
		log := f.src.LateLog()
		from := log.Start()
		if f.lateFrom != nil {
			from = *f.lateFrom
		}
		f.late = log.Tail(from, f.damaged, f.skippedLate)
	}
	// Series of which samples come out of order are named in the other log, up to its bound.
	return f.readTo(hard, f.late, *b.late)
}

func (f *follower) readTo(hard context.Context, tail *wal.Tail, end wal.Position) bool {
	for tail.Position().Before(end) {
		if !tail.Next() {
			if err := tail.Err(); err != nil {
				f.q.metrics.decodeFailures.Inc()
				if omitted, ok := f.q.failing.due(); ok {
					f.q.log.Error("the write-ahead log cannot be read, what is in it is not sent", "err", err, "messages_left_out", omitted)
				}
			}
			break
		}
		if !f.apply(hard, tail) {
			return false
		}
	}
	if !f.release(hard) { // A batch is acknowledged as a whole: nothing belongs to what is held.
		return false
	}
	f.q.metrics.segment.Set(float64(f.tail.Position().Segment))
	f.q.known.Store(int64(f.table.count))
	return hard.Err() == nil
}

// apply hands over what a record has, and returns false if hard is done.
func (f *follower) apply(hard context.Context, tail *wal.Tail) bool {
	rec := tail.Record()
	t := wal.TypeOf(rec)
	if f.read[t] == nil {
		f.read[t] = f.q.metrics.all.recordsRead.WithLabelValues(f.q.name, t.String())
	}
	f.read[t].Inc()
	ok, err := true, error(nil)
	switch {
	case t == wal.TypeSeries:
		if f.series, err = wal.DecodeSeries(rec, f.series[:0]); err == nil {
			f.nameAll(tail.Position().Segment)
		}
	case t == wal.TypeSamples, t == wal.TypeSamplesV2:
		if f.floats, err = wal.DecodeSamples(rec, f.floats[:0]); err == nil {
			ok = f.release(hard) && f.sendFloats(hard)
		}
	case t.IsHistograms():
		if !f.q.cfg.SendNativeHistograms && f.q.cfg.ProtobufMessage == V1 {
			break
		}
		if f.natives, err = wal.DecodeHistograms(rec, f.natives[:0]); err == nil {
			ok = f.sendHistograms(hard)
		}
	case t == wal.TypeExemplars:
		if !f.q.cfg.SendExemplars {
			break
		}
		if f.examples, err = wal.DecodeExemplars(rec, f.examples[:0]); err == nil {
			ok = f.sendExemplars(hard)
		}
	case t == wal.TypeMetadata && f.q.cfg.ProtobufMessage == V2:
		if f.metadata, err = wal.DecodeMetadata(rec, f.metadata[:0]); err == nil {
			f.describe()
		}
	}
	if err != nil {
		tail.Report(err)
	}
	return ok
}

// name makes a reference lead to the series with the given labels. Known ones stay.
func (f *follower) name(ref uint64, ls labels.Labels, segment int) *series {
	s := f.table.get(ref)
	if s == nil {
		s = f.names.series(ls)
		f.table.set(ref, s)
	}
	s.segment = max(s.segment, segment)
	return s
}

func (f *follower) nameAll(segment int) {
	for i := range f.series {
		f.name(f.series[i].Ref, f.series[i].Labels, segment)
	}
	clear(f.series)
}

func (f *follower) describe() {
	for i := range f.metadata {
		if s := f.table.get(f.metadata[i].Ref); s != nil {
			f.names.describe(s, &f.metadata[i].Metadata)
		}
	}
	clear(f.metadata)
}

// batcher collects the items of one record, in runs that go to one shard.
type batcher struct {
	f      *follower
	kind   kind
	oldest int64
	key    uint64
	newest int64
	tooOld int
	// dropped and unknown count those of series that are not sent and those of series that are not known.
	dropped, unknown int
	ref              uint64
	// hold keeps items until their exemplars are known.
	hold bool
}

func (f *follower) batch(k kind) batcher {
	b := batcher{f: f, kind: k, hold: f.q.cfg.SendExemplars && k != exemplars}
	if limit := time.Duration(f.q.cfg.QueueConfig.SampleAgeLimit); limit > 0 {
		b.oldest = oldestAt(limit)
	}
	f.run = f.run[:0]
	return b
}

// find returns the series of a reference, or nil if what has this time is not sent.
func (b *batcher) find(ref uint64, t int64) *series {
	if b.oldest != 0 && t < b.oldest {
		b.tooOld++
		return nil
	}
	s := b.f.table.get(ref)
	switch {
	case s == nil:
		b.unknown++
		b.ref = ref
		return nil
	case s.dropped:
		b.dropped++
		return nil
	}
	b.newest = max(b.newest, t)
	return s
}

// add takes an item of a series, and returns false if hard is done.
func (b *batcher) add(hard context.Context, ref uint64, it item) bool {
	if b.hold {
		b.f.held = append(b.f.held, heldItem{ref: ref, sample: it})
		return true
	}
	if key := ref / neighbours; key != b.key {
		if !b.flush(hard) {
			return false
		}
		b.key = key
	}
	b.f.run = append(b.f.run, it)
	return true
}

func (b *batcher) flush(hard context.Context) bool {
	if len(b.f.run) == 0 {
		return true
	}
	ok := b.f.put(hard, b.key, b.kind, b.f.run)
	b.f.run = b.f.run[:0]
	return ok
}

// end hands over the last run and counts what was left out.
func (b *batcher) end(hard context.Context, ok bool) bool {
	q := b.f.q
	ok = ok && b.flush(hard)
	q.metrics.dropped(b.kind, tooOld, b.tooOld)
	q.metrics.dropped(b.kind, droppedSeries, b.dropped)
	if b.unknown > 0 {
		q.metrics.dropped(b.kind, unknownSeries, b.unknown)
		if omitted, ok := q.strange.due(); ok {
			q.log.Warn("samples of a series that the log does not name are not sent", "ref", b.ref, "count", b.unknown, "messages_left_out", omitted)
		}
	}
	q.load.dropped.add(int64(b.dropped + b.unknown))
	if b.newest > 0 {
		q.metrics.highestRead.set(b.newest)
	}
	return ok
}

func (f *follower) sendFloats(hard context.Context) bool {
	b, ok := f.batch(floats), true
	for i := 0; i < len(f.floats) && ok; i++ {
		w := &f.floats[i]
		if s := b.find(w.Ref, w.T); s != nil {
			ok = b.add(hard, w.Ref, item{series: s, t: w.T, st: w.ST, v: w.V})
		}
	}
	return b.end(hard, ok)
}

func (f *follower) sendHistograms(hard context.Context) bool {
	b, ok := f.batch(histograms), true
	custom := 0
	for i := 0; i < len(f.natives) && ok; i++ {
		w := &f.natives[i]
		s := b.find(w.Ref, w.T)
		if s == nil {
			continue
		}
		if f.q.cfg.ProtobufMessage == V1 && hasCustomBuckets(w) {
			custom++
			continue
		}
		ok = b.add(hard, w.Ref, item{series: s, t: w.T, st: w.ST, more: &more{whole: w.Int, floating: w.Float}})
	}
	clear(f.natives)
	f.q.metrics.dropped(histograms, noCustom1, custom)
	return b.end(hard, ok)
}

func hasCustomBuckets(h *wal.Histogram) bool {
	return h.Int != nil && h.Int.Schema == histogram.CustomBucketsSchema || h.Float != nil && h.Float.Schema == histogram.CustomBucketsSchema
}

// sendExemplars hands over the exemplars of a batch, each behind the sample that it belongs to if that is held: receivers of 2.0 want
// both in one series.
func (f *follower) sendExemplars(hard context.Context) bool {
	b, ok := f.batch(exemplars), true
	if f.heldAt == nil {
		f.heldAt = map[uint64]int{}
	}
	for i := range f.held {
		f.heldAt[f.held[i].ref] = i
	}
	for i := 0; i < len(f.examples) && ok; i++ {
		w := &f.examples[i]
		s := b.find(w.Ref, w.T)
		if s == nil {
			continue
		}
		it := item{series: s, t: w.T, v: w.V, more: &more{labels: w.Labels}}
		if at, held := f.heldAt[w.Ref]; held {
			f.held[at].exemplars = append(f.held[at].exemplars, it)
			continue
		}
		ok = b.add(hard, w.Ref, it)
	}
	clear(f.examples)
	clear(f.heldAt)
	return b.end(hard, ok) && f.release(hard)
}

// release hands over what is held.
func (f *follower) release(hard context.Context) bool {
	if len(f.held) == 0 {
		return true
	}
	f.run = f.run[:0]
	key, ok := uint64(0), true
	for i := 0; i < len(f.held) && ok; i++ {
		h := &f.held[i]
		if k := h.ref / neighbours; k != key {
			ok = f.putMixed(hard, key, f.run)
			key, f.run = k, f.run[:0]
		}
		f.run = append(append(f.run, h.sample), h.exemplars...)
	}
	ok = ok && f.putMixed(hard, key, f.run)
	clear(f.held)
	f.held, f.run = f.held[:0], f.run[:0]
	return ok
}

// put hands items of neighbouring series to their shard, waits while that is full, and returns false if hard is done.
func (f *follower) put(hard context.Context, key uint64, k kind, items []item) bool {
	var c counts
	c[k] = len(items)
	return f.enqueue(hard, key, c, items)
}

// putMixed is put for items of several kinds.
func (f *follower) putMixed(hard context.Context, key uint64, items []item) bool {
	return len(items) == 0 || f.enqueue(hard, key, count(items), items)
}

func (f *follower) enqueue(hard context.Context, key uint64, c counts, items []item) bool {
	for k, n := range c {
		if n > 0 {
			f.q.metrics.pending[k].Add(float64(n))
		}
	}
	for {
		s := f.shards[key%uint64(len(f.shards))]
		items = items[s.put(items):]
		if len(items) == 0 {
			return true
		}
		f.q.metrics.enqueueRetries.Inc()
		select {
		case <-s.room:
		case <-f.think.C:
			f.reshard(hard)
		case <-hard.Done():
			f.q.giveUp(count(items))
			return false
		}
	}
}

func (f *follower) startShards(hard context.Context, n int) {
	f.shards = make([]*shard, n)
	for i := range f.shards {
		s := newShard(&f.q.cfg.QueueConfig)
		f.shards[i] = s
		c := &courier{q: f.q, enc: newEncoder(f.q.cfg.ProtobufMessage)}
		f.q.couriers.Go(func() { s.run(hard, c.deliver) })
	}
	f.q.metrics.shards.Set(float64(n))
}

// stopShards waits until all that waits was sent, or cannot be any more.
func (f *follower) stopShards() {
	for _, s := range f.shards {
		s.close()
	}
	for _, s := range f.shards {
		<-s.done
		f.q.giveUp(s.rest())
	}
}

// abandon says what is not sent when a queue ends.
func (f *follower) abandon() {
	lost := f.q.lost.get()
	if n := lost.sum(); n > 0 {
		f.q.log.Error("the time for sending what was left is over", "samples_not_sent", lost[floats], "histograms_not_sent", lost[histograms], "exemplars_not_sent", lost[exemplars],
			"flush_deadline", f.q.m.opts.FlushDeadline)
	}
	if b := f.q.bounds(f.src); b.final && f.tail.Position().Before(b.end) {
		f.q.log.Error("the end of the write-ahead log was not reached, the rest is not sent", "segment", f.tail.Position().Segment, "offset", f.tail.Position().Offset,
			"end_segment", b.end.Segment, "end_offset", b.end.Offset)
	}
}

// reshard thinks over the number of shards. To change it, all that waits is sent first, so that series keep their order.
func (f *follower) reshard(hard context.Context) {
	q := f.q
	q.load.tick(q.m.in.Load())
	behind := float64(q.m.metrics.highest.Load()-q.metrics.highestSent.get()) / 1000
	desired, ok := q.load.desired(behind)
	if !ok {
		return
	}
	q.metrics.desiredShards.Set(desired)
	n := q.cfg.QueueConfig.next(len(f.shards), desired, behind)
	if n == len(f.shards) || !q.load.settled(time.Now()) {
		return
	}
	q.log.Info("another number of shards is needed", "from", len(f.shards), "to", n)
	f.stopShards()
	f.startShards(hard, n)
}

// forget drops series that the log does not name any more, after each checkpoint.
func (f *follower) forget() {
	if last := f.tail.Log().LastCheckpoint(); last <= f.checkpoint || f.tail.Position().Segment <= last {
		return
	}
	last, err := f.learn()
	if err != nil {
		f.q.log.Warn("a checkpoint of the write-ahead log cannot be read, series are forgotten later", "err", err)
		f.checkpoint = f.tail.Log().LastCheckpoint() // Not again and again.
		return
	}
	f.checkpoint = last
	if f.tail.Position().Segment <= last {
		return
	}
	f.table.sweep(func(_ uint64, s *series) bool {
		if s.segment > last {
			return true
		}
		f.names.forget(s)
		return false
	})
	f.q.known.Store(int64(f.table.count))
}

// learn takes in the series that the newest checkpoint names, and returns which one that is.
func (f *follower) learn() (last int, err error) {
	const attempts = 3 // The next checkpoint may take its place.
	for range attempts {
		var found []wal.Series
		var described []wal.Metadata
		last, err = f.tail.Log().ReadCheckpoint(func(rec []byte) {
			switch wal.TypeOf(rec) {
			case wal.TypeSeries:
				found, _ = wal.DecodeSeries(rec, found[:0]) // Damage would be reported by its checksum.
				for i := range found {
					// What is needed behind the checkpoint is kept, as if it was named there.
					f.name(found[i].Ref, found[i].Labels, f.tail.Log().LastCheckpoint()+1)
				}
			case wal.TypeMetadata:
				f.metadata, _ = wal.DecodeMetadata(rec, described[:0])
				if f.q.cfg.ProtobufMessage == V2 {
					f.describeNew()
				}
			}
		})
		if err == nil {
			return last, nil
		}
	}
	return last, err
}

// describeNew gives metadata to series that have none.
func (f *follower) describeNew() {
	for i := range f.metadata {
		if s := f.table.get(f.metadata[i].Ref); s != nil && s.about.Load() == nil {
			f.names.describe(s, &f.metadata[i].Metadata)
		}
	}
	clear(f.metadata)
}

func (f *follower) damaged(d *wal.Damage) {
	f.q.metrics.decodeFailures.Inc()
	f.q.log.Error("write-ahead log is damaged; what can't be read is not sent", "file", d.Segment.Path(), "offset", d.Offset, "bytes", d.Bytes, "err", d.Err)
}

// skipped tells of segments that were deleted before they were read.
func (f *follower) skipped(first, last int) {
	f.lose(f.q.m.tallies.sum(first, last), first, last)
	if _, err := f.learn(); err != nil {
		f.q.log.Error("a checkpoint of the write-ahead log cannot be read: samples of some series will not be sent", "err", err)
	}
}

func (f *follower) skippedLate(first, last int) {
	f.lose(f.q.m.lateTallies.sum(first, last), first, last)
}

func (f *follower) lose(lost counts, first, last int) {
	for k, n := range lost {
		f.q.metrics.dropped(kind(k), deletedFirst, n)
	}
	f.q.log.Error("segments of the write-ahead log were deleted before they were sent: the receiver is too slow, or was away for too long",
		"first", first, "last", last, "samples", lost[floats], "histograms", lost[histograms], "exemplars", lost[exemplars])
}
