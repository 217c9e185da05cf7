package histogram

// Arena hands out memory for histograms in larger pieces, which is cheaper than one by one. A piece stays in memory as
// long as one histogram of it does, so pieces are not that large. The zero value is ready to use; it belongs to one
// goroutine.
type Arena struct {
	hists []FloatHistogram
	free  []float64
}

const (
	arenaHistograms = 8
	arenaFloats     = 128
)

// Histogram returns an empty histogram.
func (m *Arena) Histogram() *FloatHistogram {
	if len(m.hists) == 0 {
		m.hists = make([]FloatHistogram, arenaHistograms)
	}
	h := &m.hists[0]
	m.hists = m.hists[1:]
	return h
}

// Floats returns an empty slice with room for n.
func (m *Arena) Floats(n int) []float64 {
	if n > arenaFloats/4 {
		return make([]float64, 0, n)
	}
	if len(m.free) < n {
		m.free = make([]float64, arenaFloats)
	}
	taken := m.free[:0:n]
	m.free = m.free[n:]
	return taken
}
