package head

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// LateCut is a set of out-of-order samples that is on its way into blocks.
type LateCut struct {
	h *Head
	// MinTime and MaxTime bound the samples, both included.
	MinTime, MaxTime int64
	// segment is the first of the log that has none of them.
	segment int
}

// BeginLateCut takes all out-of-order samples that there are for blocks; ok is false if there are none. Samples that
// come later are not part of it. Write them with [LateCut.Series], then call [LateCut.Done]; a cut that is given up needs
// nothing.
func (h *Head) BeginLateCut() (c *LateCut, ok bool, err error) {
	h.commit.Lock()
	defer h.commit.Unlock()
	if h.lateLog == nil || h.lateMin.Load() > h.lateMax.Load() {
		return nil, false, nil
	}
	if err := h.lateLog.NextSegment(); err != nil {
		return nil, false, fmt.Errorf("out-of-order log: %w", err)
	}
	c = &LateCut{h: h, MinTime: math.MaxInt64, MaxTime: math.MinInt64}
	c.segment = h.lateLog.Index()
	// Snapshots may be older than what is closed here.
	h.snapshots.mu.Lock()
	_, watched := h.snapshots.oldest()
	h.snapshots.mu.Unlock()
	began := 0
	h.eachLate(func(_ uint32, _ *page, l *lateSeries) {
		began += l.close(watched)
		l.cutting = len(l.full)
		minT, maxT, _ := l.bounds()
		c.MinTime, c.MaxTime = min(c.MinTime, minT), max(c.MaxTime, maxT)
	})
	h.chunks.Add(int64(began))
	h.metrics.chunksCreated.Add(float64(began))
	return c, c.MinTime <= c.MaxTime, nil
}

// eachLate calls f with each series that has out-of-order samples, its page locked.
func (h *Head) eachLate(f func(id uint32, p *page, l *lateSeries)) {
	h.index.mu.RLock()
	defer h.index.mu.RUnlock()
	h.index.each(func(first uint32, p *page) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i, l := range p.late {
			f(first+uint32(i), p, l)
		}
	})
}

// Series calls f with each series of the cut that has samples in [mint, maxt), in the order of labels, and the chunks
// that hold exactly these; it stops when f fails.
func (c *LateCut) Series(ctx context.Context, mint, maxt int64, f func(labels.Labels, []block.Chunk) error) error {
	h := c.h
	readings := map[uint32]lateReading{}
	var ids []uint32
	h.eachLate(func(id uint32, _ *page, l *lateSeries) {
		if l.cutting > 0 {
			readings[id] = lateReading{full: l.full[:l.cutting], seq: math.MaxUint64}
			ids = append(ids, id)
		}
	})
	for _, id := range h.index.sort(ids) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r := readings[id]
		points, err := r.points(mint, maxt-1)
		if err != nil {
			return fmt.Errorf("series %s: %w", h.index.labels(id), err)
		}
		h.extra.mu.RLock()
		deleted := h.extra.deleted[id]
		h.extra.mu.RUnlock()
		var samples []lateSample
		for _, p := range points {
			if !inAny(deleted, p.t) {
				samples = append(samples, p.sample())
			}
		}
		if len(samples) == 0 {
			continue
		}
		if err := f(h.index.labels(id), blockChunks(samples)); err != nil {
			return err
		}
	}
	return nil
}

// sample is the inverse of decoding.
func (p *latePoint) sample() lateSample {
	s := lateSample{t: p.t, st: p.st, v: p.f}
	switch p.enc {
	case chunk.EncHistogram, chunk.EncHistogramST:
		s.native.Int = p.h.ToInt()
	case chunk.EncFloatHistogram, chunk.EncFloatHistogramST:
		s.native.Float = p.h
	}
	return s
}

func blockChunks(samples []lateSample) []block.Chunk {
	var chunks []block.Chunk
	for len(samples) > 0 {
		enc, data, n := encodeRun(samples)
		chunks = append(chunks, block.Chunk{Encoding: enc, Data: data, MinTime: samples[0].t, MaxTime: samples[n-1].t})
		samples = samples[n:]
	}
	return chunks
}

// Done forgets the samples of the cut, which are in blocks by now, and their part of the log. It waits for the queriers
// that are open when it is called.
func (c *LateCut) Done(ctx context.Context) error {
	h := c.h
	if err := h.snapshots.wait(ctx); err != nil {
		return fmt.Errorf("wait for queries: %w", err)
	}
	h.truncating.Lock()
	defer h.truncating.Unlock()
	start := time.Now()
	h.commit.Lock()
	dropped := 0
	h.forgetLateBounds()
	h.eachLate(func(id uint32, p *page, l *lateSeries) {
		dropped += l.cutting
		l.full, l.cutting = l.full[l.cutting:len(l.full):len(l.full)], 0
		minT, maxT, ok := l.bounds()
		if !ok {
			delete(p.late, uint8(id%pageSize))
			return
		}
		h.extendLate(minT)
		h.extendLate(maxT)
	})
	h.chunks.Add(-int64(dropped))
	h.metrics.chunksRemoved.Add(float64(dropped))
	h.commit.Unlock()
	h.metrics.gc.Observe(time.Since(start).Seconds())
	if err := h.lateLog.Truncate(c.segment); err != nil {
		return fmt.Errorf("out-of-order log: %w", err)
	}
	return h.dropFiles()
}
