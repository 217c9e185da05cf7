package memstore

import (
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/narthex-io/narthex/bench/suite"
)

// Load returns a store with the samples of the suite.
func Load(size suite.Size) (*Store, error) {
	var all []*Series
	err := suite.Data(size, func(d suite.Series) error {
		s := &Series{LabelSet: labels.FromStrings(d.Labels...), T: d.T, F: d.F}
		if len(d.H) > 0 {
			s.F = make([]float64, len(d.H))
		}
		for _, h := range d.H {
			s.H = append(s.H, &histogram.FloatHistogram{
				Schema: suite.Schema, Count: h.Count, Sum: h.Sum, ZeroCount: h.ZeroCount,
				PositiveSpans:   []histogram.Span{{Offset: suite.FirstBucket, Length: uint32(len(h.Buckets))}},
				PositiveBuckets: h.Buckets,
			})
		}
		all = append(all, s)
		return nil
	})
	return New(all), err
}
