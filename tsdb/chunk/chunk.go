// Package chunk encodes and decodes runs of samples in the encodings that Prometheus keeps on disk and in memory.
//
// Start with [XORState], which appends float samples to bytes that the caller owns, and [Decode], which reads a chunk
// of any known encoding into columns at once. There is no iterator: a chunk is small, and decoding it in one tight
// loop is several times cheaper than a dynamic call for each sample.
//
// The package knows nothing of files; tsdb/block and tsdb/head frame chunks on disk. All decoders take hostile bytes:
// damage is an error that wraps [ErrCorrupt], an encoding that is not known an [UnsupportedError].
package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/narthex-io/narthex/model/histogram"
)

// Encoding says how the bytes of a chunk are to be read. The values are those that are written to disk.
type Encoding uint8

// The encodings that have an id. Which of them can be decoded tells [Encoding.Readable].
const (
	EncNone             Encoding = 0
	EncXOR              Encoding = 1
	EncHistogram        Encoding = 2
	EncFloatHistogram   Encoding = 3
	EncXOR2             Encoding = 4
	EncHistogramST      Encoding = 5
	EncFloatHistogramST Encoding = 6
)

const (
	// TargetSamples is the number of samples at which a chunk is best closed and a new one begun.
	TargetSamples = 120
	// MaxBytes is the size up to which a float chunk is filled.
	MaxBytes = 1024
	// MaxSamples is the number of samples that the header can count.
	MaxSamples = 1<<16 - 1
)

// String returns the name that upstream uses, such as XOR.
func (e Encoding) String() string {
	names := [...]string{"none", "XOR", "histogram", "floathistogram", "XOR2", "histogramST", "floathistogramST"}
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("<unknown encoding %d>", uint8(e))
}

// Readable reports whether [Decode] knows the encoding.
func (e Encoding) Readable() bool {
	return EncXOR <= e && e <= EncFloatHistogramST
}

// IsHistogram reports whether chunks of this encoding hold histograms.
func (e Encoding) IsHistogram() bool {
	switch e {
	case EncHistogram, EncFloatHistogram, EncHistogramST, EncFloatHistogramST:
		return true
	}
	return false
}

// ErrCorrupt is wrapped by the errors about bytes that are no chunk of the encoding they claim.
var ErrCorrupt = errors.New("corrupt chunk")

// UnsupportedError is returned for chunks of an encoding that this version can't read; it wraps
// [errors.ErrUnsupported].
type UnsupportedError struct{ Encoding Encoding }

// Unwrap returns [errors.ErrUnsupported].
func (e *UnsupportedError) Unwrap() error { return errors.ErrUnsupported }

// Error names the encoding.
func (e *UnsupportedError) Error() string {
	return "chunk encoding " + e.Encoding.String() + " is not supported"
}

// Columns are decoded samples side by side. The type has the fields of storage.Columns, so that a pointer to one
// converts to a pointer to the other.
type Columns struct {
	// T are the timestamps, F the float values, with len(F) == len(T).
	T []int64
	F []float64
	// H is empty if all samples are floats; else len(H) == len(T), nil for floats.
	H []*histogram.FloatHistogram
	// ST is empty if no sample has a start timestamp; else len(ST) == len(T), zero for none.
	ST []int64
	// Lent is where histograms and their buckets are put, unless it is nil.
	Lent *histogram.Arena
}

// Decode appends to dst the samples of a chunk that lie in [mint, maxt]. On an error, dst may have got some of them.
// The histograms that are appended are new, or in memory that dst lends, and share their spans and custom values with
// each other.
func Decode(enc Encoding, data []byte, mint, maxt int64, dst *Columns) error {
	switch enc {
	case EncXOR:
		before := len(dst.T)
		var err error
		dst.T, dst.F, err = DecodeXOR(data, mint, maxt, dst.T, dst.F)
		dst.pad(len(dst.T) - before)
		return err
	case EncXOR2:
		return decodeXOR2(data, mint, maxt, dst)
	}
	return new(Decoder).Decode(enc, data, mint, maxt, dst)
}

// Decoder decodes with memory to work with, for those who read many chunks of histograms. The zero value is ready to
// use; it belongs to one goroutine.
type Decoder struct {
	ints   intReader
	floats floatReader
	// chunk is the one at hand.
	chunk histogramChunk
	// layout is that of the latest chunk, which the next one has as well, most of the time.
	layout layout
	// spans and bounds are read before it is known whether they are new.
	spans  []histogram.Span
	bounds []float64
}

// Decode is [Decode].
func (d *Decoder) Decode(enc Encoding, data []byte, mint, maxt int64, dst *Columns) error {
	switch enc {
	case EncXOR, EncXOR2:
		return Decode(enc, data, mint, maxt, dst)
	case EncHistogram, EncHistogramST:
		return d.histograms(enc, data, mint, maxt, dst, &d.ints)
	case EncFloatHistogram, EncFloatHistogramST:
		return d.histograms(enc, data, mint, maxt, dst, &d.floats)
	}
	return &UnsupportedError{Encoding: enc}
}

// pad keeps the optional columns as long as the others after n float samples were appended.
func (c *Columns) pad(n int) {
	if len(c.H) > 0 {
		c.H = append(c.H, make([]*histogram.FloatHistogram, n)...)
	}
	if len(c.ST) > 0 {
		c.ST = append(c.ST, make([]int64, n)...)
	}
}

// add appends a sample; h is nil for a float and st zero for none.
func (c *Columns) add(t, st int64, f float64, h *histogram.FloatHistogram) {
	if h != nil && len(c.H) == 0 {
		c.H = append(c.H, make([]*histogram.FloatHistogram, len(c.T))...)
	}
	if st != 0 && len(c.ST) == 0 {
		c.ST = append(c.ST, make([]int64, len(c.T))...)
	}
	c.T = append(c.T, t)
	c.F = append(c.F, f)
	if len(c.H) > 0 || h != nil {
		c.H = append(c.H, h)
	}
	if len(c.ST) > 0 || st != 0 {
		c.ST = append(c.ST, st)
	}
}

// start returns the start timestamp of sample number i, zero for none.
func (c *Columns) start(i int) int64 {
	if len(c.ST) == 0 {
		return 0
	}
	return c.ST[i]
}

// Samples returns the number of samples that a chunk's header claims.
func Samples(enc Encoding, data []byte) (int, error) {
	if len(data) < 2 {
		return 0, fmt.Errorf("%w: %d bytes are less than a header", ErrCorrupt, len(data))
	}
	n := int(binary.BigEndian.Uint16(data))
	if enc == EncHistogramST || enc == EncFloatHistogramST {
		n &= 1<<14 - 1
	}
	return n, nil
}
