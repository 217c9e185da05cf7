package exec

import (
	"context"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// matching numbers the match groups of two vectors: the series that may be matched with each other.
type matching struct {
	// left and right tell the group of each series.
	left, right []int32
	n           int
}

// groupBytes is about what the groups of a match cost for each series; their keys are gone soon.
const groupBytes = 16

// match finds the group of each series of both sides, once for all steps.
func (q *query) match(ctx context.Context, left, right []series, m *parser.VectorMatching) (*matching, error) {
	index := newKeyIndex(max(len(left), len(right)))
	var key []byte
	pace := q.pace(ctx)
	number := func(in []series) ([]int32, error) {
		of := make([]int32, len(in))
		for i := range in {
			key = appendMatchKey(key[:0], in[i].labels, m)
			of[i], _ = index.add(key)
			if err := pace(groupBytes); err != nil {
				return nil, err
			}
		}
		return of, nil
	}
	mt := &matching{}
	var err error
	if mt.left, err = number(left); err != nil {
		return nil, err
	}
	if mt.right, err = number(right); err != nil {
		return nil, err
	}
	mt.n = len(index.of)
	return mt, nil
}

func appendMatchKey(dst []byte, ls labels.Labels, m *parser.VectorMatching) []byte {
	if m.On {
		return ls.AppendKeyBy(dst, m.Labels)
	}
	return ls.AppendKeyWithout(dst, m.Labels)
}

// matchLabels returns the labels by which a series is matched.
func matchLabels(ls labels.Labels, m *parser.VectorMatching) labels.Labels {
	if m.On {
		return ls.KeepSorted(m.Labels)
	}
	return ls.DropSorted(m.Labels)
}

// byGroup lists the series of each group.
func byGroup(of []int32, n int) [][]int32 {
	sizes := make([]int32, n)
	for _, k := range of {
		sizes[k]++
	}
	members, all := make([][]int32, n), make([]int32, len(of))
	for k, size := range sizes {
		members[k], all = all[:0:size], all[size:]
	}
	for i, k := range of {
		members[k] = append(members[k], int32(i))
	}
	return members
}
