package query

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/snappy"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// checkAnswer looks whether what was read keeps to the contracts.
func checkAnswer(t *testing.T, a *answer) {
	t.Helper()
	for i, s := range a.series {
		if i > 0 && labels.Compare(a.series[i-1].labels, s.labels) >= 0 {
			t.Fatalf("series %s comes behind %s", s.labels, a.series[i-1].labels)
		}
		var c, whole storage.Columns
		r := s.Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			t.Fatalf("what was checked cannot be read: %v", r.Err())
		}
		for k, at := range c.T {
			if at < a.mint || at > a.maxt || k > 0 && at <= c.T[k-1] {
				t.Fatalf("series %s has times %d in [%d, %d]", s.labels, c.T, a.mint, a.maxt)
			}
		}
		chunks, err := s.Samples(nil).(storage.ChunkReader).Chunks(nil)
		if err != nil {
			t.Fatal(err)
		}
		again := series{chunks: chunks, mint: minTime, maxt: maxTime}
		for r := again.Samples(nil); r.Read(&whole); {
			continue
		}
		if len(whole.T) != len(c.T) {
			t.Fatalf("series %s has %d samples, its chunks %d", s.labels, len(c.T), len(whole.T))
		}
	}
}

// bounded is room for what little is fuzzed.
func bounded() room { return room{all: &shared{max: 1 << 26}} }

func FuzzFrames(f *testing.F) {
	good := chunked([]storage.Chunk{floats(1, 2, 30), floats(4, 5)}, "__name__", "m", "a", "b")
	f.Add(good, good, int64(0), int64(4))
	f.Add(chunked([]storage.Chunk{floats(-5, 2)}, "z", "b", "a", "b"), chunked(nil), int64(-2), int64(4))
	f.Add([]byte{0x0a, 0}, []byte{0xff}, int64(0), int64(4))
	f.Fuzz(func(t *testing.T, first, second []byte, mint, maxt int64) {
		stream := append(frame(first), frame(second)...)
		a := newAnswer(mint, maxt, []string{"a"}, bounded())
		if err := a.readFrames(bytes.NewReader(stream), 1<<20); err == nil {
			checkAnswer(t, a)
		}
		// The same as it comes: as a rule no stream at all.
		_ = newAnswer(mint, maxt, nil, bounded()).readFrames(bytes.NewReader(append(first, second...)), 1<<20)
	})
}

func FuzzSamples(f *testing.F) {
	native := wire.AppendMessage(pairsMessage(wire.SeriesLabels, "a", "b"), wire.SeriesHistograms, wire.AppendWhole(nil, 1, 0, wholeNative(4)))
	f.Add(result(samplesOf([]int64{1, 2, 5, 3}, "a", "b"), wire.AppendMessage(nil, wire.ResultSeries, native)), int64(0), int64(4))
	f.Add([]byte{0x0a, 0}, int64(0), int64(4))
	f.Fuzz(func(t *testing.T, message []byte, mint, maxt int64) {
		a := newAnswer(mint, maxt, []string{"a"}, bounded())
		if err := a.readSamples(bytes.NewReader(snappy.Encode(nil, message))); err == nil {
			checkAnswer(t, a)
		}
		_ = newAnswer(mint, maxt, nil, bounded()).readSamples(bytes.NewReader(message))
	})
}
