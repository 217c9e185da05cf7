package head

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// maxLate is the number of samples that come out of order at which a chunk is made of them.
const maxLate = 32

// lateSeries holds what came out of order for one series, beside the page, as histograms are. Chunks overlap each other
// and those of the page.
type lateSeries struct {
	// open are the latest samples in order of time.
	open []lateSample
	full []lateChunk
	// cutting is the number of chunks, from the first on, that are being written to a block.
	cutting int
}

type lateSample struct {
	t, st  int64
	v      float64
	native chunk.Native
	// seq is the batch that brought it.
	seq uint64
}

type lateChunk struct {
	fullChunk
	// lastSeq is the last batch that brought one of the samples. seqs are those of all samples, and nil if there was no
	// older snapshot when the chunk was made.
	lastSeq uint64
	seqs    []uint64
}

// appendLate adds a sample to those that came out of order; watched tells that there are snapshots. It reports whether
// there was none at that time among the latest, and how many chunks it made.
func (p *page) appendLate(i int, s lateSample, watched bool) (added bool, began int) {
	if p.late == nil {
		p.late = map[uint8]*lateSeries{}
	}
	l := p.late[uint8(i)]
	if l == nil {
		l = &lateSeries{}
		p.late[uint8(i)] = l
	}
	at, found := slices.BinarySearchFunc(l.open, s.t, func(o lateSample, t int64) int { return cmp.Compare(o.t, t) })
	if found {
		return false, 0
	}
	l.open = slices.Insert(l.open, at, s)
	if len(l.open) >= maxLate {
		began = l.close(watched)
	}
	return true, began
}

// close makes chunks of the latest samples, as many as their kinds take, and returns how many.
func (l *lateSeries) close(watched bool) int {
	before := len(l.full)
	for rest := l.open; len(rest) > 0; {
		enc, data, n := encodeRun(rest)
		c := lateChunk{fullChunk: fullChunk{enc: enc, minT: rest[0].t, maxT: rest[n-1].t, data: data}}
		for _, s := range rest[:n] {
			c.lastSeq = max(c.lastSeq, s.seq)
			if watched {
				c.seqs = append(c.seqs, s.seq)
			}
		}
		l.full = append(l.full, c)
		rest = rest[n:]
	}
	l.open = nil
	return len(l.full) - before
}

// encodeRun makes a chunk of the first samples, as many as it can hold, and returns how many these are.
func encodeRun(samples []lateSample) (enc chunk.Encoding, data []byte, n int) {
	if samples[0].native == (chunk.Native{}) {
		return encodeFloats(samples)
	}
	var w *chunk.HistogramWriter
	if slices.ContainsFunc(samples, func(s lateSample) bool { return s.st != 0 }) {
		w = chunk.BeginHistogramsST(nil, samples[0].t, samples[0].st, samples[0].native)
	} else {
		w = chunk.BeginHistograms(nil, samples[0].t, samples[0].native)
	}
	n = 1
	for n < len(samples) && !w.Full() && samples[n].native != (chunk.Native{}) && w.AppendST(samples[n].t, samples[n].st, samples[n].native) {
		n++
	}
	return w.Encoding(), w.Bytes(), n
}

// encodeFloats is encodeRun for floats: XOR2 is used where there are start timestamps.
func encodeFloats(samples []lateSample) (enc chunk.Encoding, data []byte, n int) {
	starts := false
	for n < len(samples) && n < chunk.TargetSamples && samples[n].native == (chunk.Native{}) {
		starts = starts || samples[n].st != 0
		n++
	}
	if starts {
		var w chunk.XOR2Writer
		for _, s := range samples[:n] {
			w.Append(s.t, s.st, s.v)
		}
		return chunk.EncXOR2, w.Bytes(), n
	}
	var x chunk.XORState
	for _, s := range samples[:n] {
		data = x.Append(data, s.t, s.v)
	}
	return chunk.EncXOR, data, n
}

// bounds returns the times of the first and the last sample; ok is false without samples.
func (l *lateSeries) bounds() (minT, maxT int64, ok bool) {
	minT, maxT = math.MaxInt64, math.MinInt64
	if l == nil {
		return minT, maxT, false
	}
	if n := len(l.open); n > 0 {
		minT, maxT = l.open[0].t, l.open[n-1].t
	}
	for i := range l.full {
		minT, maxT = min(minT, l.full[i].minT), max(maxT, l.full[i].maxT)
	}
	return minT, maxT, minT <= maxT
}

// span is bounds with what came out of order.
func (p *page) span(i int) (minT, maxT int64, ok bool) {
	minT, maxT, ok = p.bounds(i)
	lateMin, lateMax, late := p.late[uint8(i)].bounds()
	switch {
	case late && ok:
		return min(minT, lateMin), max(maxT, lateMax), true
	case late:
		return lateMin, lateMax, true
	}
	return minT, maxT, ok
}

// lateReading are the parts of a series that came out of order and that a snapshot shows. They are not written to.
type lateReading struct {
	open []lateSample
	full []lateChunk
	seq  uint64
}

// readLate notes what there is to read. The caller holds the lock.
func (p *page) readLate(i int, seq uint64) lateReading {
	l := p.late[uint8(i)]
	if l == nil {
		return lateReading{}
	}
	return lateReading{open: slices.Clone(l.open), full: l.full, seq: seq}
}

// latePoint is a decoded sample. enc is the encoding of its chunk, part the number of that, negative for the open one.
type latePoint struct {
	t    int64
	st   int64
	f    float64
	h    *histogram.FloatHistogram
	enc  chunk.Encoding
	part int
}

// points returns the samples in [mint, maxt], in order of time, each time once: of several, the one that came first.
func (r *lateReading) points(mint, maxt int64) ([]latePoint, error) {
	var all []latePoint
	for k := range r.full {
		c := &r.full[k]
		if c.maxT < mint || c.minT > maxt {
			continue
		}
		var cols chunk.Columns
		if err := chunk.Decode(c.enc, c.data, math.MinInt64, math.MaxInt64, &cols); err != nil {
			return nil, fmt.Errorf("read chunk of out-of-order samples in head: %w", err)
		}
		for j, t := range cols.T {
			if t < mint || t > maxt || c.lastSeq > r.seq && c.seqs != nil && c.seqs[j] > r.seq {
				continue
			}
			one := latePoint{t: t, f: cols.F[j], enc: c.enc, part: k}
			if len(cols.H) > 0 {
				one.h = cols.H[j]
			}
			if len(cols.ST) > 0 {
				one.st = cols.ST[j]
			}
			all = append(all, one)
		}
	}
	for k := range r.open {
		s := &r.open[k]
		if s.t < mint || s.t > maxt || s.seq > r.seq {
			continue
		}
		one := latePoint{t: s.t, st: s.st, f: s.v, enc: chunk.EncXOR, part: -1}
		switch {
		case s.native.Int != nil:
			one.f, one.h, one.enc = 0, s.native.Int.ToFloat(), chunk.EncHistogram
		case s.native.Float != nil:
			one.f, one.h, one.enc = 0, s.native.Float, chunk.EncFloatHistogram
		}
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(a, b latePoint) int { return cmp.Compare(a.t, b.t) })
	all = slices.CompactFunc(all, func(a, b latePoint) bool { return a.t == b.t })
	for i := range all {
		// What senders say about the sample before is about the one that they sent before.
		if p := &all[i]; p.part < 0 || i == 0 || all[i-1].part != p.part {
			p.h = histogram.ForgetReset(p.h)
		}
	}
	return all, nil
}

// mergeLate adds to dst, from sample number from on, the late points up to limit, in order of time; where both have a
// sample, the one in dst counts. It returns the points that are left.
func mergeLate(dst *storage.Columns, from int, points []latePoint, limit int64) []latePoint {
	n, _ := slices.BinarySearchFunc(points, limit, func(p latePoint, t int64) int {
		if p.t <= t {
			return -1
		}
		return 1
	})
	if n == 0 {
		return points
	}
	var tail storage.Columns
	tail.T, tail.F = slices.Clone(dst.T[from:]), slices.Clone(dst.F[from:])
	if len(dst.H) > 0 {
		tail.H = slices.Clone(dst.H[from:])
	}
	if len(dst.ST) > 0 {
		tail.ST = slices.Clone(dst.ST[from:])
	}
	cutColumns(dst, from)
	rest := points[:n]
	late := false // Whether the sample before is late: what a histogram says about the one before it is true of no other.
	for k, t := range tail.T {
		for len(rest) > 0 && rest[0].t < t {
			appendKnown(dst, rest[0], late)
			rest, late = rest[1:], true
		}
		if len(rest) > 0 && rest[0].t == t {
			rest = rest[1:]
		}
		p := latePoint{t: t, f: tail.F[k]}
		if len(tail.H) > 0 {
			p.h = tail.H[k]
		}
		if len(tail.ST) > 0 {
			p.st = tail.ST[k]
		}
		appendKnown(dst, p, !late)
		late = false
	}
	for _, p := range rest {
		appendKnown(dst, p, late)
		late = true
	}
	return points[n:]
}

// appendKnown adds a sample, which says whether its counter was reset only if that is known.
func appendKnown(dst *storage.Columns, p latePoint, known bool) {
	dst.AppendST(p.t, p.st, p.f, p.h)
	if !known {
		dst.ForgetReset(dst.Len() - 1)
	}
}

// cutColumns keeps the first n samples.
func cutColumns(c *storage.Columns, n int) {
	c.T, c.F = c.T[:n], c.F[:n]
	clear(c.H[min(n, len(c.H)):])
	c.H, c.ST = c.H[:min(n, len(c.H))], c.ST[:min(n, len(c.ST))]
}
