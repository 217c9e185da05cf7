package exec

import (
	"sync"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/plan"
)

// resultMemory makes the points of a result.
type resultMemory struct {
	pool   *Pool
	times  slabs[int64]
	values slabs[float64]
	// grid are the times of all steps, once a series has points at all of them.
	grid []int64
}

// points returns the n points of a row; want is how many points may still come, these included.
func (m *resultMemory) points(r *row, n int, g plan.Grid, want int) sample.Points {
	p := sample.Points{F: m.values.take(&m.pool.values, n, want)}
	if len(r.H) > 0 {
		p.H = make([]*histogram.FloatHistogram, 0, n)
	}
	if n == g.N {
		p.T, p.F, p.H = m.all(g), append(p.F, r.F...), append(p.H, r.H...)
		return p
	}
	p.T = m.times.take(&m.pool.times, n, want)
	for step, f := range r.F {
		if isAbsent(f) {
			continue
		}
		p.T, p.F = append(p.T, g.At(step)), append(p.F, f)
		if len(r.H) > 0 {
			p.H = append(p.H, r.H[step])
		}
	}
	return p
}

// all returns the times of all steps.
func (m *resultMemory) all(g plan.Grid) []int64 {
	if m.grid == nil {
		m.grid = make([]int64, g.N)
		for i := range m.grid {
			m.grid[i] = g.At(i)
		}
	}
	return m.grid
}

// release gives the memory back. The points must not be used any more.
func (m *resultMemory) release() {
	m.times.release(&m.pool.times)
	m.values.release(&m.pool.values)
}

// slabPoints is the size of the pieces of memory of results.
const slabPoints = 8192

type slab[E any] [slabPoints]E

// slabs cut columns of points from larger pieces of memory.
type slabs[E any] struct {
	used []*slab[E]
	free []E
}

// take returns memory for n points; want is how many points may still come, these included.
func (s *slabs[E]) take(pool *sync.Pool, n, want int) []E {
	if len(s.free) < n {
		switch {
		case n > slabPoints/4:
			return make([]E, 0, n)
		case want < slabPoints:
			s.free = make([]E, max(n, want))
		default:
			piece, ok := pool.Get().(*slab[E])
			if !ok {
				piece = &slab[E]{}
			}
			s.used = append(s.used, piece)
			s.free = piece[:]
		}
	}
	taken := s.free[:0:n]
	s.free = s.free[n:]
	return taken
}

// release gives the memory back.
func (s *slabs[E]) release(pool *sync.Pool) {
	for _, piece := range s.used {
		pool.Put(piece)
	}
	s.used, s.free = nil, nil
}
