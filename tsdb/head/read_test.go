package head

import (
	"fmt"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// TestChosenLabelsAfterRemovals have the numbers of pairs that other labels had before.
func TestChosenLabelsAfterRemovals(t *testing.T) {
	h := openHead(t, t.TempDir())
	chosen := func(ts int64) (sets []string) {
		q, err := h.Querier(ts, ts)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close() //nolint:errcheck // a test's reader
		set := q.Select(t.Context(), false, &storage.SelectHints{Start: ts, End: ts, Projection: true, ProjectionLabels: []string{"i"}},
			labels.MustNewMatcher(labels.MatchEqual, "job", "test"))
		for set.Next() {
			sets = append(sets, set.At().Labels().String())
		}
		return sets
	}
	for round := range int64(3) {
		var want []string
		for i := range 4 {
			n := int(round)*100 + i
			appendAll(t, h, floatEntry(n, round*hour))
			want = append(want, fmt.Sprintf(`{i="%d"}`, n))
		}
		if got := chosen(round * hour); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if err := h.Truncate(t.Context(), (round+1)*hour); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWindowsOverChunks find the same samples whether the open chunk covers them or not.
func TestWindowsOverChunks(t *testing.T) {
	h := openHead(t, t.TempDir())
	const samples, step = 300, 1000
	for k := range int64(samples) {
		appendAll(t, h, storage.Entry{Labels: metric(1), T: k * step, V: float64(k)})
	}
	for from := int64(-1); from <= samples; from++ {
		for _, length := range []int64{0, 1, 50, 130, samples} {
			mint, maxt := from*step, (from+length)*step
			q, err := h.Querier(mint, maxt)
			if err != nil {
				t.Fatal(err)
			}
			want := max(min(from+length, samples-1)-max(from, 0)+1, 0)
			got := int64(0)
			set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "i", "1"))
			for set.Next() {
				var c storage.Columns
				for r := set.At().Samples(nil); r.Read(&c); {
					continue
				}
				got += int64(c.Len())
				if c.Len() > 0 && (c.T[0] != max(mint, 0) || c.T[c.Len()-1] != min(maxt, (samples-1)*step)) {
					t.Fatalf("in [%d, %d]: from %d to %d", mint, maxt, c.T[0], c.T[c.Len()-1])
				}
			}
			if err := q.Close(); err != nil || set.Err() != nil {
				t.Fatal(err, set.Err())
			}
			if got != want {
				t.Fatalf("in [%d, %d]: %d samples, want %d", mint, maxt, got, want)
			}
		}
	}
}
