package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

const (
	// newWindowBits is what a value costs more if it brings its own window: five bits for the leading zeros and six for the
	// size.
	newWindowBits = 11
	// narrowerBits is by how many bits a window has to be narrower than the best one to be considered. To consider all would
	// make chunks smaller by 0.1 % and take a sixth more CPU.
	narrowerBits = 6
)

// XORPacker encodes XOR chunks as a whole, smaller than [XORState] does, which does not know what will come: it chooses
// the windows of significant bits so that wide ones end soon and narrow ones last. Readers see no difference. Samples are
// given by [XORPacker.Add], which needs not decode them, or to [XORPacker.Encode]. The zero value is ready; it holds memory for
// the next chunk.
type XORPacker struct {
	samples int
	// minT and first are the first sample, firstDelta the distance to the second.
	minT       int64
	first      uint64
	firstDelta uint64
	// maxT, delta and last are the time of the latest sample, its distance from the one before, and its value.
	maxT  int64
	delta uint64
	last  uint64
	// changes are the samples from the second on, but for those at the same distance with the same value; same is how many of
	// these come behind them.
	changes []change
	same    int
	values  []packed
	steps   []packStep
	open    []openWindow
	data    []byte
}

// change is a sample, with so many before it that are the same as the one before them. The distance changes by dod.
type change struct {
	dod     int64
	same    int32
	changed bool
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

// nearly reports whether what fits into v fits into w, which is not much wider.
func (w xorWindow) nearly(v xorWindow) bool {
	return w.lead <= v.lead && w.trail <= v.trail && v.lead+v.trail < w.lead+w.trail+narrowerBits
}

// packStep is the cheapest way found to write the differences up to one: bits in all, of which the last window begins at
// start.
type packStep struct {
	cost, start int32
	window      xorWindow
}

// Encode returns the chunk of the samples, of which there must be one and at most [MaxSamples], in b's memory if it
// suffices. Timestamps must ascend.
func (p *XORPacker) Encode(b []byte, ts []int64, vs []float64) []byte {
	p.Reset()
	for i, t := range ts {
		p.add(t, math.Float64bits(vs[i]))
	}
	return p.Bytes(b)
}

// Reset forgets all samples.
func (p *XORPacker) Reset() {
	p.samples, p.same, p.changes, p.values = 0, 0, p.changes[:0], p.values[:0]
}

// Bounds returns the times of the first and the last sample.
func (p *XORPacker) Bounds() (minT, maxT int64) { return p.minT, p.maxT }

// Samples returns the number of samples.
func (p *XORPacker) Samples() int { return p.samples }

// add adds a sample.
func (p *XORPacker) add(t int64, value uint64) {
	if p.samples == 0 {
		p.samples, p.minT, p.maxT, p.first, p.last = 1, t, t, value, value
		return
	}
	p.move(uint64(t-p.maxT), value^p.last)
}

// move adds a sample by its distance from the one before and the bits in which the values differ.
func (p *XORPacker) move(delta, diff uint64) {
	switch dod := int64(delta - p.delta); {
	case p.samples == 1:
		p.firstDelta = delta
		p.changes = append(p.changes, change{changed: diff != 0})
	case dod == 0 && diff == 0:
		p.same++
	default:
		p.changes = append(p.changes, change{dod: dod, same: int32(p.same), changed: diff != 0})
		p.same = 0
	}
	if diff != 0 {
		p.values = append(p.values, packed{diff: diff, window: windowOf(diff)})
	}
	p.samples++
	p.maxT += int64(delta)
	p.delta = delta
	p.last ^= diff
}

// windowOf returns the smallest window for a difference.
func windowOf(diff uint64) xorWindow {
	return xorWindow{min(uint8(bits.LeadingZeros64(diff)), 31), uint8(bits.TrailingZeros64(diff))}
}

// Bytes returns the chunk of the samples, of which there must be one, in b's memory if it suffices.
func (p *XORPacker) Bytes(b []byte) []byte {
	p.plan()
	b = slices.Grow(b[:0], packedHeader+p.samples*MaxXORSampleBytes)
	b = binary.BigEndian.AppendUint16(b, uint16(p.samples))
	b = binary.AppendVarint(b, p.minT)
	b = binary.BigEndian.AppendUint64(b, p.first)
	if p.samples == 1 {
		return b
	}
	b = binary.AppendUvarint(b, p.firstDelta)
	w := bitWriter{b: b[:cap(b)], pos: len(b)}
	next := 0
	for i := range p.changes {
		c := &p.changes[i]
		w.zeros(2 * uint(c.same))
		before := uint(1) // A bit for the time.
		switch {
		case i == 0: // The second sample has none.
			before = 0
		case c.dod != 0:
			w.timestamp(c.dod)
			before = 0
		}
		if !c.changed {
			w.put(0, before+1)
			continue
		}
		w.value(&p.values[next], before)
		next++
	}
	w.zeros(2 * uint(p.same))
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

// zeros writes so many zeros.
func (w *bitWriter) zeros(k uint) {
	for ; k > 57; k -= 57 {
		w.put(0, 57)
	}
	w.put(0, k)
}

// value writes a difference, behind so many zeros, at most one.
func (w *bitWriter) value(v *packed, zeros uint) {
	size := uint(v.window.size())
	head, n := uint64(0b10), 2+zeros
	if v.fresh {
		// Six bits hold the size, where 64 wraps to 0.
		head, n = 0b11<<11|uint64(v.window.lead)<<6|uint64(size&63), 13+zeros
	}
	if n+size <= 57 {
		w.put(head<<size|v.diff>>v.window.trail, n+size)
		return
	}
	w.put(head, n)
	w.putLong(v.diff>>v.window.trail, size)
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

// openWindow is a window that may go on: it holds all differences since start, which are written at the cost given, in all.
type openWindow struct {
	start int32
	// before is the cost of what comes before, and of the window.
	before, cost int32
	window       xorWindow
}

// plan chooses the windows of all differences, so that they cost the least. A window holds differences that follow each other, and
// is just wide enough for them; so after each difference there is a window that may go on for each place where it may have
// begun. Few of them matter: of those with the same bounds, the cheapest; none that costs as much as the best and a new window,
// for that can be had at any time; and none that begins where the best one is nearly as narrow.
func (p *XORPacker) plan() {
	p.steps = append(p.steps[:0], packStep{})
	open, best := p.open[:0], packStep{}
	for k := range p.values {
		v := p.values[k].window
		limit := best.cost + newWindowBits
		if len(open) == 0 || !best.window.nearly(v) {
			open = append(open, openWindow{start: int32(k), before: limit, cost: best.cost, window: v})
		}
		best.cost = math.MaxInt32
		kept := open[:0]
		for _, o := range open {
			if o.cost >= limit {
				continue
			}
			o.window = xorWindow{min(o.window.lead, v.lead), min(o.window.trail, v.trail)}
			o.cost = o.before + (int32(k)-o.start+1)*(66-int32(o.window.lead)-int32(o.window.trail))
			if o.cost < best.cost {
				best = packStep{o.cost, o.start, o.window}
			}
			if n := len(kept); n > 0 && kept[n-1].window == o.window {
				if o.cost < kept[n-1].cost {
					kept[n-1] = o
				}
				continue
			}
			kept = append(kept, o)
		}
		open = kept
		p.steps = append(p.steps, best)
	}
	p.open = open
	for end := len(p.values); end > 0; {
		s := p.steps[end]
		for k := int(s.start); k < end; k++ {
			p.values[k].window = s.window
		}
		p.values[s.start].fresh = true
		end = int(s.start)
	}
}
