package chunk

import "math/bits"

// Add adds the samples of an XOR chunk, which come behind all others. Times and values are not made: the bits of the chunk say
// what is to be written, but for the first two samples. After an error the packer is to be reset.
func (p *XORPacker) Add(data []byte) error {
	n, err := Samples(EncXOR, data)
	if err != nil || n == 0 {
		return err
	}
	// As in DecodeXOR.
	if n > 8*len(data)/2 {
		return endsEarly(EncXOR, 4*len(data), n)
	}
	p.data = append(append(p.data[:0], data...), make([]byte, cursorRoom)...)
	head := bitReader{data: data, pos: 2}
	p.add(head.varint(), head.take64(64))
	if n == 1 || head.overrun() {
		return p.added(n, head.overrun())
	}
	delta := head.uvarint()
	r := joinReader{data: p.data, end: 8 * uint(len(data))}
	r.p = r.end - uint(head.left())
	if head.overrun() {
		r.p = r.end
	}
	p.move(delta, r.diff(bitsAt(r.data, r.p)))
	for i := 2; i < n && !r.odd(); {
		next := bitsAt(r.data, r.p)
		if same := min(bits.LeadingZeros64(next)/2, n-i); same > 0 {
			r.p += 2 * uint(same)
			p.stay(same)
			i += same
			continue
		}
		if next>>63 == 0 {
			r.p++
			next <<= 1
		} else {
			delta += uint64(r.dod(next))
			next = bitsAt(r.data, r.p)
		}
		p.move(delta, r.diff(next))
		i++
	}
	return p.added(n, r.odd())
}

// added returns an error if the chunk of n samples ended too early.
func (p *XORPacker) added(n int, early bool) error {
	if early {
		return endsEarly(EncXOR, n-1, n)
	}
	return nil
}

// stay adds so many samples that are the same as the latest, at the same distance.
func (p *XORPacker) stay(n int) {
	p.samples += n
	p.maxT += int64(n) * int64(p.delta)
	p.same += n
}

// joinReader reads the bits of a chunk. Of data, which goes on behind the chunk for some bytes, end bits count.
type joinReader struct {
	data   []byte
	end, p uint
	// cut are the bits around the window, trail those of them behind it.
	cut, trail uint
}

// odd reports whether more was read than there is.
func (r *joinReader) odd() bool { return r.p > r.end }

// dod reads how the distance changes; next are the bits at the position.
func (r *joinReader) dod(next uint64) (change int64) {
	switch {
	case next>>62 == 0b10:
		r.p += 2 + 14
		return signed(next<<2>>(64-14), 14)
	case next>>61 == 0b110:
		r.p += 3 + 17
		return signed(next<<3>>(64-17), 17)
	case next>>60 == 0b1110:
		r.p += 4 + 20
		return signed(next<<4>>(64-20), 20)
	}
	change = int64(bitsAt(r.data, r.p+4))
	r.p += 4 + 64
	return change
}

// diff reads in which bits a value differs from the one before; next are the bits at the position, all but one of which count.
func (r *joinReader) diff(next uint64) uint64 {
	switch {
	case next>>63 == 0:
		r.p++
		return 0
	case next>>62 == 0b10:
		v := bitsAt(r.data, r.p+2) >> (r.cut & 63) << (r.trail & 63)
		r.p += 2 + 64 - r.cut
		return v
	}
	lead, size := uint(next<<2>>(64-5)), uint(next<<7>>(64-6)-1)&63+1 // 64 is written as zero.
	if lead+size > 64 {
		r.p = r.end + 1
		return 0
	}
	r.cut, r.trail = 64-size, 64-size-lead
	v := bitsAt(r.data, r.p+13) >> (r.cut & 63) << (r.trail & 63)
	r.p += 13 + size
	return v
}
