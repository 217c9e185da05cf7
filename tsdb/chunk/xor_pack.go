package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
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
	cost   int
	start  int
	window xorWindow
}

// Encode returns the chunk of the samples, of which there must be one and at most [MaxSamples], in b's memory if it
// suffices. Timestamps must ascend.
func (p *XORPacker) Encode(b []byte, ts []int64, vs []float64) []byte {
	b = binary.BigEndian.AppendUint16(b[:0], uint16(len(ts)))
	b = binary.AppendVarint(b, ts[0])
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(vs[0]))
	p.plan(vs)
	next, free, delta := 0, uint8(0), uint64(0)
	for i := 1; i < len(ts); i++ {
		d := uint64(ts[i] - ts[i-1])
		if i == 1 {
			b = binary.AppendUvarint(b, d)
		} else {
			b, free = appendTimestamp(b, free, int64(d-delta))
		}
		delta = d
		if math.Float64bits(vs[i]) == math.Float64bits(vs[i-1]) {
			b, free = appendBits(b, free, 0, 1)
			continue
		}
		v := &p.values[next]
		next++
		if v.fresh {
			// Six bits hold the size, where 64 wraps to 0.
			b, free = appendBits(b, free, 0b11<<11|uint64(v.window.lead)<<6|uint64(v.window.size()&63), 13)
		} else {
			b, free = appendBits(b, free, 0b10, 2)
		}
		b, free = appendBits(b, free, v.diff>>v.window.trail, v.window.size())
	}
	return b
}

// plan chooses the windows of all differences. For each it compares going on with the window before with windows that
// begin at one of the latest differences and just hold all since.
func (p *XORPacker) plan(vs []float64) {
	p.values, p.steps = p.values[:0], append(p.steps[:0], packStep{})
	for i := 1; i < len(vs); i++ {
		if diff := math.Float64bits(vs[i]) ^ math.Float64bits(vs[i-1]); diff != 0 {
			w := xorWindow{min(uint8(bits.LeadingZeros64(diff)), 31), uint8(bits.TrailingZeros64(diff))}
			p.values = append(p.values, packed{diff: diff, window: w})
		}
	}
	for k, v := range p.values {
		best := packStep{cost: math.MaxInt}
		if last := p.steps[k]; k > 0 && last.window.lead <= v.window.lead && last.window.trail <= v.window.trail {
			best = last
			best.cost += 2 + int(last.window.size())
		}
		w := v.window
		for start := k; start >= max(0, k+1-lookBack); start-- {
			w.lead, w.trail = min(w.lead, p.values[start].window.lead), min(w.trail, p.values[start].window.trail)
			if cost := p.steps[start].cost + newWindowBits + (k+1-start)*(2+int(w.size())); cost < best.cost {
				best = packStep{cost, start, w}
			}
		}
		p.steps = append(p.steps, best)
	}
	for end := len(p.values); end > 0; {
		s := p.steps[end]
		for k := s.start; k < end; k++ {
			p.values[k].window = s.window
		}
		p.values[s.start].fresh = true
		end = s.start
	}
}
