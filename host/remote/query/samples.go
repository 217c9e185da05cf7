package query

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// maxMessage is what a reader of protobuf takes at most.
const maxMessage = math.MaxInt32

// readSamples reads an answer of whole samples, one compressed message, and makes chunks of them.
func (a *answer) readSamples(body io.Reader) error {
	compressed, err := a.readAll(body)
	if err != nil {
		return fmt.Errorf("error reading response: %w", err)
	}
	size := wire.DecompressedSize(compressed)
	if err := a.room.hold(size); err != nil {
		return err
	}
	message, err := wire.Decompress(compressed, maxMessage)
	if err != nil {
		return fmt.Errorf("error reading response: %w", err)
	}
	if err := a.addResponse(message); err != nil {
		return err
	}
	if err := a.room.hold(-size - cap(compressed)); err != nil {
		return err
	}
	return a.finish()
}

// readAll reads a body to its end.
func (a *answer) readAll(body io.Reader) ([]byte, error) {
	var b []byte
	for {
		if len(b) == cap(b) {
			before := cap(b)
			b = slices.Grow(b, max(len(b), minSlab))
			if err := a.room.hold(cap(b) - before); err != nil {
				return nil, err
			}
			if len(b) > maxMessage {
				return nil, errors.New("the message has more than 2 GiB")
			}
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// addResponse adds the series of the only result there has to be.
func (a *answer) addResponse(message []byte) error {
	results := 0
	w := wire.Walker{Rest: message}
	for w.Next() {
		if w.Num == wire.ResponseResults && w.Is(protowire.BytesType) {
			results++
			w.Err = a.addResult(w.Bytes)
		}
	}
	if w.Err == nil && results != 1 {
		return fmt.Errorf("responses: want 1, got %d", results)
	}
	return w.Err
}

func (a *answer) addResult(message []byte) error {
	var row row
	w := wire.Walker{Rest: message}
	for w.Next() {
		if w.Num == wire.ResultSeries && w.Is(protowire.BytesType) {
			w.Err = a.addSampledSeries(w.Bytes, &row)
		}
	}
	if w.Err != nil {
		return w.Err
	}
	return a.hold(&row, -row.held)
}

// row is scratch for the samples of a series.
type row struct {
	points  []point
	natives []*wire.Native
	// held is the room that both have, in bytes.
	held int
}

const (
	pointBytes  = int(unsafe.Sizeof(point{}))
	nativeBytes = int(unsafe.Sizeof(wire.Native{})) + int(unsafe.Sizeof(&wire.Native{}))
	// nativeShare is about how many bytes come of one of the message of a histogram: a number of a byte is one of eight, or more
	// while the slice with them grows.
	nativeShare = 12
)

// hold counts bytes of a row.
func (a *answer) hold(r *row, n int) error {
	r.held += n
	return a.room.hold(n)
}

// grow makes room for more samples.
func (a *answer) grow(r *row) error {
	before := cap(r.points)
	r.points = slices.Grow(r.points, max(before, 64))
	return a.hold(r, pointBytes*(cap(r.points)-before))
}

// point is a sample: a float, or the histogram with that place, counted from one.
type point struct {
	t      int64
	v      float64
	native int
}

// addSampledSeries adds one series.
func (a *answer) addSampledSeries(message []byte, r *row) error {
	clear(r.natives)
	r.points, r.natives = r.points[:0], r.natives[:0]
	if err := a.hold(r, pointBytes*cap(r.points)-r.held); err != nil { // The histograms are gone.
		return err
	}
	w := wire.Walker{Rest: message}
	for {
		if len(r.points) == cap(r.points) {
			if err := a.grow(r); err != nil {
				return err
			}
		}
		if s, ok := w.NextSample(wire.SeriesSamples); ok {
			r.points = append(r.points, point{t: s.T, v: s.V})
			continue
		}
		if !w.Next() {
			break
		}
		switch w.Num {
		case wire.SeriesLabels:
			if w.Is(protowire.BytesType) {
				w.Err = a.addLabel(w.Bytes)
			}
		case wire.SeriesSamples:
			if w.Is(protowire.BytesType) {
				var s wire.Sample
				s, w.Err = wire.ReadSample(w.Bytes, false)
				r.points = append(r.points, point{t: s.T, v: s.V})
			}
		case wire.SeriesHistograms:
			if w.Is(protowire.BytesType) {
				w.Err = a.addNative(r, w.Bytes)
			}
		}
	}
	if w.Err != nil {
		return w.Err
	}
	ls, err := a.takeLabels()
	if err != nil {
		return err
	}
	s := a.open(ls)
	if len(r.points) == 0 {
		return nil
	}
	r.order()
	return a.encode(s, r)
}

func (a *answer) addNative(r *row, message []byte) error {
	if err := a.hold(r, nativeBytes+nativeShare*len(message)); err != nil {
		return err
	}
	n, err := wire.ReadNative(message, false)
	if err != nil {
		return err
	}
	n.Fit()
	if n.IsFloat {
		err = n.Float.Validate()
	} else {
		err = n.Whole.Validate()
	}
	r.natives = append(r.natives, n)
	r.points = append(r.points, point{t: n.T, native: len(r.natives)})
	return err
}

// order sorts the samples by time; of several with the same time, the first counts, and a float before a histogram.
func (r *row) order() {
	before := func(x, y point) int {
		return cmp.Or(cmp.Compare(x.t, y.t), cmp.Compare(min(x.native, 1), min(y.native, 1)))
	}
	if !slices.IsSortedFunc(r.points, before) {
		slices.SortStableFunc(r.points, before)
	}
	r.points = slices.CompactFunc(r.points, func(x, y point) bool { return x.t == y.t })
}

// encode makes chunks of samples and adds those that count to a series.
func (a *answer) encode(s *series, r *row) error {
	from, _ := slices.BinarySearchFunc(r.points, a.mint, func(p point, t int64) int { return cmp.Compare(p.t, t) })
	points := r.points[from:]
	for len(points) > 0 && points[0].t <= a.maxt {
		n := 1
		for n < len(points) && points[n].t <= a.maxt && (points[n].native > 0) == (points[0].native > 0) {
			n++
		}
		run := points[:n]
		points = points[n:]
		if run[0].native > 0 {
			if err := a.encodeNatives(s, r, run); err != nil {
				return err
			}
			continue
		}
		for part := range slices.Chunk(run, chunk.TargetSamples) {
			var x chunk.XORState
			var data []byte
			for _, p := range part {
				data = x.Append(data, p.t, p.v)
			}
			if err := a.keep(s, part, chunk.EncXOR, data); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *answer) encodeNatives(s *series, r *row, run []point) error {
	var w *chunk.HistogramWriter
	begin := 0
	for i, p := range run {
		n := r.natives[p.native-1]
		one := chunk.Native{Int: &n.Whole}
		if n.IsFloat {
			one = chunk.Native{Float: &n.Float}
		}
		if w != nil && !w.Full() && w.Append(p.t, one) {
			continue
		}
		if w != nil {
			if err := a.keep(s, run[begin:i], w.Encoding(), w.Bytes()); err != nil {
				return err
			}
		}
		w, begin = chunk.BeginHistograms(w, p.t, one), i
	}
	return a.keep(s, run[begin:], w.Encoding(), w.Bytes())
}

// keep adds a chunk that was made here.
func (a *answer) keep(s *series, part []point, enc chunk.Encoding, data []byte) error {
	s.chunks = append(s.chunks, storage.Chunk{MinT: part[0].t, MaxT: part[len(part)-1].t, Encoding: uint8(enc), Data: data})
	return a.room.hold(chunkBytes + cap(data))
}
