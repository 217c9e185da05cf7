package query

import (
	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// question is what a remote is asked for.
type question struct {
	// mint and maxt bound the samples, in Unix milliseconds.
	mint, maxt int64
	matchers   []*labels.Matcher
	// hints are nil if there are none.
	hints *storage.SelectHints
}

// appendTo appends the message of a request that asks one question and prefers chunks to samples.
func (q *question) appendTo(b []byte) []byte {
	b = wire.AppendMessage(b, wire.RequestQueries, q.message())
	return wire.AppendMessage(b, wire.RequestTypes, []byte{wire.TypeStreamedChunks, wire.TypeSamples})
}

func (q *question) message() []byte {
	b := wire.AppendNumber(nil, wire.QueryStart, uint64(q.mint))
	b = wire.AppendNumber(b, wire.QueryEnd, uint64(q.maxt))
	for _, m := range q.matchers {
		one := wire.AppendNumber(nil, wire.MatcherType, uint64(m.Type))
		one = wire.AppendText(one, wire.MatcherName, m.Name)
		one = wire.AppendText(one, wire.MatcherValue, m.Value)
		b = wire.AppendMessage(b, wire.QueryMatchers, one)
	}
	if q.hints == nil {
		return b
	}
	return wire.AppendMessage(b, wire.QueryHints, q.hintsMessage())
}

func (q *question) hintsMessage() []byte {
	h := q.hints
	b := wire.AppendNumber(nil, wire.HintStep, uint64(h.Step))
	purpose := h.Func
	if h.SeriesOnly {
		purpose = "series"
	}
	b = wire.AppendText(b, wire.HintFunc, purpose)
	b = wire.AppendNumber(b, wire.HintStart, uint64(q.mint))
	b = wire.AppendNumber(b, wire.HintEnd, uint64(q.maxt))
	for _, name := range h.Grouping {
		b = protowire.AppendString(protowire.AppendTag(b, wire.HintGrouping, protowire.BytesType), name)
	}
	if h.By {
		b = wire.AppendNumber(b, wire.HintBy, 1)
	}
	return wire.AppendNumber(b, wire.HintRange, uint64(h.Range))
}

// compressed returns a message as it is sent.
func compressed(message []byte) []byte { return snappy.Encode(nil, message) }
