package send

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
)

// courier delivers the batches of one shard.
type courier struct {
	q   *queue
	enc encoder
	// buf is memory for a compressed request.
	buf []byte
}

// deliver sends a batch, and tries again until it is taken or refused, or ctx is done.
func (c *courier) deliver(ctx context.Context, batch []item) {
	q, all := c.q, count(batch)
	defer q.sub(all)
	p := parcel{courier: c, items: batch, counts: all}
	begin := time.Now()
	taken, err := q.insist(ctx, &p)
	if err != nil && ctx.Err() != nil {
		q.lost.add(p.counts)
		for k, n := range p.counts {
			q.metrics.failed[k].Add(float64(n))
		}
		return
	}
	q.metrics.bytes.Add(float64(p.size))
	q.metrics.highestSent.set(p.newest) // Also of what was refused, as upstream has it: the queue is not behind.
	q.load.out.add(int64(all.sum()))
	q.load.took.add(int64(time.Since(begin)))
	q.load.lastSent.Store(time.Now().UnixNano())
	q.account(p.counts, taken, err)
}

// account counts what was not taken and says so.
func (q *queue) account(sent counts, taken written, err error) {
	if err == nil && q.cfg.ProtobufMessage == V1 && !taken.known {
		taken.counts = sent
	}
	missing := 0
	var failed counts
	for k := range kinds {
		failed[k] = max(sent[k]-taken.counts[k], 0)
		q.metrics.failed[k].Add(float64(failed[k]))
		missing += failed[k]
	}
	if missing == 0 && err == nil {
		return
	}
	omitted, ok := q.refused.due()
	if !ok {
		return
	}
	attrs := []any{"failedSampleCount", failed[floats], "failedHistogramCount", failed[histograms], "failedExemplarCount", failed[exemplars], "messages_left_out", omitted}
	if err == nil {
		q.log.Error("the receiver says that it took a request, but not all that is in it", attrs...)
		return
	}
	q.log.Error("samples are refused, and not sent again", append(attrs, "err", err)...)
}

// parcel is a request that is made of a batch.
type parcel struct {
	courier *courier
	items   []item
	counts  counts
	body    *body
	size    int
	// oldest and newest are times of items.
	oldest, newest int64
}

// pack makes the request, anew if there is one already.
func (p *parcel) pack() {
	c := p.courier
	p.oldest, p.newest = p.items[0].t, p.items[0].t
	for i := range p.items {
		p.oldest, p.newest = min(p.oldest, p.items[i].t), max(p.newest, p.items[i].t)
	}
	message := c.enc.encode(p.items)
	if n := s2.MaxEncodedLen(len(message)); cap(c.buf) < n {
		c.buf = make([]byte, n+n/8)
	}
	p.body = &body{data: s2.EncodeSnappy(c.buf[:cap(c.buf)], message)}
	p.size = len(p.body.data)
}

// put gives the memory of the request back, unless the transport still has it.
func (p *parcel) put() {
	if p.body != nil && p.body.open.Load() > 0 {
		p.courier.buf = nil
	}
	p.body = nil
}

// attempt makes the parcel ready and posts it. gone says that nothing of it was worth sending any more.
func (p *parcel) attempt(ctx context.Context, try int) (taken written, gone bool, err error) {
	q := p.courier.q
	if limit := time.Duration(q.cfg.QueueConfig.SampleAgeLimit); limit > 0 && (p.body == nil || p.oldest < oldestAt(limit)) {
		p.put()
		if p.dropOld(limit); len(p.items) == 0 {
			return written{}, true, nil
		}
	}
	if p.body == nil {
		p.pack()
	}
	for k, n := range p.counts {
		q.metrics.sent[k].Add(float64(n))
	}
	begin := time.Now()
	taken, err = q.client.Load().post(ctx, p.body, try, q.cfg.QueueConfig.RetryOnHTTP429)
	q.metrics.batchDuration.Observe(time.Since(begin).Seconds())
	if err == nil && q.cfg.ProtobufMessage == V2 && taken.sum() == 0 {
		err = &failure{err: fmt.Errorf("sent v2 request with %d samples, %d histograms and %d exemplars; got 2xx, but the headers of the answer do not say that anything was written: "+
			"the receiver may know remote write 1.0 only", p.counts[floats], p.counts[histograms], p.counts[exemplars])}
	}
	return taken, false, err
}

func oldestAt(limit time.Duration) int64 { return time.Now().Add(-limit).UnixMilli() }

// dropOld leaves out what has become too old.
func (p *parcel) dropOld(limit time.Duration) {
	kept := p.items[:0]
	oldest := oldestAt(limit)
	for i := range p.items {
		if it := &p.items[i]; it.t < oldest {
			k := it.kind()
			p.courier.q.metrics.dropped(k, tooOld, 1)
			p.counts[k]--
		} else {
			kept = append(kept, *it)
		}
	}
	p.items = kept
}

// insist posts a parcel until it is taken or refused.
func (q *queue) insist(ctx context.Context, p *parcel) (all written, err error) {
	defer p.put()
	gone := false
	err = q.retry(ctx, func(try int) error {
		taken, nothing, err := p.attempt(ctx, try)
		for k := range kinds {
			all.counts[k] += taken.counts[k]
		}
		all.known, gone = taken.known, nothing
		if err != nil && q.cfg.FailedRequestLogging && q.cfg.ProtobufMessage == V2 {
			q.logRequest(ctx, p, err)
		}
		return err
	}, func() {
		for k, n := range p.counts {
			q.metrics.retried[k].Add(float64(n))
		}
	})
	if gone {
		all.counts = p.counts
	}
	return all, err
}

// logRequest says what a request is about.
func (q *queue) logRequest(ctx context.Context, p *parcel, err error) {
	if !q.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	var first []string
	for _, s := range p.items[0].series.symbols {
		first = append(first, s.text)
	}
	q.log.Debug("remote write request failed", "samples", p.counts[floats], "histograms", p.counts[histograms], "exemplars", p.counts[exemplars],
		"bytes", p.size, "oldest", p.oldest, "newest", p.newest, "first_series", first, "err", err)
}

// retry calls try until it succeeds, fails for good, or ctx is done, with growing pauses. again is called before each repetition.
func (q *queue) retry(ctx context.Context, try func(attempt int) error, again func()) error {
	backoff := time.Duration(q.cfg.QueueConfig.MinBackoff)
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := try(attempt)
		var f *failure
		if err == nil || !errors.As(err, &f) || !f.again {
			return err
		}
		pause := max(backoff, time.Millisecond)
		if f.after > 0 {
			pause = f.after
		}
		q.load.pause(time.Now().Add(2 * pause))
		if omitted, ok := q.failing.due(); ok && ctx.Err() == nil {
			q.log.Warn("a request failed and will be sent again", "attempt", attempt+1, "pause", pause, "err", f.err, "messages_left_out", omitted)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
		again()
		backoff = min(2*pause, time.Duration(q.cfg.QueueConfig.MaxBackoff))
	}
}

// sparing lets a message through now and then.
type sparing struct {
	mu      sync.Mutex
	last    time.Time
	omitted int
}

// quiet is how long nothing is said after a message.
const quiet = 10 * time.Second

// due reports whether it is time for a message, and how many were left out before it.
func (s *sparing) due() (omitted int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !s.last.IsZero() && now.Sub(s.last) < quiet {
		s.omitted++
		return 0, false
	}
	omitted, s.omitted, s.last = s.omitted, 0, now
	return omitted, true
}
