package wal

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

func sameBack[T any](t *testing.T, entries []T, encode func([]byte, []T) []byte, decode func([]byte, []T) ([]T, error)) {
	t.Helper()
	rec := encode(nil, entries)
	got, err := decode(rec, nil)
	if err != nil || !reflect.DeepEqual(got, entries) {
		t.Errorf("wrote %+v, read %+v (%v)", entries, got, err)
	}
	for cut := 1; cut < len(rec); cut++ {
		if got, _ := decode(rec[:cut], nil); len(got) >= len(entries) {
			t.Errorf("cut to %d of %d bytes: got %d entries", cut, len(rec), len(got))
		}
	}
}

func testHistograms(st int64) []Histogram {
	spans := []histogram.Span{{Offset: -3, Length: 2}, {Offset: 4, Length: 1}}
	i := &histogram.Histogram{
		CounterResetHint: histogram.GaugeType, Schema: 3, ZeroThreshold: 0.5, ZeroCount: 7, Count: 30, Sum: -2.5,
		PositiveSpans: spans, NegativeSpans: spans[:1], PositiveBuckets: []int64{4, -1, 9}, NegativeBuckets: []int64{1, 2},
	}
	c := &histogram.Histogram{
		Schema: histogram.CustomBucketsSchema, Count: 3, PositiveSpans: []histogram.Span{{Length: 2}},
		PositiveBuckets: []int64{1, 1}, CustomValues: []float64{0.5, math.Inf(1)},
	}
	return []Histogram{
		{Ref: 5, T: 1000, ST: st, Int: i},
		{Ref: 3, T: 900, ST: st, Int: i},
		{Ref: 6, T: 1001, ST: st, Float: i.ToFloat()},
		{Ref: 7, T: 1002, ST: st, Int: c},
		{Ref: 8, T: 1002, ST: st, Float: c.ToFloat()},
	}
}

func TestRecordTypes(t *testing.T) {
	sameBack(t, []Series{{1, labels.FromStrings("__name__", "up", "job", "x")}, {1 << 60, labels.FromStrings("a", "b")}}, AppendSeries, DecodeSeries)
	sameBack(t, []Sample{{Ref: 9, T: 1000, V: 1}, {Ref: 3, T: -5, V: math.Inf(1)}, {Ref: 1 << 63, T: 1 << 60, V: -0.5}}, AppendSamples, DecodeSamples)
	sameBack(t, []Sample{{Ref: 9, T: 1000, ST: 10, V: 1}, {Ref: 3, T: 1001, V: 2}, {Ref: 4, T: 1001, ST: 20, V: 2}, {Ref: 5, T: 1001, ST: 20, V: 2}}, AppendSamples, DecodeSamples)
	sameBack(t, []Sample{{Ref: 9, T: 1000, V: 1}, {Ref: 3, T: -5, V: math.Inf(1)}, {Ref: 1 << 63, T: 1 << 60, V: -0.5}}, AppendSamplesV2, DecodeSamples)
	sameBack(t, []Tombstone{{1, math.MinInt64, math.MaxInt64}, {2, 5, 6}}, AppendTombstones, DecodeTombstones)
	sameBack(t, []Exemplar{{4, 100, 1.5, labels.FromStrings("trace_id", "x")}, {2, 99, 2, labels.EmptyLabels()}}, AppendExemplars, DecodeExemplars)
	sameBack(t, []Metadata{{4, sample.Metadata{Type: sample.TypeStateset, Unit: "s", Help: "h"}}, {5, sample.Metadata{Type: sample.TypeUnknown}}}, AppendMetadata, DecodeMetadata)
	sameBack(t, []Marker{{1, 2}, {3, 4}}, AppendMarkers, DecodeMarkers)
}

func TestHistogramRecords(t *testing.T) {
	for _, st := range []int64{0, 77} {
		var got []Histogram
		for _, rec := range AppendHistograms(nil, testHistograms(st)) {
			var err error
			if got, err = DecodeHistograms(rec, got); err != nil {
				t.Fatal(err)
			}
		}
		byRef := map[uint64]Histogram{}
		for _, h := range got {
			byRef[h.Ref] = h
		}
		for _, want := range testHistograms(st) {
			if !reflect.DeepEqual(byRef[want.Ref], want) {
				t.Errorf("wrote %+v, read %+v", want, byRef[want.Ref])
			}
		}
	}
}

// decodeAny reads a record of whatever type.
func decodeAny(rec []byte) (entries int, err error) {
	switch typ := TypeOf(rec); {
	case typ == TypeSeries:
		return count(DecodeSeries(rec, nil))
	case typ == TypeSamples, typ == TypeSamplesV2:
		return count(DecodeSamples(rec, nil))
	case typ == TypeTombstones:
		return count(DecodeTombstones(rec, nil))
	case typ == TypeExemplars:
		return count(DecodeExemplars(rec, nil))
	case typ == TypeMarkers:
		return count(DecodeMarkers(rec, nil))
	case typ == TypeMetadata:
		return count(DecodeMetadata(rec, nil))
	case typ.IsHistograms():
		return count(DecodeHistograms(rec, nil))
	}
	return 0, nil
}

func count[T any](entries []T, err error) (int, error) { return len(entries), err }

// TestUpstreamLog reads the logs that Prometheus 3.14 left.
func TestUpstreamLog(t *testing.T) {
	data := filepath.Join("..", "..", "..", "shared", "prometheus-data", "data")
	if _, err := os.Stat(data); err != nil {
		t.Skip("no data directory of Prometheus beside the repository")
	}
	for _, dir := range []string{"wal", "wbl"} {
		chain, err := FindChain(OS{}, filepath.Join(data, dir))
		if err != nil || dir == "wal" && len(chain.Missing) > 0 {
			t.Fatal(chain.Missing, err)
		}
		entries := map[Type]int{}
		r := NewReader(OS{}, chain.Segments, func(d *Damage) { t.Errorf("damage: %v", d) })
		for r.Next() {
			n, err := decodeAny(r.Record())
			if err != nil {
				t.Errorf("%s at %d: %v", r.Segment().Path(), r.Offset(), err)
			}
			entries[TypeOf(r.Record())] += n
		}
		if _, _, torn := r.TornTail(); torn {
			t.Error("the log ends torn")
		}
		if entries[TypeSamples] == 0 || entries[TypeUnknown] != 0 || dir == "wal" && (entries[TypeSeries] == 0 || entries[TypeExemplars] == 0 || entries[TypeHistograms] == 0) {
			t.Errorf("%s: %v", dir, entries)
		}
	}
}
