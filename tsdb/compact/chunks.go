package compact

import (
	"errors"
	"fmt"
	"math"

	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// maxSamples is the number of samples up to which neighbouring chunks are joined, as far as chunk.MaxBytes allows: each
// chunk costs some 30 bytes in index and segment, and begins with a whole timestamp and value. BenchmarkMerge tells
// what it saves. A chunk that is joined once is rarely touched again, since the next merge finds it full.
const maxSamples = 240

// errNoEncoder is the reason for which overlapping histograms, or samples with start timestamps, are not merged.
var errNoEncoder = fmt.Errorf("chunks overlap or are partly deleted, and their samples can't be encoded again: %w", errors.ErrUnsupported)

// chunkList collects the chunks of a series, joining what is small. Chunks that are copied keep their bytes; others lie
// in memory that the next series uses again.
type chunkList struct {
	chunks []block.Chunk
	// bufs are the memory for chunks that are encoded here, of which the first used are taken.
	bufs [][]byte
	used int
	// xor continues the last chunk if growing is set.
	xor     chunk.XORState
	growing bool
	// samples is the number of samples in the last chunk, if that is an XOR chunk.
	samples int
	ts      []int64
	vs      []float64
}

func (l *chunkList) reset() {
	clear(l.chunks)
	l.chunks = l.chunks[:0]
	l.used, l.samples, l.growing = 0, 0, false
}

// add appends a chunk as it is, or its samples to the chunk before if both together are small.
func (l *chunkList) add(c block.Chunk) error {
	if c.Encoding != chunk.EncXOR {
		l.chunks, l.samples, l.growing = append(l.chunks, c), 0, false
		return nil
	}
	n, err := chunk.Samples(c.Encoding, c.Data)
	if err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	if !l.fits(n, len(c.Data)) {
		l.chunks, l.samples, l.growing = append(l.chunks, c), n, false
		return nil
	}
	if l.ts, l.vs, err = chunk.DecodeXOR(c.Data, math.MinInt64, math.MaxInt64, l.ts[:0], l.vs[:0]); err != nil {
		return err
	}
	if err := l.grow(); err != nil {
		return err
	}
	if l.join(len(c.Data)) {
		l.chunks[len(l.chunks)-1].MaxTime = c.MaxTime
		l.samples += n
		return nil
	}
	l.chunks, l.samples, l.growing = append(l.chunks, c), n, false
	return nil
}

// join appends the decoded samples to the last chunk, or leaves it as it was if that takes more room than the chunk of
// size bytes from which they come: what is significant in the one's values need not be in the other's.
func (l *chunkList) join(size int) bool {
	last := &l.chunks[len(l.chunks)-1]
	data, xor, before := last.Data, l.xor, len(last.Data)
	header, tail := [2]byte(data), data[before-1] // What appending changes.
	for i, t := range l.ts {
		data = l.xor.Append(data, t, l.vs[i])
		if len(data) > min(before+size, chunk.MaxBytes) {
			l.xor = xor
			copy(last.Data, header[:])
			last.Data[before-1] = tail
			return false
		}
	}
	last.Data = data
	return true
}

// fits reports whether the last chunk can take n samples that take size bytes as a chunk of their own.
func (l *chunkList) fits(n, size int) bool {
	if l.samples == 0 {
		return false
	}
	return l.samples+n <= maxSamples && len(l.chunks[len(l.chunks)-1].Data)+size <= chunk.MaxBytes
}

// grow makes the last chunk, which is an XOR chunk, one that can be appended to.
func (l *chunkList) grow() (err error) {
	if l.growing {
		return nil
	}
	last := &l.chunks[len(l.chunks)-1]
	if l.xor, err = chunk.ResumeXOR(last.Data); err != nil {
		return err
	}
	last.Data = append(l.buf(), last.Data...)
	l.growing = true
	return nil
}

// buf returns memory for a chunk.
func (l *chunkList) buf() []byte {
	if l.used == len(l.bufs) {
		l.bufs = append(l.bufs, make([]byte, 0, chunk.MaxBytes+chunk.MaxXORSampleBytes))
	}
	l.used++
	return l.bufs[l.used-1][:0]
}

// append adds a sample behind all others, in a chunk of its own or that of samples appended before.
func (l *chunkList) append(t int64, v float64) {
	if !l.growing || l.samples >= maxSamples || len(l.chunks[len(l.chunks)-1].Data)+chunk.MaxXORSampleBytes > chunk.MaxBytes {
		l.chunks = append(l.chunks, block.Chunk{Encoding: chunk.EncXOR, Data: l.buf(), MinTime: t})
		l.xor, l.growing, l.samples = chunk.XORState{}, true, 0
	}
	last := &l.chunks[len(l.chunks)-1]
	last.Data = l.xor.Append(last.Data, t, v)
	last.MaxTime = t
	l.samples++
}
