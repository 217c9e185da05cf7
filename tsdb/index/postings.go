package index

import (
	"encoding/binary"
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
	before := len(dst)
	dst = slices.Grow(dst, u.total)
	for _, p := range u.sets {
		dst = p.AppendTo(dst)
	}
	return dst[:before+len(sortIDs(dst[before:]))]
}

func (u union) Filter(ids []uint32, keep bool) []uint32 {
	if len(u.sets)*len(ids) >= u.total {
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

// sortIDs sorts ids in place and drops duplicates.
func sortIDs(ids []uint32) []uint32 {
	if len(ids) < 2 || strictlyAscending(ids) {
		return ids
	}
	low, high := slices.Min(ids), slices.Max(ids)
	words := int(high-low)/64 + 1
	// Fast path: dense ids are sorted by marking them in a bitmap; BenchmarkUnion compares.
	if words > 2*len(ids) {
		slices.Sort(ids)
		return slices.Compact(ids)
	}
	marks := make([]uint64, words)
	for _, id := range ids {
		marks[(id-low)/64] |= 1 << ((id - low) % 64)
	}
	out := ids[:0]
	for w, mark := range marks {
		for ; mark != 0; mark &= mark - 1 {
			out = append(out, low+uint32(w*64+bits.TrailingZeros64(mark)))
		}
	}
	return out
}

func strictlyAscending(ids []uint32) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i] <= ids[i-1] {
			return false
		}
	}
	return true
}
