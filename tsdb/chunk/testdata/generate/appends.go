package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// story is what a series of histograms becomes: the samples that are appended one after the other, and the chunks.
type story struct {
	Name    string
	Samples []told
	// Cuts are the samples before which a chunk was closed because it is full.
	Cuts   []int
	Chunks [][]byte
}

type told struct {
	T     int64
	Int   *histogram.Histogram      `json:",omitempty"`
	Float *histogram.FloatHistogram `json:",omitempty"`
	// Stale stands for the sum of a stale marker, which JSON can't say.
	Stale bool `json:",omitempty"`
}

// stories writes ../appends.jsonl.
func stories() {
	f, err := os.Create("../appends.jsonl")
	check(err)
	out := json.NewEncoder(f)
	for i, name := range []string{"counter", "gauge", "custom", "float counter", "float gauge", "float custom"} {
		w := walk{r: rand.New(rand.NewPCG(uint64(i), 7)), gauge: i%3 == 1, custom: i%3 == 2}
		check(out.Encode(w.story(name, i >= 3)))
	}
	check(f.Close())
}

// walk is a target whose histogram changes in all ways.
type walk struct {
	r             *rand.Rand
	gauge, custom bool
	pos, neg      map[int]int64
	zero          int64
	schema        int32
	bounds        []float64
	reset         bool
}

func (w *walk) story(name string, float bool) story {
	s := story{Name: name}
	w.clear()
	var chunks []chunkenc.Chunk
	var app chunkenc.Appender
	t := int64(1700000000000)
	for i := range 120 {
		t += 15000 + w.r.Int64N(3)
		h := w.next()
		stale := value.IsStaleNaN(h.Sum)
		cut := i > 0 && w.r.IntN(25) == 0
		var prev chunkenc.Appender
		if cut {
			s.Cuts = append(s.Cuts, i)
		}
		if cut || i == 0 {
			prev = app
			var c chunkenc.Chunk = chunkenc.NewHistogramChunk()
			if float {
				c = chunkenc.NewFloatHistogramChunk()
			}
			chunks = append(chunks, c)
			var err error
			app, err = c.Appender()
			check(err)
		}
		one := told{T: t, Stale: stale}
		var next chunkenc.Chunk
		var recoded bool
		var err error
		// The appender may change what it is given.
		if float {
			one.Float = h.ToFloat(nil)
			next, recoded, app, err = app.AppendFloatHistogram(prev, 0, t, h.ToFloat(nil), false)
		} else {
			one.Int = h.Copy()
			next, recoded, app, err = app.AppendHistogram(prev, 0, t, h, false)
		}
		check(err)
		switch {
		case stale && float:
			one.Float = &histogram.FloatHistogram{}
		case stale:
			one.Int = &histogram.Histogram{}
		}
		s.Samples = append(s.Samples, one)
		switch {
		case recoded:
			chunks[len(chunks)-1] = next
		case next != nil:
			chunks = append(chunks, next)
		}
	}
	for _, c := range chunks {
		s.Chunks = append(s.Chunks, c.Bytes())
	}
	return s
}

func (w *walk) clear() {
	w.pos, w.neg, w.zero = map[int]int64{}, map[int]int64{}, 0
	w.bounds = []float64{0.005, 0.1, 1, math.Pi, 40000, 50000.5}
	if w.custom {
		w.schema = histogram.CustomBucketsSchema
	}
}

func (w *walk) next() *histogram.Histogram {
	switch w.r.IntN(60) {
	case 0:
		w.clear()
	case 1:
		if !w.custom {
			w.schema = (w.schema + 1) % 3
		}
	case 2:
		return &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}
	case 3:
		w.zero += 1 << 40
	}
	for range w.r.IntN(6) {
		w.pos[w.bucket()] += w.r.Int64N(1 << w.r.IntN(12))
		if !w.custom {
			w.neg[w.bucket()] += w.r.Int64N(3)
			w.zero += w.r.Int64N(2)
		}
	}
	if w.gauge && w.r.IntN(4) == 0 {
		for k := range w.pos {
			if k%3 == 0 {
				delete(w.pos, k)
			}
		}
	}
	h := &histogram.Histogram{Schema: w.schema, ZeroCount: uint64(w.zero), ZeroThreshold: 1e-128, Sum: float64(w.r.IntN(1000)) * 0.37}
	if w.custom {
		h.CustomValues, h.ZeroCount, h.ZeroThreshold = w.bounds, 0, 0
	}
	if w.gauge {
		h.CounterResetHint = histogram.GaugeType
	}
	h.Count = h.ZeroCount
	h.PositiveSpans, h.PositiveBuckets = w.side(w.pos, &h.Count)
	h.NegativeSpans, h.NegativeBuckets = w.side(w.neg, &h.Count)
	return h
}

func (w *walk) bucket() int {
	if w.custom {
		return w.r.IntN(len(w.bounds) + 1)
	}
	return w.r.IntN(20) - 8
}

// side leaves out the empty buckets now and then.
func (w *walk) side(counts map[int]int64, total *uint64) (spans []histogram.Span, deltas []int64) {
	var indexes []int
	for k, n := range counts {
		if n > 0 {
			indexes = append(indexes, k)
		}
	}
	slices.Sort(indexes)
	end, before := 0, int64(0)
	add := func(k int) {
		if len(spans) > 0 && k == end {
			spans[len(spans)-1].Length++
		} else {
			spans = append(spans, histogram.Span{Offset: int32(k - end), Length: 1})
		}
		end = k + 1
		deltas = append(deltas, counts[k]-before)
		before = counts[k]
		*total += uint64(counts[k])
	}
	for i, k := range indexes {
		add(k)
		if !w.custom && i+1 < len(indexes) && indexes[i+1] > k+1 && w.r.IntN(5) == 0 {
			add(k + 1)
		}
	}
	return spans, deltas
}
