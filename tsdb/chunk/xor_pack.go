package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

const (
	// newWindowBits is what a value costs more if it brings its own window: five bits for the leading zeros and six for
	// the size.
	newWindowBits = 11
	// lookBack is the number of values over which a window may be chosen at once. Over the loads of the tests, 64 would
	// make chunks smaller by 0.1 %.
	lookBack = 8
)

// XORPacker encodes XOR chunks as a whole, smaller than [XORState] does, which does not know what will come: it chooses
// the windows of significant bits so that wide ones end soon and narrow ones last. Readers see no difference. The zero
// value is ready; it holds memory for the next chunk.
type XORPacker struct {
	values []packed
	steps  []packStep
}

// packed is a difference that is not zero, with the window in which it is written.
type packed struct {
	diff   uint64
	window xorWindow
	// fresh tells that the window begins here.
	fresh bool
}

// xorWindow is the number of bits to the left and to the right that are not written.
type xorWindow struct{ lead, trail uint8 }

func (w xorWindow) size() uint8 { return 64 - w.lead - w.trail }

// packStep is the cheapest way found to write the differences up to one: bits in all, of which the last window begins at
// start.
type packStep struct {
	cost, start int32
	window      xorWindow
}

// Encode returns the chunk of the samples, of which there must be one and at most [MaxSamples], in b's memory if it
// suffices. Timestamps must ascend.
func (p *XORPacker) Encode(b []byte, ts []int64, vs []float64) []byte {
	p.plan(vs)
	b = slices.Grow(b[:0], packedHeader+len(ts)*MaxXORSampleBytes)
	b = binary.BigEndian.AppendUint16(b, uint16(len(ts)))
	b = binary.AppendVarint(b, ts[0])
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(vs[0]))
	if len(ts) == 1 {
		return b
	}
	delta := uint64(ts[1] - ts[0])
	b = binary.AppendUvarint(b, delta)
	w := bitWriter{b: b[:cap(b)], pos: len(b)}
	next := 0
	for i := 1; i < len(ts); i++ {
		if i > 1 {
			d := uint64(ts[i] - ts[i-1])
			w.timestamp(int64(d - delta))
			delta = d
		}
		if math.Float64bits(vs[i]) == math.Float64bits(vs[i-1]) {
			w.put(0, 1)
			continue
		}
		v := &p.values[next]
		next++
		size := uint(v.window.size())
		if v.fresh {
			// Six bits hold the size, where 64 wraps to 0.
			w.put(0b11<<11|uint64(v.window.lead)<<6|uint64(size&63), 13)
		} else {
			w.put(0b10, 2)
		}
		w.putLong(v.diff>>v.window.trail, size)
	}
	return w.bytes()
}

// packedHeader is the most that comes before the bits: count, first timestamp and value, and the first distance. A store
// of eight bytes has room behind them.
const packedHeader = 2 + 2*binary.MaxVarintLen64 + 8 + 8

// bitWriter writes bits into b, which is long enough, from a byte position on. Unlike [appendBits] it stores eight bytes
// at once without looking at what there is (BenchmarkPackXOR).
type bitWriter struct {
	b   []byte
	pos int
	// bits are the n bits, fewer than eight, that the byte at pos begins with, on top.
	bits uint64
	n    uint
}

// put writes the low k bits of u, of which no others may be set; k is at most 57.
func (w *bitWriter) put(u uint64, k uint) {
	w.bits |= u << (64 - w.n - k)
	binary.BigEndian.PutUint64(w.b[w.pos:], w.bits)
	w.n += k
	w.pos += int(w.n / 8)
	w.bits <<= w.n &^ 7
	w.n %= 8
}

// putLong is put for up to 64 bits.
func (w *bitWriter) putLong(u uint64, k uint) {
	if k > 57 {
		w.put(u>>32, k-32)
		u, k = u&math.MaxUint32, 32
	}
	w.put(u, k)
}

// timestamp writes a change of the distance between timestamps.
func (w *bitWriter) timestamp(dod int64) {
	switch {
	case dod == 0:
		w.put(0, 1)
	case inSigned(dod, 14):
		w.put(0b10<<14|uint64(dod)&(1<<14-1), 16)
	case inSigned(dod, 17):
		w.put(0b110<<17|uint64(dod)&(1<<17-1), 20)
	case inSigned(dod, 20):
		w.put(0b1110<<20|uint64(dod)&(1<<20-1), 24)
	default:
		w.put(0b1111, 4)
		w.putLong(uint64(dod), 64)
	}
}

// bytes returns what was written.
func (w *bitWriter) bytes() []byte {
	if w.n > 0 {
		return w.b[:w.pos+1]
	}
	return w.b[:w.pos]
}

// plan chooses the windows of all differences. For each it compares going on with the window before with windows that
// begin at one of the latest differences and just hold all since.
func (p *XORPacker) plan(vs []float64) {
	p.values, p.steps = p.values[:0], append(p.steps[:0], packStep{})
	before := math.Float64bits(vs[0])
	for _, v := range vs[1:] {
		bitsNow := math.Float64bits(v)
		if diff := bitsNow ^ before; diff != 0 {
			w := xorWindow{min(uint8(bits.LeadingZeros64(diff)), 31), uint8(bits.TrailingZeros64(diff))}
			p.values = append(p.values, packed{diff: diff, window: w})
		}
		before = bitsNow
	}
	for k, v := range p.values {
		best, last := packStep{cost: math.MaxInt32}, p.steps[k]
		if k > 0 && last.window.lead <= v.window.lead && last.window.trail <= v.window.trail {
			best = last
			best.cost += 2 + int32(last.window.size())
			if last.window == v.window {
				p.steps = append(p.steps, best) // Nothing is cheaper.
				continue
			}
		}
		lead, trail := v.window.lead, v.window.trail
		first := max(0, k+1-lookBack)
		values, steps := p.values[first:k+1], p.steps[first:k+1]
		many := int32(1)
		for i := len(values) - 1; i >= 0 && i < len(steps); i-- {
			lead, trail = min(lead, values[i].window.lead), min(trail, values[i].window.trail)
			cost := steps[i].cost + newWindowBits + many*(66-int32(lead)-int32(trail))
			if cost < best.cost {
				best = packStep{cost, int32(first + i), xorWindow{lead, trail}}
			}
			// For each difference that the window takes in addition, no more than a window of its own is saved.
			if cost-newWindowBits*int32(i) >= best.cost {
				break
			}
			many++
		}
		p.steps = append(p.steps, best)
	}
	for end := len(p.values); end > 0; {
		s := p.steps[end]
		for k := int(s.start); k < end; k++ {
			p.values[k].window = s.window
		}
		p.values[s.start].fresh = true
		end = int(s.start)
	}
}
