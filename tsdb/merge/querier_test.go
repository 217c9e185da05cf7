package merge

import (
	"fmt"
	"slices"
	"testing"
)

func TestSortedListsBecomeOne(t *testing.T) {
	merged := func(a, b, want []string) {
		t.Helper()
		for _, pair := range [][2][]string{{a, b}, {b, a}} {
			first, second := slices.Clone(pair[0]), slices.Clone(pair[1])
			if got := mergeSorted(pair[0], pair[1]); !slices.Equal(got, want) {
				t.Errorf("%q and %q: got %q, want %q", pair[0], pair[1], got, want)
			}
			if !slices.Equal(first, pair[0]) || !slices.Equal(second, pair[1]) {
				t.Errorf("%q and %q have changed", first, second)
			}
		}
	}
	merged(nil, nil, nil)
	merged([]string{"a", "b"}, nil, []string{"a", "b"})
	merged([]string{"a", "b"}, []string{"a", "b"}, []string{"a", "b"})
	merged([]string{"a", "c"}, []string{"b", "c", "d"}, []string{"a", "b", "c", "d"})
	merged([]string{"", "a"}, []string{"b"}, []string{"", "a", "b"})
}

// BenchmarkUnion merges the label values of three blocks and the head, some of which differ.
func BenchmarkUnion(b *testing.B) {
	for _, fresh := range []int{0, 10} {
		b.Run(fmt.Sprintf("new=%d%%", fresh), func(b *testing.B) {
			lists := make([][]string, 4)
			for k := range lists {
				for i := range 1000 {
					name := fmt.Sprintf("api-%08x-r2f6f", i*7919)
					if i%100 < fresh {
						name += fmt.Sprint(k)
					}
					lists[k] = append(lists[k], name)
				}
				slices.Sort(lists[k])
			}
			b.ReportAllocs()
			for b.Loop() {
				var all []string
				for _, list := range lists {
					all = mergeSorted(all, list)
				}
			}
		})
	}
}
