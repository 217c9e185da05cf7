package sample_test

import (
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
)

// TestPointsAreColumns adds points one by one: the first histogram makes a column of them.
func TestPointsAreColumns(t *testing.T) {
	h := &histogram.FloatHistogram{Count: 1}
	want := []sample.Sample{{T: 1, F: 0.5}, {T: 2, F: 0.25}, {T: 4, H: h}, {T: 5, F: 3}}
	var p sample.Points
	for i, s := range want {
		if p.Append(s); p.Len() != i+1 || (p.H != nil) != (i >= 2) {
			t.Fatalf("after %d points: %+v", i+1, p)
		}
	}
	var got []sample.Sample
	for i, s := range p.All() {
		if s != p.At(i) {
			t.Errorf("point %d is %v and %v", i, s, p.At(i))
		}
		got = append(got, s)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestPointsOwnWhatTheyAppendTo adds to points whose times belong to others, too.
func TestPointsOwnWhatTheyAppendTo(t *testing.T) {
	times := []int64{1, 2, 3}
	p := sample.Points{T: times[:2:2], F: []float64{1, 2}}
	p.Append(sample.Sample{T: 7, F: 7})
	if times[2] != 3 || !slices.Equal(p.T, []int64{1, 2, 7}) {
		t.Errorf("got %v of %v", p.T, times)
	}
}
