package block

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// benchBlock has 10,000 series with 3 chunks of 120 samples each: an hour and a half at 15 s.
func benchBlock(b *testing.B) *Block {
	b.Helper()
	dir := b.TempDir()
	w, err := NewWriter(WriterOptions{Dir: dir, MinTime: 0, MaxTime: 7_200_000})
	if err != nil {
		b.Fatal(err)
	}
	addBenchSeries(b, w)
	meta, err := w.Finish()
	if err != nil {
		b.Fatal(err)
	}
	blk, err := Open(filepath.Join(dir, meta.ULID.String()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = blk.Close() })
	return blk
}

func addBenchSeries(b *testing.B, w *Writer) {
	b.Helper()
	for i := range 10_000 {
		ls := labels.FromStrings("__name__", "http_requests_total", "instance", fmt.Sprintf("host-%05d:9100", i), "job", "api", "zone", fmt.Sprint(i%3))
		var chunks []Chunk
		t, v := int64(i%15_000), 0.0
		for range 3 {
			var s chunk.XORState
			var data []byte
			first := t
			for k := range 120 {
				v += float64((i*k)%97) / 8
				data = s.Append(data, t, v)
				t += 15_000
			}
			chunks = append(chunks, Chunk{chunk.EncXOR, data, first, s.LastT()})
		}
		if err := w.Add(ls, chunks); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuerier(b *testing.B) {
	blk := benchBlock(b)
	q, err := blk.Querier(0, 7_200_000)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	job := labels.MustNewMatcher(labels.MatchEqual, "job", "api")
	b.Run("read=samples", func(b *testing.B) {
		b.ReportAllocs()
		var c storage.Columns
		var r storage.ColumnReader
		samples := 0
		for b.Loop() {
			samples = 0
			set := q.Select(b.Context(), true, nil, job)
			for set.Next() {
				r = set.At().Samples(r)
				c.Reset()
				for r.Read(&c) {
				}
				samples += c.Len()
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
	})
	b.Run("read=series", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set := q.Select(b.Context(), true, &storage.SelectHints{End: 7_200_000, SeriesOnly: true}, job)
			for set.Next() {
				_ = set.At().Labels()
			}
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	dir := b.TempDir()
	b.ReportAllocs()
	for b.Loop() {
		w, err := NewWriter(WriterOptions{Dir: dir, MinTime: 0, MaxTime: 7_200_000})
		if err != nil {
			b.Fatal(err)
		}
		addBenchSeries(b, w)
		if _, err := w.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}
