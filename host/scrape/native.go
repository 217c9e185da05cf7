package scrape

import (
	"context"
	"math"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/storage"
)

// sampleLimits are a job's limits on the samples of a scrape.
type sampleLimits struct {
	// samples bounds their number, buckets that of a native histogram; zero is no limit.
	samples, buckets int
	// schema is the highest resolution of native histograms.
	schema int32
}

func limitsOf(cfg *Config) sampleLimits {
	return sampleLimits{
		samples: int(cfg.SampleLimit),
		buckets: int(cfg.NativeHistogramBucketLimit),
		schema:  schemaOf(cfg.NativeHistogramMinBucketFactor),
	}
}

// schemaOf returns the finest schema whose buckets grow by a factor, at least.
func schemaOf(factor float64) int32 {
	if factor <= 1 {
		return histogram.ExponentialSchemaMax
	}
	schema := math.Floor(-math.Log2(math.Log2(factor)))
	return int32(min(max(schema, float64(histogram.ExponentialSchemaMin)), float64(histogram.ExponentialSchemaMax)))
}

// coarsened is what both forms of a native histogram can do.
type coarsened interface {
	IsExponential() bool
	Coarsen(schema int32) error
}

// fit brings a histogram, of which there is one of two forms, within the limits by merging buckets. It reports whether
// that was possible.
func (l *sampleLimits) fit(h *histogram.Histogram, f *histogram.FloatHistogram) bool {
	if h != nil {
		return l.fitOne(h, &h.Schema, func() int { return len(h.PositiveBuckets) + len(h.NegativeBuckets) })
	}
	return l.fitOne(f, &f.Schema, func() int { return len(f.PositiveBuckets) + len(f.NegativeBuckets) })
}

func (l *sampleLimits) fitOne(h coarsened, schema *int32, buckets func() int) bool {
	if l.schema < histogram.ExponentialSchemaMax && h.IsExponential() && *schema > l.schema && h.Coarsen(l.schema) != nil {
		return false
	}
	for l.buckets > 0 && buckets() > l.buckets {
		if !h.IsExponential() || *schema <= histogram.ExponentialSchemaMin || h.Coarsen(*schema-1) != nil {
			return false
		}
	}
	return true
}

// appendStart sets the start time of the batch's next entry. If zeros are wanted, and counting has started anew since the
// last scrape, an entry with nothing counted goes first. It returns the place of the entry, which may be another one then.
func (a *appender) appendStart(ctx context.Context, entry *storage.Entry, i int) (*storage.Entry, error) {
	st := a.scanner.StartTime()
	entry.ST = st
	if !a.features.StartZeros || st <= 0 || st >= entry.T || !a.cache.started(i, st) {
		return entry, nil
	}
	zero := storage.Entry{Ref: entry.Ref, Labels: entry.Labels, T: st, InOrder: true}
	switch h, f := entry.Histogram, entry.FloatHistogram; {
	case h != nil:
		zero.Histogram = &histogram.Histogram{
			CounterResetHint: histogram.CounterReset, Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, CustomValues: h.CustomValues,
		}
	case f != nil:
		zero.FloatHistogram = &histogram.FloatHistogram{
			CounterResetHint: histogram.CounterReset, Schema: f.Schema, ZeroThreshold: f.ZeroThreshold, CustomValues: f.CustomValues,
		}
	}
	counted := *entry
	*entry = zero
	if err := a.push(ctx, -1); err != nil {
		return entry, err
	}
	entry = a.next()
	*entry = counted
	return entry, nil
}
