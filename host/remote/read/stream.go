package read

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/storage"
)

// streaming is an answer of chunks: frames, each with chunks of one series.
type streaming struct {
	*answering
	w      *tracked
	table  *crc32.Table
	chunks []storage.Chunk
	// labels are those of the series at hand, series the message of it that is being filled.
	labels, series, message, frame []byte
}

// stream answers with chunks, frame by frame.
func (a *answering) stream(ctx context.Context, w *tracked, req *request) error {
	w.Header().Set("Content-Type", wire.MediaChunks)
	s := streaming{answering: a, w: w, table: crc32.MakeTable(crc32.Castagnoli)}
	err := req.each(func(i int, q *query) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if q.hints != nil {
			q.hints.SeriesOnly = false // There are no frames without chunks.
		}
		return a.each(ctx, q, func(one storage.Series) error { return s.add(one, i) })
	})
	if err != nil {
		return err
	}
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}

// add sends the chunks of a series, as many in a frame as there is room for; one is always sent.
func (s *streaming) add(series storage.Series, place int) (err error) {
	ls := series.Labels()
	s.reader = series.Samples(s.reader)
	if s.chunks, err = chunksOf(s.reader, s.chunks[:0]); err != nil {
		return fmt.Errorf("read series %s: %w", ls, err)
	}
	size := 0
	s.labels, size = appendLabels(s.labels[:0], wire.ChunkedLabels, ls, s.external)
	room := s.h.opts.MaxBytesInFrame - size
	s.series = append(s.series[:0], s.labels...)
	for i := range s.chunks {
		var n int
		s.series, n = appendChunk(s.series, &s.chunks[i])
		if room -= n; room > 0 && i < len(s.chunks)-1 {
			continue
		}
		if err := s.send(place); err != nil {
			return err
		}
		room = s.h.opts.MaxBytesInFrame - size
		s.series = append(s.series[:0], s.labels...)
	}
	return nil
}

// appendChunk appends a chunk, whose message has n bytes.
func appendChunk(b []byte, c *storage.Chunk) (_ []byte, n int) {
	n = wire.NumberSize(uint64(c.MinT)) + wire.NumberSize(uint64(c.MaxT)) + wire.NumberSize(uint64(c.Encoding)) + 1 + protowire.SizeBytes(len(c.Data))
	b = protowire.AppendVarint(protowire.AppendTag(b, wire.ChunkedChunks, protowire.BytesType), uint64(n))
	b = wire.AppendNumber(wire.AppendNumber(b, wire.ChunkMin, uint64(c.MinT)), wire.ChunkMax, uint64(c.MaxT))
	return wire.AppendMessage(wire.AppendNumber(b, wire.ChunkEncoding, uint64(c.Encoding)), wire.ChunkData, c.Data), n
}

// send sends a frame: the length of the message, its checksum, and the message.
func (s *streaming) send(place int) error {
	s.message = wire.AppendMessage(s.message[:0], wire.ChunkedSeries, s.series)
	s.message = wire.AppendNumber(s.message, wire.ChunkedQuery, uint64(place))
	if len(s.message) > math.MaxUint32 {
		return fmt.Errorf("a frame of %d bytes cannot be sent", len(s.message))
	}
	s.frame = binary.AppendUvarint(s.frame[:0], uint64(len(s.message)))
	s.frame = binary.BigEndian.AppendUint32(s.frame, crc32.Checksum(s.message, s.table))
	s.frame = append(s.frame, s.message...)
	_, err := s.w.Write(s.frame)
	return err
}
