package exec

import (
	"slices"
	"testing"

	"github.com/narthex-io/narthex/promql/parser"
)

func TestNaturalOrder(t *testing.T) {
	got := []string{"a10", "b", "a2", "", "a", "a02b", "a2b1", "10", "9", "a1000", "a-1"}
	slices.SortFunc(got, compareNatural)
	want := []string{"", "9", "10", "a", "a2", "a02b", "a2b1", "a10", "a1000", "a-1", "b"}
	for i := range want {
		if compareNatural(got[i], want[i]) != 0 {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestAnnotationsTellTextsOnce(t *testing.T) {
	at := func(start int) parser.PositionRange { return parser.PositionRange{Start: start, End: start + 3} }
	var notes Annotations
	outer, inner := parser.PositionRange{Start: 0, End: 20}, parser.PositionRange{Start: 5, End: 15}
	notes.warn(spot{at(8), inner}, "twice")
	notes.warn(spot{at(4), outer}, "twice")
	notes.warn(spot{at(8), inner}, "twice")
	notes.info(spot{at(11), inner}, "else")
	const query = "sum(foo)\n+ sum(bar)"
	if got, want := notes.Warnings(query), []string{"PromQL warning: twice (1:5)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := notes.Infos(query), []string{"PromQL info: else (2:3)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
