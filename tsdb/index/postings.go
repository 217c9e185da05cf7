package index

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// Postings is a set of series. A set is asked for whole lists at a time.
type Postings interface {
	// Len returns the number of ids, or more than that if they were not counted; zero means that there is none.
	Len() int
	// AppendTo appends all ids in ascending order, each once.
	AppendTo(dst []uint32) []uint32
	// Filter keeps, in place and in order, those of the ascending ids that are in the set; or, if keep is false, those
	// that are not. It returns the shortened slice.
	Filter(ids []uint32, keep bool) []uint32
}

// IDs is a set held as a sorted list without duplicates.
type IDs []uint32

// Len returns the number of ids.
func (p IDs) Len() int { return len(p) }

// AppendTo appends all ids.
func (p IDs) AppendTo(dst []uint32) []uint32 { return append(dst, p...) }

// Filter keeps the ids in the set, or those outside.
func (p IDs) Filter(ids []uint32, keep bool) []uint32 {
	out, pos := ids[:0], 0
	for _, id := range ids {
		pos = p.seek(pos, id)
		if (pos < len(p) && p[pos] == id) == keep {
			out = append(out, id)
		}
	}
	return out
}

func (p IDs) at(i int) uint32 { return p[i] }

// seek returns the first position from pos on with an id of at least id. It gallops: the cost grows with the logarithm
// of the distance, and a near id costs one comparison.
func (p IDs) seek(pos int, id uint32) int {
	if pos >= len(p) || p[pos] >= id {
		return pos
	}
	step := 1
	for pos+step < len(p) && p[pos+step] < id {
		pos += step
		step *= 2
	}
	low, high := pos+1, min(pos+step, len(p))
	for low < high {
		if mid := int(uint(low+high) / 2); p[mid] < id {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// stored is a set as it lies in the file: four bytes for each id, big-endian. Nothing is decoded but what is looked at.
type stored []byte

func (p stored) Len() int { return len(p) / 4 }

func (p stored) at(i int) uint32 { return binary.BigEndian.Uint32(p[4*i:]) }

func (p stored) AppendTo(dst []uint32) []uint32 {
	n := p.Len()
	dst = slices.Grow(dst, n)
	out := dst[len(dst) : len(dst)+n]
	b := p
	for i := range out {
		out[i] = binary.BigEndian.Uint32(b)
		b = b[4:]
	}
	return dst[:len(dst)+n]
}

func (p stored) Filter(ids []uint32, keep bool) []uint32 {
	out, pos, n := ids[:0], 0, p.Len()
	for _, id := range ids {
		pos = p.seek(pos, id)
		if (pos < n && p.at(pos) == id) == keep {
			out = append(out, id)
		}
	}
	return out
}

func (p stored) seek(pos int, id uint32) int {
	n := p.Len()
	if pos >= n || p.at(pos) >= id {
		return pos
	}
	step := 1
	for pos+step < n && p.at(pos+step) < id {
		pos += step
		step *= 2
	}
	low, high := pos+1, min(pos+step, n)
	for low < high {
		if mid := int(uint(low+high) / 2); p.at(mid) < id {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// Union returns the set of all ids in any of the sets.
func Union(sets ...Postings) Postings {
	sets = slices.DeleteFunc(slices.Clone(sets), func(p Postings) bool { return p.Len() == 0 })
	switch len(sets) {
	case 0:
		return IDs(nil)
	case 1:
		return sets[0]
	}
	u := union{sets: sets}
	for _, p := range sets {
		u.total += p.Len()
	}
	return u
}

type union struct {
	sets  []Postings
	total int
}

func (u union) Len() int { return u.total }

func (u union) AppendTo(dst []uint32) []uint32 {
	if b, ok := u.bitmap(); ok {
		return b.AppendTo(dst)
	}
	before := len(dst)
	dst = slices.Grow(dst, u.total)
	for _, p := range u.sets {
		dst = p.AppendTo(dst)
	}
	slices.Sort(dst[before:])
	return dst[:before+len(slices.Compact(dst[before:]))]
}

func (u union) Filter(ids []uint32, keep bool) []uint32 {
	if len(u.sets)*len(ids) >= u.total {
		if b, ok := u.bitmap(); ok {
			return b.Filter(ids, keep)
		}
		return IDs(u.AppendTo(nil)).Filter(ids, keep)
	}
	// Few candidates: what none of the sets holds stays.
	outside := slices.Clone(ids)
	for _, p := range u.sets {
		outside = p.Filter(outside, false)
	}
	if keep {
		return IDs(outside).Filter(ids, false)
	}
	return append(ids[:0], outside...)
}

// bitmap is a set with a bit for each id from low on.
type bitmap struct {
	low   uint32
	marks []uint64
}

// bitmap returns the union in that form, if the ids lie so close to each other that it is the smaller one.
// BenchmarkUnion compares.
func (u union) bitmap() (bitmap, bool) {
	low, high := uint32(math.MaxUint32), uint32(0)
	for _, p := range u.sets {
		l, ok := p.(list)
		if !ok {
			return bitmap{}, false
		}
		low, high = min(low, l.at(0)), max(high, l.at(l.Len()-1))
	}
	if low > high || int(high-low)/64 > 2*u.total {
		return bitmap{}, false // The first is true of damaged lists only.
	}
	b := bitmap{low, make([]uint64, int(high-low)/64+1)}
	for _, p := range u.sets {
		var ok bool
		switch p := p.(type) {
		case IDs:
			ok = b.add(p)
		case stored:
			ok = b.addStored(p)
		}
		if !ok {
			return bitmap{}, false
		}
	}
	return b, true
}

// add marks ids; ok is false if they are not sorted.
func (b *bitmap) add(ids []uint32) (ok bool) {
	for _, id := range ids {
		i := (id - b.low) / 64
		if int(i) >= len(b.marks) {
			return false
		}
		b.marks[i] |= 1 << ((id - b.low) % 64)
	}
	return true
}

func (b *bitmap) addStored(p stored) (ok bool) {
	for ; len(p) >= 4; p = p[4:] {
		id := binary.BigEndian.Uint32(p) - b.low
		if int(id/64) >= len(b.marks) {
			return false
		}
		b.marks[id/64] |= 1 << (id % 64)
	}
	return true
}

// AppendTo appends the marked ids.
func (b bitmap) AppendTo(dst []uint32) []uint32 {
	n := 0
	for _, mark := range b.marks {
		n += bits.OnesCount64(mark)
	}
	dst = slices.Grow(dst, n)
	for w, mark := range b.marks {
		for ; mark != 0; mark &= mark - 1 {
			dst = append(dst, b.low+uint32(w*64+bits.TrailingZeros64(mark)))
		}
	}
	return dst
}

// Filter keeps the marked ids, or the others.
func (b bitmap) Filter(ids []uint32, keep bool) []uint32 {
	out := ids[:0]
	for _, id := range ids {
		i := (id - b.low) / 64 // Below low it wraps around to a large number.
		if marked := int(i) < len(b.marks) && b.marks[i]>>((id-b.low)%64)&1 != 0; marked == keep {
			out = append(out, id)
		}
	}
	return out
}
