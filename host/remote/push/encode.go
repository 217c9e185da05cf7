package push

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
)

// Numbers of the fields of both versions.
const (
	v1RequestSeries, v1RequestMetadata = 1, 3
	v1Exemplars                        = 3
	v1MetadataName                     = 2
	v1MetadataHelp, v1MetadataUnit     = 4, 5

	v2RequestSymbols, v2RequestSeries = 4, 5
	v2Exemplars, v2Metadata           = 4, 5
	v2MetadataHelp, v2MetadataUnit    = 3, 4

	seriesLabels, seriesSamples                 = 1, 2
	pointValue, pointTime, pointStart           = 1, 2, 3
	exemplarLabels, exemplarValue, exemplarTime = 1, 2, 3
	metadataType                                = 1
)

// v1 makes a prometheus.WriteRequest.
func (b *batch) v1() (out []byte) {
	for _, s := range b.series {
		var one []byte
		for name, value := range s.labels.All() {
			one, _ = wire.AppendLabel(one, seriesLabels, name, value)
		}
		for _, p := range s.points {
			one = wire.AppendSample(one, seriesSamples, p.t, p.v)
		}
		for _, e := range s.exemplars {
			var x []byte
			for name, value := range e.Labels.All() {
				x, _ = wire.AppendLabel(x, exemplarLabels, name, value)
			}
			one = wire.AppendMessage(one, v1Exemplars, wire.AppendNumber(wire.AppendDouble(x, exemplarValue, e.Value), exemplarTime, uint64(e.T)))
		}
		out = wire.AppendMessage(out, v1RequestSeries, one)
	}
	for _, f := range b.families {
		m := wire.AppendNumber(nil, metadataType, wire.MetricTypeNumber(f.typ))
		m = wire.AppendText(m, v1MetadataName, f.name)
		m = wire.AppendText(m, v1MetadataHelp, f.help)
		out = wire.AppendMessage(out, v1RequestMetadata, wire.AppendText(m, v1MetadataUnit, f.unit))
	}
	return out
}

// symbols are the strings of a message of 2.0. The first one is empty.
type symbols struct {
	all    []string
	places map[string]uint64
}

func (s *symbols) place(text string) uint64 {
	at, ok := s.places[text]
	if !ok {
		at = uint64(len(s.all))
		s.places[text] = at
		s.all = append(s.all, text)
	}
	return at
}

// pairs makes the packed list of the places of names and values.
func (s *symbols) pairs(ls labels.Labels) (out []byte) {
	for name, value := range ls.All() {
		out = protowire.AppendVarint(out, s.place(name))
		out = protowire.AppendVarint(out, s.place(value))
	}
	return out
}

// v2 makes an io.prometheus.write.v2.Request.
func (b *batch) v2() []byte {
	table := &symbols{places: map[string]uint64{}}
	table.place("")
	var all []byte
	for _, s := range b.series {
		one := wire.AppendMessage(nil, seriesLabels, table.pairs(s.labels))
		for _, p := range s.points {
			x := wire.AppendNumber(wire.AppendDouble(nil, pointValue, p.v), pointTime, uint64(p.t))
			one = wire.AppendMessage(one, seriesSamples, wire.AppendNumber(x, pointStart, uint64(p.st)))
		}
		for _, e := range s.exemplars {
			x := wire.AppendMessage(nil, exemplarLabels, table.pairs(e.Labels))
			one = wire.AppendMessage(one, v2Exemplars, wire.AppendNumber(wire.AppendDouble(x, exemplarValue, e.Value), exemplarTime, uint64(e.T)))
		}
		if f := s.family; f != nil {
			m := wire.AppendNumber(nil, metadataType, wire.MetricTypeNumber(f.typ))
			m = wire.AppendNumber(m, v2MetadataHelp, table.place(f.help))
			one = wire.AppendMessage(one, v2Metadata, wire.AppendNumber(m, v2MetadataUnit, table.place(f.unit)))
		}
		all = wire.AppendMessage(all, v2RequestSeries, one)
	}
	var out []byte
	for _, s := range table.all {
		out = wire.AppendMessage(out, v2RequestSymbols, []byte(s)) // The empty one, too.
	}
	return append(out, all...)
}
