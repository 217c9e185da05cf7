package read

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

const (
	// maxBody is how large a request may be, compressed or not.
	maxBody = 32 << 20
	// maxMatchers is how many matchers a query may have: each takes much more memory than in the request.
	maxMatchers = 10_000
)

// readBody reads and decompresses a request.
func readBody(r *http.Request) ([]byte, error) {
	compressed, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return wire.Decompress(compressed, maxBody)
}

// request is a request whose queries are checked, but not kept.
type request struct {
	body  []byte
	types []int32
}

// query is one of a request.
type query struct {
	start, end int64
	// raw are the messages of the matchers.
	raw [][]byte
	// hints are nil if there are none.
	hints *storage.SelectHints
}

// field is one field of a message: a number, or bytes.
type field struct {
	num    protowire.Number
	typ    protowire.Type
	number uint64
	bytes  []byte
}

// fields calls f with each field of a message.
func fields(message []byte, f func(field) error) error {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("proto: %w", protowire.ParseError(n))
		}
		one := field{num: num, typ: typ}
		message = message[n:]
		switch typ {
		case protowire.VarintType:
			one.number, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			one.bytes, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(num, typ, message)
		}
		if n < 0 {
			return fmt.Errorf("proto: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if err := f(one); err != nil {
			return err
		}
	}
	return nil
}

// is checks the type of a field that is known.
func (f field) is(typ protowire.Type) error {
	if f.typ != typ {
		return fmt.Errorf("proto: wrong wireType = %d for field %d", f.typ, f.num)
	}
	return nil
}

// parse checks a request.
func parse(body []byte) (*request, error) {
	r := &request{body: body}
	err := fields(body, func(f field) error {
		switch {
		case f.num == wire.RequestQueries:
			if err := f.is(protowire.BytesType); err != nil {
				return err
			}
			_, err := parseQuery(f.bytes)
			return err
		case f.num == wire.RequestTypes && f.typ == protowire.BytesType:
			return r.addTypes(f.bytes)
		case f.num == wire.RequestTypes:
			if len(r.types) < maxTypes {
				r.types = append(r.types, int32(f.number))
			}
			return f.is(protowire.VarintType)
		}
		return nil
	})
	return r, err
}

// maxTypes is how many types of responses are kept: there are two.
const maxTypes = 1000

func (r *request) addTypes(packed []byte) error {
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return fmt.Errorf("proto: %w", protowire.ParseError(n))
		}
		packed = packed[n:]
		if len(r.types) < maxTypes {
			r.types = append(r.types, int32(v))
		}
	}
	return nil
}

// streamed reports whether chunks are to be streamed: the first type counts that is known.
func (r *request) streamed() (bool, error) {
	for _, t := range r.types {
		if t == wire.TypeSamples || t == wire.TypeStreamedChunks {
			return t == wire.TypeStreamedChunks, nil
		}
	}
	if len(r.types) == 0 {
		return false, nil
	}
	return false, fmt.Errorf("server does not support any of the requested response types: %v; supported: map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]", r.types)
}

// each calls f with each query and its place.
func (r *request) each(f func(i int, q *query) error) error {
	i := 0
	return fields(r.body, func(one field) error {
		if one.num != wire.RequestQueries {
			return nil
		}
		q, err := parseQuery(one.bytes)
		if err != nil {
			return err
		}
		i++
		return f(i-1, q)
	})
}

func parseQuery(message []byte) (*query, error) {
	q := &query{}
	err := fields(message, func(f field) error {
		switch f.num {
		case wire.QueryStart:
			q.start = int64(f.number)
			return f.is(protowire.VarintType)
		case wire.QueryEnd:
			q.end = int64(f.number)
			return f.is(protowire.VarintType)
		case wire.QueryMatchers:
			if len(q.raw) == maxMatchers {
				return fmt.Errorf("a query has more than %d matchers", maxMatchers)
			}
			q.raw = append(q.raw, f.bytes)
			if err := f.is(protowire.BytesType); err != nil {
				return err
			}
			_, _, _, err := parseMatcher(f.bytes)
			return err
		case wire.QueryHints:
			if err := f.is(protowire.BytesType); err != nil {
				return err
			}
			if q.hints == nil {
				q.hints = &storage.SelectHints{}
			}
			return parseHints(f.bytes, q.hints)
		}
		return nil
	})
	return q, err
}

func parseHints(message []byte, h *storage.SelectHints) error {
	return fields(message, func(f field) error {
		typ := protowire.VarintType
		switch f.num {
		case wire.HintStep:
			h.Step = int64(f.number)
		case wire.HintFunc:
			h.Func, typ = string(f.bytes), protowire.BytesType
			h.SeriesOnly = h.Func == "series"
		case wire.HintStart:
			h.Start = int64(f.number)
		case wire.HintEnd:
			h.End = int64(f.number)
		case wire.HintGrouping:
			// It tells a storage what it may leave out; ours has no use for it.
			typ = protowire.BytesType
		case wire.HintBy:
			h.By = f.number != 0
		case wire.HintRange:
			h.Range = int64(f.number)
		default:
			return nil
		}
		return f.is(typ)
	})
}

func parseMatcher(message []byte) (typ uint64, name, value []byte, err error) {
	err = fields(message, func(f field) error {
		switch f.num {
		case wire.MatcherType:
			typ = f.number
			return f.is(protowire.VarintType)
		case wire.MatcherName:
			name = f.bytes
			return f.is(protowire.BytesType)
		case wire.MatcherValue:
			value = f.bytes
			return f.is(protowire.BytesType)
		}
		return nil
	})
	return typ, name, value, err
}

// matchers makes the matchers. Samples are stored without the external labels, so one that asks for the value that such a label
// has asks for its absence.
func (q *query) matchers(external []labels.Label) ([]*labels.Matcher, error) {
	all := make([]*labels.Matcher, 0, len(q.raw))
	for _, raw := range q.raw {
		number, name, value, err := parseMatcher(raw)
		if err != nil {
			return nil, err
		}
		if number > uint64(labels.MatchNotRegexp) {
			return nil, errors.New("invalid matcher type")
		}
		typ, text := labels.MatchType(number), string(value)
		if typ == labels.MatchEqual {
			for _, e := range external {
				if e.Name == string(name) && e.Value == text {
					text = ""
				}
			}
		}
		m, err := labels.NewMatcher(typ, string(name), text)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}
