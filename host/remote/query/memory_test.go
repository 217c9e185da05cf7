package query

import (
	"bytes"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// TestScratchCounts has answers whose samples take many times the bytes of their message: that counts, too, while it is read.
func TestScratchCounts(t *testing.T) {
	repeated := func(num protowire.Number, message []byte) []byte {
		one := wire.AppendMessage(nil, num, message)
		series := append(pairsMessage(wire.SeriesLabels, "a", "b"), bytes.Repeat(one, 20_000)...)
		return result(wire.AppendMessage(nil, wire.ResultSeries, series))
	}
	wide := wire.AppendWhole(nil, 1, 0, &histogram.Histogram{PositiveSpans: []histogram.Span{{Length: 100}}, PositiveBuckets: make([]int64, 100)})
	for title, message := range map[string][]byte{
		"samples":         repeated(wire.SeriesSamples, nil),
		"histograms":      repeated(wire.SeriesHistograms, nil),
		"wide histograms": repeated(wire.SeriesHistograms, wide),
	} {
		url := serve(t, sends(message))
		limit := int64(len(message)) * 3
		w := newWorld(t, func(o *Options) { o.MaxBytes = limit }, section(url))
		if f := selects(t, w, 0, 10, all()); f.err != nil || len(f.warnings) != 1 || !strings.Contains(f.warnings[0], "takes more than") {
			t.Errorf("%s: got %v, warnings %q, want one of memory", title, f.err, f.warnings)
		}
		if held := w.memory.held.Load(); held != 0 {
			t.Errorf("%s: %d bytes are held in the end", title, held)
		}
	}
}

// TestOverlapCounts has chunks that overlap: all of their samples are in memory while they are merged.
func TestOverlapCounts(t *testing.T) {
	var times []int64
	for i := range int64(10_000) {
		times = append(times, i)
	}
	var x chunk.XORState
	c := storage.Chunk{Encoding: uint8(chunk.EncXOR)}
	for _, at := range times {
		c.Data = x.Append(c.Data, at, 1) // some bits each
	}
	message := frame(chunked(slices.Repeat([]storage.Chunk{c}, 50), "a", "b"))
	url := serve(t, streams(message))
	w := newWorld(t, func(o *Options) { o.MaxBytes = 10 * int64(len(message)) }, section(url))
	if f := selects(t, w, 0, 1e6, all()); f.err != nil || len(f.warnings) != 1 || !strings.Contains(f.warnings[0], "takes more than") {
		t.Errorf("got %v, warnings %q, want one of memory", f.err, f.warnings)
	}
	w = newWorld(t, nil, section(url))
	q, err := w.Querier(0, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	f := drain(q.Select(t.Context(), true, nil, all()))
	if held := w.memory.held.Load(); f.err != nil || len(f.lines) != 1 || held > 500_000 {
		t.Errorf("%d bytes are held for %d series, %v", held, len(f.lines), f.err)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

// TestFailureGivesMemoryBack has a query go on with the memory that the answer of a remote took which failed then, or that was
// needed only while it was read.
func TestFailureGivesMemoryBack(t *testing.T) {
	large := frame(chunked([]storage.Chunk{floats(1, 2, 3)}, "a", strings.Repeat("x", 500_000)))
	var list [][]byte
	for _, name := range []string{"x", "y"} {
		var times []int64
		for i := range int64(10_000) {
			times = append(times, i)
		}
		list = append(list, samplesOf(times, "a", name))
	}
	for title, h := range map[string]http.HandlerFunc{
		"failing": streams(large, []byte{0x80}), "samples": sends(result(list...)),
	} {
		w := newWorld(t, nil, section(serve(t, h)))
		q, err := w.Querier(0, 1e6)
		if err != nil {
			t.Fatal(err)
		}
		b := &budget{left: math.MaxInt64}
		drain(q.Select(t.Context(), true, &storage.SelectHints{Start: 0, End: 1e6, Budget: b}, all()))
		if held := math.MaxInt64 - b.left; held > 100_000 || (title == "failing") != (held == 0) {
			t.Errorf("%s: %d bytes are held", title, held)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}
