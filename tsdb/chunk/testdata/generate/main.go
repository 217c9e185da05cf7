// Command generate writes ../upstream.jsonl: chunks of all encodings made by Prometheus's own library, each with the
// samples that the library reads from it, and ../appends.jsonl: the chunks that a series of histograms becomes. It is a module of its own, so that the library stays out of the product's.
//
//	go run . > ../upstream.jsonl
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// line is a chunk with its samples.
type line struct {
	Name     string
	Encoding int
	Data     []byte
	Samples  []point
}

// point is a sample; floats that may be NaN are the hexadecimal digits of their bits.
type point struct {
	T, ST int64
	F     string     `json:",omitempty"`
	H     *nativeOne `json:",omitempty"`
}

type nativeOne struct {
	Hint                            int
	Schema                          int32
	Spans                           [2][]histogram.Span
	ZeroThreshold, Zero, Count, Sum string
	Pos, Neg, Custom                []float64
}

func hex(f float64) string { return fmt.Sprintf("%016x", math.Float64bits(f)) }

func main() {
	g := &generator{r: rand.New(rand.NewPCG(5, 6)), out: json.NewEncoder(os.Stdout)}
	none := func(int) int64 { return 0 }
	g.floats("xor", chunkenc.NewXORChunk(), 120, none)
	g.floats("xor2 without start times", chunkenc.NewXOR2Chunk(), 150, none)
	g.floats("xor2 with one start time", chunkenc.NewXOR2Chunk(), 150, func(int) int64 { return 1699999999000 })
	g.floats("xor2 with changing start times", chunkenc.NewXOR2Chunk(), 100, func(i int) int64 { return 1699999999000 + int64(i/7)*60000 })
	g.floats("xor2 with a late start time", chunkenc.NewXOR2Chunk(), 140, func(i int) int64 { return 1700000000000 * int64(min(i/40, 1)) })
	g.floats("xor2 with a start time from the second", chunkenc.NewXOR2Chunk(), 20, func(i int) int64 { return int64(i) * 1000 })
	some := func(i int) int64 { return 1699999999000 + int64(i/5)*1000 }
	g.kinds("integer", "", false, func() chunkenc.Chunk { return chunkenc.NewHistogramChunk() }, none)
	g.kinds("float", "", true, func() chunkenc.Chunk { return chunkenc.NewFloatHistogramChunk() }, none)
	g.kinds("integer", " with start times", false, func() chunkenc.Chunk { return chunkenc.NewHistogramSTChunk() }, some)
	g.kinds("float", " with start times", true, func() chunkenc.Chunk { return chunkenc.NewFloatHistogramSTChunk() }, some)
	g.histograms("stale alone", chunkenc.NewHistogramChunk(), kind{stale: true, samples: 1}, none)
	stories()
}

type generator struct {
	r   *rand.Rand
	out *json.Encoder
}

// floats fills a chunk with distances and values of all sizes, and stale markers.
func (g *generator) floats(name string, c chunkenc.Chunk, n int, st func(i int) int64) {
	app, err := c.Appender()
	check(err)
	t, v := int64(1700000000000), 0.0
	for i := range n {
		t += 15000
		switch g.r.IntN(8) {
		case 0:
			t += g.r.Int64N(20) - 10
		case 1:
			t += g.r.Int64N(400000)
		case 2:
			if g.r.IntN(3) == 0 {
				t += g.r.Int64N(1 << 40)
			}
		}
		switch g.r.IntN(6) {
		case 0:
			v = g.r.NormFloat64()
		case 1, 2:
			v += float64(g.r.IntN(100))
		case 3:
			v = math.Float64frombits(g.r.Uint64())
		}
		w := v
		if g.r.IntN(12) == 0 {
			w = math.Float64frombits(value.StaleNaN)
		}
		app.Append(st(i), t, w)
	}
	g.dump(name, c)
}

// kind says what the histograms of a chunk are like.
type kind struct {
	float, gauge, custom bool
	// stale ends the chunk with two stale markers.
	stale   bool
	samples int
}

func (g *generator) kinds(name, suffix string, float bool, newChunk func() chunkenc.Chunk, st func(i int) int64) {
	g.histograms(name+" counter"+suffix, newChunk(), kind{float: float, stale: true, samples: 20}, st)
	g.histograms(name+" gauge"+suffix, newChunk(), kind{float: float, gauge: true, samples: 10}, st)
	g.histograms(name+" custom buckets"+suffix, newChunk(), kind{float: float, custom: true, samples: 10}, st)
}

func (g *generator) histograms(name string, c chunkenc.Chunk, k kind, st func(i int) int64) {
	app, err := c.Appender()
	check(err)
	t := int64(1700000000000)
	for i := range k.samples {
		t += 15000 + g.r.Int64N(5)
		h := k.histogram(int64(i + 1))
		if k.stale && i >= k.samples-2 {
			h = &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}
		}
		var next chunkenc.Chunk
		if k.float {
			next, _, app, err = app.AppendFloatHistogram(nil, st(i), t, h.ToFloat(nil), false)
		} else {
			next, _, app, err = app.AppendHistogram(nil, st(i), t, h, false)
		}
		check(err)
		if next != nil {
			log.Fatalf("%s: sample %d begins a new chunk", name, i)
		}
	}
	g.dump(name, c)
}

// histogram returns one whose counts grow with i.
func (k kind) histogram(i int64) *histogram.Histogram {
	h := &histogram.Histogram{
		Schema: 3, ZeroThreshold: 0.001, ZeroCount: uint64(i), Sum: float64(i) * 3.7,
		PositiveSpans:   []histogram.Span{{Offset: -2, Length: 3}, {Offset: 4, Length: 2}},
		NegativeSpans:   []histogram.Span{{Offset: 1, Length: 2}},
		NegativeBuckets: []int64{i, 2 * i},
		Count:           uint64(5 * i),
	}
	if k.custom {
		h = &histogram.Histogram{
			Schema: histogram.CustomBucketsSchema, Sum: h.Sum,
			PositiveSpans: []histogram.Span{{Offset: 0, Length: 5}},
			CustomValues:  []float64{0.005, 0.1, 1, math.Pi},
		}
	}
	before := int64(0)
	for b := range int64(5) {
		n := (b + 1) * i * (i + 3)
		h.Count += uint64(n)
		h.PositiveBuckets = append(h.PositiveBuckets, n-before)
		before = n
	}
	if k.gauge {
		h.CounterResetHint = histogram.GaugeType
	}
	return h
}

func (g *generator) dump(name string, c chunkenc.Chunk) {
	l := line{Name: name, Encoding: int(c.Encoding()), Data: c.Bytes()}
	it := c.Iterator(nil)
	for vt := it.Next(); vt != chunkenc.ValNone; vt = it.Next() {
		p := point{ST: it.AtST()}
		if vt == chunkenc.ValFloat {
			var f float64
			p.T, f = it.At()
			p.F = hex(f)
		} else {
			var h *histogram.FloatHistogram
			p.T, h = it.AtFloatHistogram(nil)
			p.H = &nativeOne{
				Hint: int(h.CounterResetHint), Schema: h.Schema, Spans: [2][]histogram.Span{h.PositiveSpans, h.NegativeSpans},
				ZeroThreshold: hex(h.ZeroThreshold), Zero: hex(h.ZeroCount), Count: hex(h.Count), Sum: hex(h.Sum),
				// The iterator writes over its slices.
				Pos: append([]float64(nil), h.PositiveBuckets...), Neg: append([]float64(nil), h.NegativeBuckets...),
				Custom: h.CustomValues,
			}
		}
		l.Samples = append(l.Samples, p)
	}
	check(it.Err())
	check(g.out.Encode(l))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
