package merge

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/narthex-io/narthex/storage"
)

// reader merges the samples of several readers, a run at a time: samples of one reader that come before those of all
// others are copied at once, and readers that follow each other are read one by one, without any copy.
type reader struct {
	sources []source
	// chained tells that all samples of a source come before those of the next.
	chained bool
	// last is the set that the samples before came from, negative if there are none. What a
	// histogram says about the sample before it is true only if that is of the same set.
	last int
	// spare are readers for reuse, by the set that they came from.
	spare map[int]storage.ColumnReader
	err   error
}

// source is a reader with samples that were read ahead, from position next on.
type source struct {
	set    int
	reader storage.ColumnReader
	ahead  storage.Columns
	next   int
	// minT and maxT are the bounds, if all sources know theirs.
	minT, maxT int64
}

// bounded is a reader that knows the times between which its samples lie; they can be wider than need be. None are left
// if minT is above maxT.
type bounded interface {
	Bounds() (minT, maxT int64)
}

func (r *reader) reset(parts []head) {
	r.err, r.last = nil, -1
	if r.spare == nil {
		r.spare = map[int]storage.ColumnReader{}
	}
	for i := range r.sources {
		r.spare[r.sources[i].set] = r.sources[i].reader
	}
	all := r.sources[:cap(r.sources)]
	for len(all) < len(parts) {
		all = append(all, source{})
	}
	r.sources = all[:len(parts)]
	for i, p := range parts {
		s := &r.sources[i]
		s.set, s.next = p.set, 0
		s.ahead.Reset()
		s.reader = p.series.Samples(r.spare[p.set])
		delete(r.spare, p.set)
	}
	r.chained = r.chain()
}

// chain sorts the sources by time and reports whether they follow each other. Fast path: this is how blocks and the
// head lie to each other, as long as nothing came out of order (BenchmarkSeries).
func (r *reader) chain() bool {
	for i := range r.sources {
		b, ok := r.sources[i].reader.(bounded)
		if !ok {
			return false
		}
		r.sources[i].minT, r.sources[i].maxT = b.Bounds()
	}
	// Few sources, that mostly are in order: sorted by insertion, stable.
	for i := range r.sources {
		for k := i; k > 0 && r.sources[k].minT < r.sources[k-1].minT; k-- {
			r.sources[k], r.sources[k-1] = r.sources[k-1], r.sources[k]
		}
	}
	end := r.sources[0].maxT
	for _, s := range r.sources[1:] {
		if s.minT <= end {
			r.unsort()
			return false
		}
		end = max(end, s.maxT)
	}
	return true
}

// unsort brings the sources into the order of their sets again, by which one counts where several have a sample.
func (r *reader) unsort() {
	slices.SortFunc(r.sources, func(a, b source) int { return cmp.Compare(a.set, b.set) })
}

// readChain reads from the first source that has samples left.
func (r *reader) readChain(dst *storage.Columns) bool {
	for len(r.sources) > 0 {
		s := &r.sources[0]
		if before := dst.Len(); s.reader.Read(dst) {
			r.follow(s, dst, before)
			return true
		}
		if r.err = s.reader.Err(); r.err != nil {
			return false
		}
		r.drop(0)
	}
	return false
}

func (r *reader) Err() error { return r.err }

// Read appends the next run.
func (r *reader) Read(dst *storage.Columns) bool {
	if r.err != nil {
		return false
	}
	if r.chained {
		return r.readChain(dst)
	}
	if !r.fill() {
		return false
	}
	if len(r.sources) == 1 && r.sources[0].next == r.sources[0].ahead.Len() {
		// Fast path: nothing to merge with any more.
		s := &r.sources[0]
		if before := dst.Len(); s.reader.Read(dst) {
			r.follow(s, dst, before)
			return true
		}
		r.err = s.reader.Err()
		return false
	}
	first, bound := 0, int64(math.MaxInt64)
	for i := range r.sources {
		if r.sources[i].time() < r.sources[first].time() {
			first = i
		}
	}
	bounded := false
	for i := range r.sources {
		if t := r.sources[i].time(); i != first && (!bounded || t < bound) {
			bound, bounded = t, true
		}
	}
	s := &r.sources[first]
	end := s.ahead.Len()
	if bounded && bound != s.time() {
		end = s.next + sort.Search(end-s.next, func(k int) bool { return s.ahead.T[s.next+k] >= bound })
	} else if bounded {
		// The same time in several: this one sample counts, theirs are skipped.
		end = s.next + 1
		t := s.time()
		for i := range r.sources {
			if o := &r.sources[i]; i != first && o.time() == t {
				o.next++
			}
		}
	}
	before := dst.Len()
	appendRange(dst, &s.ahead, s.next, end)
	s.next = end
	r.follow(s, dst, before)
	return true
}

// follow notes that the samples from number from on are of s, and forgets what the first says about the one before it if
// that is of another.
func (r *reader) follow(s *source, dst *storage.Columns, from int) {
	if r.last != s.set {
		dst.ForgetReset(from)
	}
	r.last = s.set
}

// fill reads ahead where nothing is left, drops exhausted readers and reports whether any is left. A single one that
// is left is not read ahead.
func (r *reader) fill() bool {
	for i := 0; i < len(r.sources); {
		s := &r.sources[i]
		if s.next < s.ahead.Len() || len(r.sources) == 1 {
			i++
			continue
		}
		s.ahead.Reset()
		s.next = 0
		if s.reader.Read(&s.ahead) {
			i++
			continue
		}
		if err := s.reader.Err(); err != nil {
			r.err = err
			return false
		}
		r.drop(i)
	}
	return len(r.sources) > 0
}

// drop takes an exhausted source out; its memory stays behind the others.
func (r *reader) drop(i int) {
	done := r.sources[i]
	r.spare[done.set] = done.reader
	copy(r.sources[i:], r.sources[i+1:])
	r.sources[len(r.sources)-1] = done
	r.sources = r.sources[:len(r.sources)-1]
}

func (s *source) time() int64 { return s.ahead.T[s.next] }

// appendRange appends samples from to end of src.
func appendRange(dst, src *storage.Columns, from, end int) {
	before := dst.Len()
	dst.T = append(dst.T, src.T[from:end]...)
	dst.F = append(dst.F, src.F[from:end]...)
	if len(src.H) > 0 {
		for len(dst.H) < before {
			dst.H = append(dst.H, nil)
		}
		dst.H = append(dst.H, src.H[from:end]...)
	} else if len(dst.H) > 0 {
		for len(dst.H) < dst.Len() {
			dst.H = append(dst.H, nil)
		}
	}
	if len(src.ST) > 0 {
		for len(dst.ST) < before {
			dst.ST = append(dst.ST, 0)
		}
		dst.ST = append(dst.ST, src.ST[from:end]...)
	} else if len(dst.ST) > 0 {
		for len(dst.ST) < dst.Len() {
			dst.ST = append(dst.ST, 0)
		}
	}
}
