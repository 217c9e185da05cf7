package histogram

import (
	"math"
	"unsafe"
)

// Arena hands out memory for histograms in larger pieces, which is cheaper than one by one. It belongs to one goroutine.
//
// The zero value is for histograms that are kept: it forgets what it has handed out. A piece stays in memory as long as one
// histogram of it does, so pieces are small. An arena of [NewReusable] hands out the same memory again after each Reset.
type Arena struct {
	hists []FloatHistogram
	free  []float64
	// pieces is nil unless memory is used again.
	pieces *pieces
}

// pieces are those of an arena that uses them again; those before nextHists and nextFloats are in use.
type pieces struct {
	hists                 [][]FloatHistogram
	floats                [][]float64
	nextHists, nextFloats int
	spoil                 *bool
}

const (
	arenaHistograms = 8
	arenaFloats     = 128
	// Pieces that are used again are larger: a single histogram does not keep one in memory.
	reusedHistograms = 64
	reusedFloats     = 1024
)

// NewReusable returns an arena for histograms that are only looked at for a while.
func NewReusable() *Arena { return &Arena{pieces: &pieces{spoil: new(bool)}} }

// Another returns a further reusable arena for the same goroutine. Spoil of either of them applies to both.
func (m *Arena) Another() *Arena { return &Arena{pieces: &pieces{spoil: m.pieces.spoil}} }

// Spoil makes each Reset overwrite what it takes back, so that tests notice who still uses it.
func (m *Arena) Spoil() { *m.pieces.spoil = true }

// Reset takes back everything if the arena is reusable: the histograms and slices that it has handed out must not be used
// any more.
func (m *Arena) Reset() {
	p := m.pieces
	if p == nil || p.nextHists+p.nextFloats == 0 {
		return
	}
	if *p.spoil {
		p.overwrite()
	}
	p.nextHists, p.nextFloats = 0, 0
	m.hists, m.free = nil, nil
}

// overwrite leaves nothing in the pieces that were in use that could pass for a histogram.
func (p *pieces) overwrite() {
	nan := math.Float64frombits(0x7ff8dead0000dead)
	for _, piece := range p.hists[:p.nextHists] {
		for i := range piece {
			piece[i] = FloatHistogram{Count: nan, Sum: nan, ZeroCount: nan, ZeroThreshold: nan}
		}
	}
	for _, piece := range p.floats[:p.nextFloats] {
		for i := range piece {
			piece[i] = nan
		}
	}
}

// Size returns the number of bytes that a reusable arena holds on to.
func (m *Arena) Size() int64 {
	if m.pieces == nil {
		return 0
	}
	total := 0
	for _, piece := range m.pieces.hists {
		total += len(piece) * int(unsafe.Sizeof(FloatHistogram{}))
	}
	for _, piece := range m.pieces.floats {
		total += len(piece) * 8
	}
	return int64(total)
}

// Histogram returns an empty histogram.
func (m *Arena) Histogram() *FloatHistogram {
	if len(m.hists) == 0 {
		m.hists = m.moreHistograms()
	}
	h := &m.hists[0]
	m.hists = m.hists[1:]
	if m.pieces != nil {
		*h = FloatHistogram{}
	}
	return h
}

func (m *Arena) moreHistograms() []FloatHistogram {
	p := m.pieces
	if p == nil {
		return make([]FloatHistogram, arenaHistograms)
	}
	if p.nextHists == len(p.hists) {
		p.hists = append(p.hists, make([]FloatHistogram, reusedHistograms))
	}
	p.nextHists++
	return p.hists[p.nextHists-1]
}

// Floats returns an empty slice with room for n.
func (m *Arena) Floats(n int) []float64 {
	if m.pieces == nil && n > arenaFloats/4 {
		return make([]float64, 0, n)
	}
	if len(m.free) < n {
		m.free = m.moreFloats(n)
	}
	taken := m.free[:0:n]
	m.free = m.free[n:]
	return taken
}

// moreFloats returns a piece with room for n.
func (m *Arena) moreFloats(n int) []float64 {
	p := m.pieces
	if p == nil {
		return make([]float64, arenaFloats)
	}
	for p.nextFloats < len(p.floats) {
		p.nextFloats++
		if piece := p.floats[p.nextFloats-1]; len(piece) >= n {
			return piece
		}
	}
	piece := make([]float64, max(n, reusedFloats))
	p.floats = append(p.floats, piece)
	p.nextFloats++
	return piece
}

// Copy returns a copy of h in the arena's memory. It shares the spans and the custom values with h.
func (m *Arena) Copy(h *FloatHistogram) *FloatHistogram {
	c := m.Histogram()
	*c = *h
	if len(h.PositiveBuckets) > 0 {
		c.PositiveBuckets = append(m.Floats(len(h.PositiveBuckets)), h.PositiveBuckets...)
	}
	if len(h.NegativeBuckets) > 0 {
		c.NegativeBuckets = append(m.Floats(len(h.NegativeBuckets)), h.NegativeBuckets...)
	}
	return c
}
