package read

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
)

// appendLabels appends the labels of a series, and of the external ones those that it lacks. size is what the labels take without
// what stands before each.
func appendLabels(b []byte, num protowire.Number, ls labels.Labels, external []labels.Label) (_ []byte, size int) {
	add := func(name, value string) {
		var n int
		b, n = wire.AppendLabel(b, num, name, value)
		size += n
	}
	for name, value := range ls.All() {
		for len(external) > 0 && external[0].Name < name {
			add(external[0].Name, external[0].Value)
			external = external[1:]
		}
		if len(external) > 0 && external[0].Name == name {
			external = external[1:]
		}
		add(name, value)
	}
	for _, e := range external {
		add(e.Name, e.Value)
	}
	return b, size
}

// appendNative appends a histogram as it was counted: in whole numbers, or in floats.
func appendNative(b []byte, t int64, h *histogram.FloatHistogram, whole bool) []byte {
	if whole {
		return wire.AppendWhole(b, t, 0, h.ToInt())
	}
	return wire.AppendFloat(b, t, 0, h)
}
