package wire

import (
	"slices"

	"github.com/narthex-io/narthex/model/sample"
)

// metricTypes has the types of metrics at the numbers that both versions of remote write have for them.
var metricTypes = [...]sample.MetricType{ //nolint:gochecknoglobals // constant table
	sample.TypeUnknown, sample.TypeCounter, sample.TypeGauge, sample.TypeHistogram, sample.TypeGaugeHistogram,
	sample.TypeSummary, sample.TypeInfo, sample.TypeStateset,
}

// MetricType returns the type that a number stands for; numbers that stand for none are the unknown type.
func MetricType(n uint64) sample.MetricType {
	if n >= uint64(len(metricTypes)) {
		return sample.TypeUnknown
	}
	return metricTypes[n]
}

// MetricTypeNumber returns the number of a type; that of the unknown type is also for what is no type.
func MetricTypeNumber(t sample.MetricType) uint64 {
	return uint64(max(slices.Index(metricTypes[:], t), 0))
}
