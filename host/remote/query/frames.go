package query

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/storage"
)

// frameBuffer is how much of a stream is read at a time.
const frameBuffer = 64 << 10

// readFrames reads a stream of chunks: frames of up to limit bytes, each with its length and a checksum before it.
func (a *answer) readFrames(body io.Reader, limit uint64) error {
	r := bufio.NewReaderSize(body, frameBuffer)
	table := crc32.MakeTable(crc32.Castagnoli)
	for n := 1; ; n++ {
		size, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return a.finish()
		}
		if err != nil {
			return fmt.Errorf("frame %d: %w", n, err)
		}
		if size > limit {
			return fmt.Errorf("frame %d: message size exceeded the limit %d bytes; got: %d bytes", n, limit, size)
		}
		if err := a.readFrame(r, int(size), table); err != nil {
			return fmt.Errorf("frame %d: %w", n, err)
		}
	}
}

// readFrame reads a frame behind its length.
func (a *answer) readFrame(r io.Reader, size int, table *crc32.Table) error {
	var sum [4]byte
	if _, err := io.ReadFull(r, sum[:]); err != nil {
		return cutOff(err)
	}
	frame, err := a.read(r, size)
	if err != nil {
		return cutOff(err)
	}
	if crc32.Checksum(frame, table) != binary.BigEndian.Uint32(sum[:]) {
		return errors.New("corrupted frame; checksum mismatch")
	}
	return a.addFrame(frame)
}

// cutOff makes the end of a stream an unexpected one.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// addFrame adds what is in a frame.
func (a *answer) addFrame(message []byte) error {
	w := wire.Walker{Rest: message}
	for w.Next() {
		switch w.Num {
		case wire.ChunkedSeries:
			if w.Is(protowire.BytesType) {
				w.Err = a.addChunkedSeries(w.Bytes)
			}
		case wire.ChunkedQuery:
			if n := w.Number(); n != 0 && w.Err == nil {
				w.Err = fmt.Errorf("this is of query %d, but there is one", n)
			}
		}
	}
	return w.Err
}

// addChunkedSeries adds chunks of one series.
func (a *answer) addChunkedSeries(message []byte) error {
	w := wire.Walker{Rest: message}
	for w.Next() {
		if w.Num == wire.ChunkedLabels && w.Is(protowire.BytesType) {
			w.Err = a.addLabel(w.Bytes)
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
	w = wire.Walker{Rest: message}
	for w.Next() {
		if w.Num == wire.ChunkedChunks && w.Is(protowire.BytesType) {
			var c storage.Chunk
			if c, w.Err = readChunk(w.Bytes); w.Err == nil {
				w.Err = a.addChunk(s, c)
			}
		}
	}
	return w.Err
}

// readChunk reads the message of a chunk, of which the data are a part. The times that it names are not needed: the data have
// them.
func readChunk(message []byte) (c storage.Chunk, err error) {
	w := wire.Walker{Rest: message}
	for w.Next() {
		switch w.Num {
		case wire.ChunkMin, wire.ChunkMax:
			w.Is(protowire.VarintType)
		case wire.ChunkEncoding:
			n := w.Number()
			if c.Encoding = uint8(n); uint64(c.Encoding) != n && w.Err == nil {
				w.Err = fmt.Errorf("invalid chunk encoding: %d", n)
			}
		case wire.ChunkData:
			if w.Is(protowire.BytesType) {
				c.Data = w.Bytes
			}
		}
	}
	return c, w.Err
}
