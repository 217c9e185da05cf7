package compact

import (
	"math"

	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// maxSamples is the number of samples up to which neighbouring chunks are joined, as far as chunk.MaxBytes allows: each
// chunk costs some 30 bytes in index and segment, and begins with a whole timestamp and value. More would make readers
// of a short range decode much for little.
const maxSamples = 240

// chunkList collects the chunks of a series. Small ones are joined, and what nobody has packed yet is encoded again by
// chunk.XORPacker; others are copied byte for byte.
type chunkList struct {
	// chunks are complete. Chunks that are copied keep their bytes; others lie in bufs, of which the first used are
	// taken.
	chunks []block.Chunk
	bufs   [][]byte
	used   int

	// The last chunk is growing: ts and vs are its first samples, raw the chunks from which the others come. Together
	// they are samples samples, in about size bytes; repack tells that packing them is worthwhile though they are one
	// chunk.
	ts            []int64
	vs            []float64
	raw           []block.Chunk
	samples, size int
	repack        bool
	packer        chunk.XORPacker

	// starts is a last chunk of XOR2 that is growing, in place of the above, with its bounds.
	starts   *chunk.XOR2Writer
	min, max int64
}

func (l *chunkList) reset() {
	clear(l.chunks)
	l.chunks, l.used = l.chunks[:0], 0
	l.clearLast()
}

func (l *chunkList) clearLast() {
	clear(l.raw)
	l.ts, l.vs, l.raw = l.ts[:0], l.vs[:0], l.raw[:0]
	l.samples, l.size, l.repack = 0, 0, false
	l.starts = nil
}

// add adds a chunk behind all others; fresh tells that it comes from the head, which does not pack.
func (l *chunkList) add(c block.Chunk, fresh bool) error {
	if c.Encoding != chunk.EncXOR {
		if err := l.flush(); err != nil {
			return err
		}
		l.chunks = append(l.chunks, c)
		return nil
	}
	n, err := chunk.Samples(c.Encoding, c.Data)
	if err != nil || n == 0 {
		return err
	}
	if err := l.endXOR2(); err != nil {
		return err
	}
	if l.samples+n > maxSamples || l.size+len(c.Data) > chunk.MaxBytes {
		if err := l.flush(); err != nil {
			return err
		}
	}
	l.raw = append(l.raw, c)
	l.samples += n
	l.size += len(c.Data)
	// A chunk of more samples than anybody else puts into one was packed when its block was cut.
	l.repack = l.repack || fresh && n <= chunk.TargetSamples
	return nil
}

// Packer makes the chunks of a series denser when they leave the head, as [Merge] does with those of other programs. The
// zero value is ready; it keeps memory for the next series.
type Packer struct{ list chunkList }

// Pack returns chunks with the same samples, fewer and smaller ones if possible. They are valid until the next call, and
// as long as the given ones. What can't be decoded is left as it is: those who read it will say why.
func (p *Packer) Pack(chunks []block.Chunk) []block.Chunk {
	p.list.reset()
	for _, c := range chunks {
		if err := p.list.add(c, true); err != nil {
			return chunks
		}
	}
	if err := p.list.flush(); err != nil {
		return chunks
	}
	return p.list.chunks
}

// appendXOR2 adds a sample, with its start timestamp, behind all others, to a chunk of XOR2.
func (l *chunkList) appendXOR2(t, st int64, v float64) error {
	if l.starts == nil || l.starts.Full() {
		if err := l.flush(); err != nil {
			return err
		}
		l.starts, l.min = &chunk.XOR2Writer{}, t
	}
	l.starts.Append(t, st, v)
	l.max = t
	return nil
}

// endXOR2 completes the last chunk if it is one of XOR2.
func (l *chunkList) endXOR2() error {
	if l.starts == nil {
		return nil
	}
	return l.flush()
}

// append adds a sample, which has no start timestamp, behind all others.
func (l *chunkList) append(t, _ int64, v float64) error {
	if err := l.endXOR2(); err != nil {
		return err
	}
	if l.samples >= maxSamples {
		if err := l.flush(); err != nil {
			return err
		}
	}
	if err := l.decode(); err != nil {
		return err
	}
	l.ts, l.vs = append(l.ts, t), append(l.vs, v)
	l.samples++
	l.size += bytesPerSample
	return nil
}

// bytesPerSample is what a sample may take once it is packed.
const bytesPerSample = 4

// decode makes samples of the raw chunks.
func (l *chunkList) decode() (err error) {
	for _, c := range l.raw {
		if l.ts, l.vs, err = chunk.DecodeXOR(c.Data, math.MinInt64, math.MaxInt64, l.ts, l.vs); err != nil {
			return err
		}
	}
	l.raw = l.raw[:0]
	return nil
}

// flush completes the last chunk.
func (l *chunkList) flush() error {
	defer l.clearLast()
	if l.starts != nil {
		l.chunks = append(l.chunks, block.Chunk{Encoding: chunk.EncXOR2, Data: l.starts.Bytes(), MinTime: l.min, MaxTime: l.max})
		return nil
	}
	if len(l.ts) == 0 && len(l.raw) <= 1 && !l.repack {
		l.chunks = append(l.chunks, l.raw...)
		return nil
	}
	if len(l.ts) == 0 && l.join() {
		return nil
	}
	if err := l.decode(); err != nil {
		return err
	}
	c := l.pack(l.ts, l.vs)
	if n := len(l.ts); tooLarge(c, n) {
		l.chunks = append(l.chunks, l.pack(l.ts[:n/2], l.vs[:n/2]), l.pack(l.ts[n/2:], l.vs[n/2:]))
		return nil
	}
	l.chunks = append(l.chunks, c)
	return nil
}

// tooLarge reports whether a chunk of so many samples should be two.
func tooLarge(c block.Chunk, samples int) bool {
	return len(c.Data) > chunk.MaxBytes && samples > chunk.TargetSamples
}

// join packs the raw chunks without decoding them. It reports false if one can't be read, or the chunk would be too large.
func (l *chunkList) join() bool {
	l.packer.Reset()
	for _, c := range l.raw {
		if l.packer.Add(c.Data) != nil {
			return false
		}
	}
	c := block.Chunk{Encoding: chunk.EncXOR, Data: l.packer.Bytes(l.buffer())}
	c.MinTime, c.MaxTime = l.packer.Bounds()
	if tooLarge(c, l.packer.Samples()) {
		return false
	}
	if len(l.raw) == 1 && len(c.Data) >= len(l.raw[0].Data) {
		c = l.raw[0]
	} else {
		l.keep(c.Data)
	}
	l.chunks = append(l.chunks, c)
	return true
}

// buffer returns memory for a chunk, which keep marks as taken.
func (l *chunkList) buffer() []byte {
	if l.used == len(l.bufs) {
		l.bufs = append(l.bufs, make([]byte, 0, chunk.MaxBytes))
	}
	return l.bufs[l.used]
}

func (l *chunkList) keep(data []byte) {
	l.bufs[l.used] = data
	l.used++
}

// pack encodes samples in memory of the list.
func (l *chunkList) pack(ts []int64, vs []float64) block.Chunk {
	data := l.packer.Encode(l.buffer(), ts, vs)
	l.keep(data)
	return block.Chunk{Encoding: chunk.EncXOR, Data: data, MinTime: ts[0], MaxTime: ts[len(ts)-1]}
}
