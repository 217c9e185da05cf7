package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/merge"
)

// answer is what a remote answers to one question. It belongs to who reads it until done is closed, and does not change from
// then on.
type answer struct {
	// mint and maxt bound the samples that count.
	mint, maxt int64
	// without are names of labels that are taken off, sorted.
	without []string
	room    room
	stop    context.CancelFunc
	done    chan struct{}

	// What follows says how it went. The series come in the order of labels, each once.
	series   []*series
	warnings storage.Warnings
	// err is what the query ends with.
	err error

	reading
}

// reading is scratch for reading an answer.
type reading struct {
	slab    []byte
	pairs   []labels.Label
	builder labels.ScratchBuilder
	decoder chunk.Decoder
	columns storage.Columns
}

func newAnswer(mint, maxt int64, without []string, m room) *answer {
	return &answer{mint: mint, maxt: maxt, without: without, room: m, done: make(chan struct{})}
}

const (
	// seriesBytes and chunkBytes are what a series and a chunk cost about, besides their labels and data.
	seriesBytes = 128
	chunkBytes  = int(unsafe.Sizeof(storage.Chunk{}))

	// minSlab and maxSlab bound the pieces of memory that small frames share.
	minSlab, maxSlab = 4 << 10, 256 << 10
	// readStep is how much room is made at a time for what a remote says it will send.
	readStep = 1 << 20
)

// read reads n bytes into memory that the answer keeps. No more room is made than about twice what has come.
func (a *answer) read(r io.Reader, n int) ([]byte, error) {
	if n > maxSlab/4 {
		return a.readLarge(r, n)
	}
	if free := cap(a.slab) - len(a.slab); n > free {
		size := max(n, min(max(2*cap(a.slab), minSlab), maxSlab))
		if err := a.room.hold(size); err != nil {
			return nil, err
		}
		a.slab = make([]byte, 0, size)
	}
	at := len(a.slab)
	a.slab = a.slab[:at+n]
	b := a.slab[at : at+n : at+n]
	_, err := io.ReadFull(r, b)
	return b, err
}

func (a *answer) readLarge(r io.Reader, n int) ([]byte, error) {
	var b []byte
	for len(b) < n {
		part := min(n-len(b), max(len(b), readStep))
		if err := a.room.hold(part); err != nil {
			return nil, err
		}
		at := len(b)
		b = slices.Grow(b, part)[:at+part]
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Bounds of what labels can be held.
const maxLabels, maxLabelBytes = 1<<16 - 1, 1<<24 - 1

// addLabel adds one label of the series that is being read.
func (a *answer) addLabel(message []byte) error {
	name, value, err := wire.ReadLabel(message)
	switch {
	case err != nil:
		return err
	case len(name) == 0 || !utf8.Valid(name) || len(name) > maxLabelBytes:
		return fmt.Errorf("invalid label name: %.100q", name)
	case !utf8.Valid(value) || len(value) > maxLabelBytes:
		return fmt.Errorf("invalid label value: %.100q", value)
	case string(name) == labels.MetricName && len(value) == 0:
		return errors.New(`invalid metric name: ""`)
	case len(a.pairs) == maxLabels:
		return fmt.Errorf("a series has more than %d labels", maxLabels)
	}
	a.pairs = append(a.pairs, labels.Label{Name: view(name), Value: view(value)})
	return nil
}

// view returns bytes as a string, which changes when they do.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// takeLabels makes a set of the labels that were added.
func (a *answer) takeLabels() (labels.Labels, error) {
	byName := func(x, y labels.Label) int { return strings.Compare(x.Name, y.Name) }
	if !slices.IsSortedFunc(a.pairs, byName) {
		slices.SortFunc(a.pairs, byName)
	}
	a.builder.Reset()
	for i, p := range a.pairs {
		if i > 0 && p.Name == a.pairs[i-1].Name {
			return labels.Labels{}, fmt.Errorf("duplicate label with name: %.100s", p.Name)
		}
		if _, out := slices.BinarySearch(a.without, p.Name); !out {
			a.builder.Add(p.Name, p.Value)
		}
	}
	ls := a.builder.Labels()
	clear(a.pairs)
	a.pairs = a.pairs[:0]
	return ls, a.room.hold(seriesBytes + ls.ByteSize())
}

// open returns the series to which chunks with these labels belong: the latest one, if it has the same, or else a new one.
func (a *answer) open(ls labels.Labels) *series {
	if n := len(a.series); n > 0 && labels.Equal(a.series[n-1].labels, ls) {
		return a.series[n-1]
	}
	s := &series{labels: ls, mint: a.mint, maxt: a.maxt}
	a.series = append(a.series, s)
	return s
}

// addChunk adds a chunk to a series, unless none of its samples counts. What is damaged is found out now, while it is still
// the remote's failure and not the query's.
func (a *answer) addChunk(s *series, c storage.Chunk) error {
	cols := &a.columns
	if cols.Lent == nil {
		cols.Lent = histogram.NewReusable()
	}
	cols.Reset()
	if err := a.decoder.Decode(chunk.Encoding(c.Encoding), c.Data, minTime, maxTime, (*chunk.Columns)(cols)); err != nil {
		return fmt.Errorf("series %s: %w", s.labels, err)
	}
	n := cols.Len()
	if n == 0 {
		return nil
	}
	for i := 1; i < n; i++ {
		if cols.T[i] <= cols.T[i-1] {
			return fmt.Errorf("series %s: a chunk has samples that are not in order of time", s.labels)
		}
	}
	c.MinT, c.MaxT = cols.T[0], cols.T[n-1] // Whatever the remote says.
	if c.MaxT < a.mint || c.MinT > a.maxt {
		return nil
	}
	s.chunks = append(s.chunks, c)
	return a.room.hold(chunkBytes)
}

// finish brings the series into order and makes one of those with the same labels.
func (a *answer) finish() error {
	a.reading = reading{}
	byLabels := func(x, y *series) int { return labels.Compare(x.labels, y.labels) }
	if !slices.IsSortedFunc(a.series, byLabels) {
		slices.SortStableFunc(a.series, byLabels)
	}
	kept := a.series[:0]
	for _, s := range a.series {
		if n := len(kept); n > 0 && labels.Equal(kept[n-1].labels, s.labels) {
			kept[n-1].chunks = append(kept[n-1].chunks, s.chunks...)
		} else {
			kept = append(kept, s)
		}
	}
	clear(a.series[len(kept):])
	a.series = kept
	for _, s := range a.series {
		if err := a.bringApart(s); err != nil {
			return fmt.Errorf("series %s: %w", s.labels, err)
		}
	}
	return nil
}

// mergedBytes is about what a sample takes while chunks that overlap are merged: decoded, and with its place.
const mergedBytes = 64

// bringApart has no chunks of a series overlap.
func (a *answer) bringApart(s *series) error {
	scratch, err := overlapping(s.chunks)
	if err != nil {
		return err
	}
	if err := a.room.hold(mergedBytes * scratch); err != nil {
		return err
	}
	if s.chunks, err = merge.Apart(s.chunks); err != nil {
		return err
	}
	return a.room.hold(-mergedBytes * scratch)
}

// overlapping returns how many samples have to be in memory at once for chunks to be brought apart.
func overlapping(chunks []storage.Chunk) (most int, err error) {
	apart := true
	for i := 1; i < len(chunks) && apart; i++ {
		apart = chunks[i].MinT > chunks[i-1].MaxT
	}
	if apart { // Fast path: this is how remotes send them, mostly.
		return 0, nil
	}
	byTime := slices.SortedFunc(slices.Values(chunks), func(x, y storage.Chunk) int { return cmp.Compare(x.MinT, y.MinT) })
	run, end := 0, int64(minTime)
	for _, c := range byTime {
		n, err := chunk.Samples(chunk.Encoding(c.Encoding), c.Data)
		if err != nil {
			return 0, err
		}
		if c.MinT > end {
			run = 0
		}
		run, end = run+n, max(end, c.MaxT)
		most = max(most, run)
	}
	return most, nil
}
