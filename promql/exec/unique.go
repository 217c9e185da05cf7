package exec

import (
	"context"
	"errors"

	"github.com/narthex-io/narthex/model/labels"
)

var errSameLabels = errors.New("vector cannot contain metrics with the same labelset")

// withoutName returns labels without the metric name, and without the type and the unit, which go with it.
func withoutName(ls labels.Labels) labels.Labels {
	return ls.DropSorted([]string{labels.TypeLabel, labels.UnitLabel})
}

// dropNames returns the series of a result whose values mean something else than the metric name says: without names or,
// if names are removed late, marked for that.
func (q *query) dropNames(ctx context.Context, in []series) ([]series, error) {
	out, pace := make([]series, len(in)), q.pace(ctx)
	for i, s := range in {
		if q.DelayNameRemoval {
			out[i] = series{labels: s.labels, dropName: true}
		} else {
			out[i] = series{labels: withoutName(s.labels)}
		}
		if err := pace(madeOf(s.labels, out[i].labels)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// madeOf returns the bytes of a series whose labels were made of others: of what is left as it is there is no copy.
func madeOf(from, made labels.Labels) int64 {
	if n := made.ByteSize(); n != from.ByteSize() {
		return seriesHeader + int64(n)
	}
	return seriesHeader
}

// labelIndex numbers label sets in the order in which they come.
type labelIndex struct {
	first map[uint64]int32
	next  []int32
	sets  []labels.Labels
}

func newLabelIndex(size int) *labelIndex {
	return &labelIndex{first: make(map[uint64]int32, size), sets: make([]labels.Labels, 0, size), next: make([]int32, 0, size)}
}

// add returns the number of a set, and whether it came for the first time.
func (x *labelIndex) add(ls labels.Labels) (int, bool) {
	hash := ls.Hash()
	head, found := x.first[hash]
	if !found {
		head = -1
	}
	for i := head; i >= 0; i = x.next[i] {
		if labels.Equal(x.sets[i], ls) {
			return int(i), false
		}
	}
	n := len(x.sets)
	x.first[hash] = int32(n)
	x.next = append(x.next, head)
	x.sets = append(x.sets, ls)
	return n, true
}

// merged yields one row for all series of an operator that have the same labels. It is an error if two of them have a
// value at the same time.
type merged struct {
	op      operator
	out     []series
	members [][]int32
	// single says that two of them may not even have values at different times.
	single bool
}

// unique returns an operator whose series differ from each other, for one whose series may have become the same by losing
// the names that they had before.
func (q *query) unique(ctx context.Context, op operator, before []series) (operator, error) {
	if q.DelayNameRemoval || haveOneName(before) {
		return op, nil
	}
	return q.merge(ctx, op, op.series())
}

// haveOneName reports whether all series have the same name and what belongs to it, so that they differ in other labels.
func haveOneName(in []series) bool {
	if len(in) < 2 {
		return true
	}
	first := nameOf(in[0].labels)
	for i := 1; i < len(in); i++ {
		// Fast path: where few labels are read, most series have those of the one before.
		if !labels.Equal(in[i].labels, in[i-1].labels) && nameOf(in[i].labels) != first {
			return false
		}
	}
	return true
}

// nameOf returns the labels that withoutName drops.
func nameOf(ls labels.Labels) [3]string {
	return [3]string{ls.Get(labels.MetricName), ls.Get(labels.TypeLabel), ls.Get(labels.UnitLabel)}
}

// mergeBytes is about what finding equal series costs for each.
const mergeBytes = 64

// merge returns an operator over the rows of op with the labels of in, each of which comes once.
func (q *query) merge(ctx context.Context, op operator, in []series) (operator, error) {
	pace := q.pace(ctx)
	index := newLabelIndex(len(in))
	of := make([]int32, len(in))
	for i, s := range in {
		if err := pace(mergeBytes); err != nil {
			return nil, err
		}
		n, _ := index.add(s.labels)
		of[i] = int32(n)
	}
	if len(index.sets) == len(in) {
		return &relabelled{operator: op, out: in}, nil
	}
	m := &merged{op: op, out: make([]series, len(index.sets)), members: byGroup(of, len(index.sets))}
	for n, members := range m.members {
		m.out[n] = in[members[0]]
		for _, i := range members[1:] {
			m.out[n].dropName = m.out[n].dropName || in[i].dropName
		}
	}
	return m, nil
}

func (m *merged) series() []series { return m.out }

func (m *merged) row(ctx context.Context, w *worker, i int, dst *row) error {
	if err := m.op.row(ctx, w, int(m.members[i][0]), dst); err != nil || len(m.members[i]) == 1 {
		return err
	}
	r := w.borrow(len(dst.F))
	defer w.giveBack(r)
	for _, member := range m.members[i][1:] {
		if err := m.op.row(ctx, w, int(member), r); err != nil {
			return err
		}
		if m.single && r.count() > 0 && dst.count() > 0 {
			return errSameLabels
		}
		for step, f := range r.F {
			if isAbsent(f) {
				continue
			}
			if !isAbsent(dst.F[step]) {
				return errSameLabels
			}
			dst.put(step, r, step)
		}
	}
	return nil
}

// relabelled gives the rows of an operator other labels.
type relabelled struct {
	operator
	out []series
}

func (r *relabelled) series() []series { return r.out }
