package read

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/storage"
)

// collected is an answer of samples while it grows.
type collected struct {
	*answering
	// message is the whole message, series that of one series.
	message, series []byte
	columns         storage.Columns
	chunks          []storage.Chunk
	// left is how many samples the query may have still, if there is a limit.
	left int
}

// maxMessage is what a reader of protobuf takes at most.
const maxMessage = math.MaxInt32

// samples answers with all samples in one message.
func (a *answering) samples(ctx context.Context, w *tracked, req *request) error {
	c := collected{answering: a}
	c.columns.Lent = histogram.NewReusable()
	err := req.each(func(_ int, q *query) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := len(c.message)
		c.left = a.h.opts.SampleLimit
		if err := a.each(ctx, q, func(s storage.Series) error { return c.add(s, q) }); err != nil {
			return err
		}
		header := protowire.AppendTag(nil, wire.ResponseResults, protowire.BytesType)
		header = protowire.AppendVarint(header, uint64(len(c.message)-before))
		c.message = slices.Insert(c.message, before, header...)
		return nil
	})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", wire.MediaSamples)
	h.Set("Content-Encoding", "snappy")
	_, err = w.Write(snappy.Encode(nil, c.message))
	return err
}

// add appends a series, if it has samples.
func (c *collected) add(s storage.Series, q *query) error {
	ls := s.Labels()
	c.columns.Reset()
	c.reader = s.Samples(c.reader)
	if q.hints == nil || !q.hints.SeriesOnly {
		if err := c.read(); err != nil {
			return err
		}
		if c.columns.Len() == 0 {
			return nil
		}
	}
	c.series, _ = appendLabels(c.series[:0], wire.SeriesLabels, ls, c.external)
	cols := &c.columns
	for i, t := range cols.T {
		if len(cols.H) == 0 || cols.H[i] == nil {
			c.series = wire.AppendSample(c.series, wire.SeriesSamples, t, cols.F[i])
		}
	}
	if len(cols.H) > 0 {
		if err := c.addNatives(s); err != nil {
			return fmt.Errorf("read series %s: %w", ls, err)
		}
	}
	c.message = wire.AppendMessage(c.message, wire.ResultSeries, c.series)
	if len(c.message) > maxMessage {
		return refuse("the samples take more than 2 GiB: ask for less, or for STREAMED_XOR_CHUNKS")
	}
	return nil
}

// read reads the samples of a series.
func (c *collected) read() error {
	for before := 0; c.reader.Read(&c.columns); before = c.columns.Len() {
		if limit := c.h.opts.SampleLimit; limit > 0 {
			if c.left -= c.columns.Len() - before; c.left < 0 {
				return refuse("exceeded sample limit (%d)", limit)
			}
		}
	}
	return c.reader.Err()
}

// The encodings of chunks of histograms of whole numbers, without and with start timestamps.
const (
	encodingWhole      = 2
	encodingWholeStart = 5
)

// addNatives appends the histograms among the samples. Columns have them as floats; what they were tells the encoding of the
// chunks that they are from.
func (c *collected) addNatives(s storage.Series) error {
	c.reader = s.Samples(c.reader)
	chunks, err := chunksOf(c.reader, c.chunks[:0])
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	c.chunks = chunks
	var message []byte
	for i, t := range c.columns.T {
		h := c.columns.H[i]
		if h == nil {
			continue
		}
		for len(chunks) > 0 && chunks[0].MaxT < t {
			chunks = chunks[1:]
		}
		whole := len(chunks) > 0 && (chunks[0].Encoding == encodingWhole || chunks[0].Encoding == encodingWholeStart)
		message = appendNative(message[:0], t, h, whole)
		c.series = wire.AppendMessage(c.series, wire.SeriesHistograms, message)
	}
	return nil
}

func chunksOf(r storage.ColumnReader, dst []storage.Chunk) ([]storage.Chunk, error) {
	c, ok := r.(storage.ChunkReader)
	if !ok {
		return dst, fmt.Errorf("the storage has no chunks: %w", errors.ErrUnsupported)
	}
	return c.Chunks(dst)
}
