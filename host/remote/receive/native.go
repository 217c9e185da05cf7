package receive

import (
	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/histogram"
)

// zeroOf returns a histogram with nothing counted, in the form that n has.
func zeroOf(n *wire.Native) (*histogram.Histogram, *histogram.FloatHistogram) {
	if n.IsFloat {
		return nil, &histogram.FloatHistogram{
			CounterResetHint: histogram.CounterReset, Schema: n.Float.Schema, ZeroThreshold: n.Float.ZeroThreshold, CustomValues: n.Float.CustomValues,
		}
	}
	return &histogram.Histogram{
		CounterResetHint: histogram.CounterReset, Schema: n.Whole.Schema, ZeroThreshold: n.Whole.ZeroThreshold, CustomValues: n.Whole.CustomValues,
	}, nil
}
