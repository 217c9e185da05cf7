package histogram

// Arena hands out memory for histograms in larger pieces, which is cheaper than one by one. A piece stays in memory as
// long as one histogram of it does. The zero value is ready to use; it belongs to one goroutine.
type Arena struct {
	hists []FloatHistogram
	free  []float64
}

const (
	arenaHistograms = 32
	arenaFloats     = 512
)

func (m *Arena) histogram() *FloatHistogram {
	if len(m.hists) == 0 {
		m.hists = make([]FloatHistogram, arenaHistograms)
	}
	h := &m.hists[0]
	m.hists = m.hists[1:]
	return h
}

// floats returns an empty slice with room for n.
func (m *Arena) floats(n int) []float64 {
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
