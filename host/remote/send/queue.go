package send

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// queue is an entry of remote_write in use.
type queue struct {
	m        *Manager
	cfg      *Config
	hash     string
	name     string
	external labels.Labels
	log      *slog.Logger
	metrics  *queueMetrics
	client   atomic.Pointer[client]
	load     load
	couriers sync.WaitGroup

	// refused, failing and strange keep messages apart.
	refused, failing, strange sparing
	// lost is what was not sent when the time for that was over.
	lost tally

	// known is the number of series that the log names.
	known atomic.Int64

	// wake tells that something was written, or that the queue is to end.
	wake chan struct{}
	// soft ends what need not be finished, hard everything.
	stopSoft, stopHard context.CancelFunc
	// before is the queue whose place this one takes, nil if there is none. done is closed when this one has ended; reached is then how
	// far it has read.
	before  *queue
	done    chan struct{}
	reached bounds
	// from and lateFrom are where reading begins; nil is the start of the logs.
	from, lateFrom *wal.Position

	mu sync.Mutex
	// limit is where reading ends; nil until the queue is told to end.
	limit *bounds
}

// bounds are how far the logs are read.
type bounds struct {
	end wal.Position
	// late is nil if there is no log of what comes out of order.
	late *wal.Position
	// final says that nothing behind them is to be read.
	final bool
}

// tally is a sum of counts.
type tally struct {
	mu  sync.Mutex
	sum counts
}

func (t *tally) add(c counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, n := range c {
		t.sum[k] += n
	}
}

func (t *tally) get() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sum
}

// endOf returns where the logs end now. That of what comes out of order is asked first: the other one names the series in it.
func endOf(src Source) (b bounds) {
	if late := src.LateLog(); late != nil {
		end := late.End()
		b.late = &end
	}
	b.end = src.Log().End()
	return b
}

// bounds returns how far the logs may be read now.
func (q *queue) bounds(src Source) bounds {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.limit != nil {
		return *q.limit
	}
	return endOf(src)
}

// end has the queue read up to where the logs end now, send what it has, and end. It is given as much time as the flush deadline.
func (q *queue) end(src Source) bounds {
	q.mu.Lock()
	if q.limit == nil {
		b := endOf(src)
		b.final = true
		q.limit = &b
	}
	b := *q.limit
	q.mu.Unlock()
	q.stopSoft()
	signal(q.wake)
	time.AfterFunc(q.m.opts.FlushDeadline, q.stopHard)
	return b
}

// run works until the queue has ended, or ctx is done.
func (q *queue) run(soft, hard context.Context, src Source) {
	defer close(q.done)
	defer q.metrics.release()
	defer q.stopHard()
	start := src.Log().Start()
	from := &start
	if q.from != nil {
		from = q.from
	}
	f := newFollower(q, src, from, q.lateFrom)
	if q.before != nil {
		select {
		case <-q.before.done: // Series keep their order.
			// It may have had no time left to read everything.
			f.begin(q.before.reached.end)
			f.lateFrom = q.before.reached.late
		case <-hard.Done():
		}
		q.before = nil
	}
	q.log.Info("remote write begins", "series", f.table.count, "segment", from.Segment)
	if q.cfg.ProtobufMessage == V1 && q.cfg.MetadataConfig.Send && q.m.opts.Metadata != nil {
		q.couriers.Go(func() { q.sendMetadata(soft) })
	}
	f.follow(hard)
	q.couriers.Wait()
	q.client.Load().http.CloseIdleConnections()
	q.log.Info("remote write has ended")
}

// sub takes what is done from what is pending.
func (q *queue) sub(done counts) {
	for k, n := range done {
		q.metrics.pending[k].Sub(float64(n))
	}
}

// giveUp counts what is not sent, as the time for it is over.
func (q *queue) giveUp(left counts) {
	q.sub(left)
	q.lost.add(left)
	for k, n := range left {
		q.metrics.failed[k].Add(float64(n))
	}
}
