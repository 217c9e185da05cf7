package wal

import (
	"fmt"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// Type is the first byte of a record.
type Type uint8

// The types of records. The second versions carry start timestamps.
const (
	TypeSeries                Type = 1
	TypeSamples               Type = 2
	TypeTombstones            Type = 3
	TypeExemplars             Type = 4
	TypeMarkers               Type = 5
	TypeMetadata              Type = 6
	TypeHistograms            Type = 7
	TypeFloatHistograms       Type = 8
	TypeCustomHistograms      Type = 9
	TypeCustomFloatHistograms Type = 10
	TypeSamplesV2             Type = 11
	TypeHistogramsV2          Type = 12
	TypeFloatHistogramsV2     Type = 13
	TypeUnknown               Type = 255
)

// TypeOf returns the type of a record, TypeUnknown for those that this version can't read.
func TypeOf(rec []byte) Type {
	if len(rec) == 0 || rec[0] == 0 || Type(rec[0]) > TypeFloatHistogramsV2 {
		return TypeUnknown
	}
	return Type(rec[0])
}

// String returns the name that metrics use.
func (t Type) String() string {
	names := [...]string{
		"", "series", "samples", "tombstones", "exemplars", "mmapmarkers", "metadata", "histogram_samples",
		"float_histogram_samples", "custom_buckets_histogram_samples", "custom_buckets_float_histogram_samples",
		"samples_v2", "histogram_samples_v2", "float_histogram_samples_v2",
	}
	if t == 0 || int(t) >= len(names) {
		return "unknown"
	}
	return names[t]
}

// Series gives a reference its labels. References are the log's own names for series.
type Series struct {
	Ref    uint64
	Labels labels.Labels
}

// Sample is a float. ST, the start of its counting, is zero if there is none. Times are in milliseconds.
type Sample struct {
	Ref   uint64
	T, ST int64
	V     float64
}

// Histogram is a native histogram of one of the two kinds; the other is nil.
type Histogram struct {
	Ref   uint64
	T, ST int64
	Int   *histogram.Histogram
	Float *histogram.FloatHistogram
}

// Tombstone deletes the samples of a series in [MinT, MaxT].
type Tombstone struct {
	Ref        uint64
	MinT, MaxT int64
}

// Exemplar belongs to a series.
type Exemplar struct {
	Ref    uint64
	T      int64
	V      float64
	Labels labels.Labels
}

// Metadata describes a series.
type Metadata struct {
	Ref uint64
	sample.Metadata
}

// Marker says that the out-of-order samples before it were written to a head chunk.
type Marker struct {
	Ref, Chunk uint64
}

// metricTypes are the names of the type bytes.
var metricTypes = [...]sample.MetricType{ //nolint:gochecknoglobals // constant table
	sample.TypeUnknown, sample.TypeCounter, sample.TypeGauge, sample.TypeHistogram, sample.TypeGaugeHistogram,
	sample.TypeSummary, sample.TypeInfo, sample.TypeStateset,
}

func wrongType(rec []byte, want string) error {
	return fmt.Errorf("record of type %s where %s should be", TypeOf(rec), want)
}
