package backfill

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/narthex-io/narthex/model/labels"
)

// row is a sample with the line that it comes from.
type row struct {
	t    int64
	v    float64
	line uint64
}

// group are the samples of one series in one window, sorted by time and then by line.
type group struct {
	window int64
	labels labels.Labels
	rows   []row
}

// run reads a section of the spool file, a group at a time.
type run struct {
	r       *bufio.Reader
	span    int64
	group   group
	builder labels.ScratchBuilder
}

// next reads the next group and reports whether there is one.
func (r *run) next() (bool, error) {
	window, err := binary.ReadVarint(r.r)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err == nil {
		err = r.read(window)
	}
	if err != nil {
		return false, fmt.Errorf("read samples that were put aside: %w", err)
	}
	return true, nil
}

func (r *run) read(window int64) error {
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return err
	}
	r.builder.Reset()
	for range n {
		name, err := r.text()
		if err != nil {
			return err
		}
		value, err := r.text()
		if err != nil {
			return err
		}
		r.builder.Add(name, value)
	}
	if n, err = binary.ReadUvarint(r.r); err != nil {
		return err
	}
	r.group = group{window: window, labels: r.builder.Labels(), rows: r.group.rows[:0]}
	last := window * r.span
	var value [8]byte
	for range n {
		step, err := binary.ReadUvarint(r.r)
		if err != nil {
			return err
		}
		line, err := binary.ReadUvarint(r.r)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(r.r, value[:]); err != nil {
			return err
		}
		last += int64(step)
		r.group.rows = append(r.group.rows, row{last, math.Float64frombits(binary.LittleEndian.Uint64(value[:])), line})
	}
	return nil
}

func (r *run) text() (string, error) {
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r.r, b)
	return string(b), err
}

// merged goes through the groups of all runs in order, those of the same window and series as one.
type merged struct {
	runs  runHeap
	group group
	err   error
}

// runHeap has the run whose group comes first on top.
type runHeap []*run

func (h runHeap) Len() int      { return len(h) }
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h runHeap) Less(i, j int) bool {
	a, b := &h[i].group, &h[j].group
	if a.window != b.window {
		return a.window < b.window
	}
	return labels.Compare(a.labels, b.labels) < 0
}
func (h *runHeap) Push(x any) { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	*h = (*h)[:last]
	return r
}

// Runs are read through buffers that together are not larger than mergeBytes, unless there are very many.
const (
	mergeBytes    = 32 << 20
	maxReadBuffer = 256 << 10
	minReadBuffer = 4 << 10
)

func (r *runs) merge() (*merged, error) {
	m := &merged{}
	size := min(max(mergeBytes/max(len(r.sections), 1), minReadBuffer), maxReadBuffer)
	for _, s := range r.sections {
		one := &run{r: bufio.NewReaderSize(io.NewSectionReader(r.spool, s.from, s.to-s.from), size), span: r.span}
		if ok, err := one.next(); err != nil {
			return nil, err
		} else if ok {
			m.runs = append(m.runs, one)
		}
	}
	heap.Init(&m.runs)
	return m, nil
}

// peek returns the window of the next group.
func (m *merged) peek() (window int64, ok bool) {
	if len(m.runs) == 0 {
		return 0, false
	}
	return m.runs[0].group.window, true
}

// next goes to the next group, which is good until the following call.
func (m *merged) next() bool {
	if m.err != nil || len(m.runs) == 0 {
		return false
	}
	first := m.runs[0].group
	m.group.window, m.group.labels = first.window, first.labels
	m.group.rows = m.group.rows[:0]
	for len(m.runs) > 0 && m.runs[0].group.window == first.window && labels.Equal(m.runs[0].group.labels, first.labels) {
		m.group.rows = append(m.group.rows, m.runs[0].group.rows...)
		ok, err := m.runs[0].next()
		switch {
		case err != nil:
			m.err = err
			return false
		case ok:
			heap.Fix(&m.runs, 0)
		default:
			heap.Pop(&m.runs)
		}
	}
	byTime := func(a, b row) int { return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(a.line, b.line)) }
	if !slices.IsSortedFunc(m.group.rows, byTime) {
		slices.SortFunc(m.group.rows, byTime)
	}
	return true
}
