package send

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// maxHeld is the number of samples from which on no more records are held until their exemplars are known.
const maxHeld = 1 << 15

// pollInterval is how often the log is looked at although nobody said that something was written.
const pollInterval = 15 * time.Second

func newFollower(q *queue, src Source, from, lateFrom *wal.Position) *follower {
	f := &follower{
		q: q, src: src, lateFrom: lateFrom, table: newTable(), checkpoint: src.Log().LastCheckpoint(),
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
	f.q.load.seen = f.q.m.in.Load() // What came in before is not for this queue to keep up with.
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
	f.q.reached = bounds{end: f.tail.Position(), late: f.lateFrom}
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
			// Floats begin a batch; many records without any are of many batches.
			ok = (len(f.held) < maxHeld || f.release(hard)) && f.sendHistograms(hard)
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
