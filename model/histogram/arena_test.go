package histogram

import (
	"math"
	"testing"
)

func TestReusableArenaHandsOutTheSameMemoryAgain(t *testing.T) {
	h := &FloatHistogram{Count: 3, PositiveSpans: []Span{{Length: 3}}, PositiveBuckets: []float64{1, 1, 1}}
	large := &FloatHistogram{NegativeSpans: []Span{{Length: 5000}}, NegativeBuckets: make([]float64, 5000)}
	m := NewReusable()
	fill := func() {
		for range 200 {
			if c := m.Copy(h); !c.Equal(h) {
				t.Fatalf("copy is %v", c)
			}
			if c := m.Copy(large); !c.Equal(large) {
				t.Fatal("copy of a large histogram differs")
			}
		}
	}
	fill()
	size := m.Size()
	if allocated := testing.AllocsPerRun(3, func() { m.Reset(); fill() }); allocated > 0 {
		t.Errorf("%v allocations after a reset, want none", allocated)
	}
	if m.Size() != size {
		t.Errorf("the arena grows from %d bytes to %d", size, m.Size())
	}
}

func TestCopiesDoNotTouchEachOther(t *testing.T) {
	for _, m := range []*Arena{{}, NewReusable()} {
		h := &FloatHistogram{PositiveBuckets: []float64{1, 2}, NegativeBuckets: []float64{3}}
		a, b := m.Copy(h), m.Copy(h)
		a.PositiveBuckets = append(a.PositiveBuckets, 9)
		a.PositiveBuckets[0], a.NegativeBuckets[0] = 7, 7
		if !b.Equal(h) || h.PositiveBuckets[0] != 1 {
			t.Errorf("a change of one copy shows in %v, %v", b, h)
		}
	}
}

func TestSpoiledMemoryIsBroken(t *testing.T) {
	m := NewReusable()
	other := m.Another()
	m.Spoil()
	c := other.Copy(&FloatHistogram{Count: 1, PositiveSpans: []Span{{Length: 1}}, PositiveBuckets: []float64{1}})
	counts := c.PositiveBuckets
	other.Reset()
	if !math.IsNaN(c.Count) || !math.IsNaN(counts[0]) {
		t.Errorf("after a reset there still are %v and %v", c, counts)
	}
}
