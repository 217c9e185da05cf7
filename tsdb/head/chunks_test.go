package head

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// TestLateHistogramsKnowNoReset: what a histogram says about the one before it is not true of one that came in between later,
// in columns as in chunks, which have the same samples.
func TestLateHistogramsKnowNoReset(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, withWindow(dir, hour))
	native := func(at int64) storage.Entry {
		return storage.Entry{Labels: metric(1), T: at, Histogram: nativeAt(0, 1)}
	}
	appendAll(t, h, native(10), native(20), native(30), native(40), native(50))
	appendAll(t, h, native(25))
	q, err := h.Querier(15, 45)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "i", ".+"))
	if !set.Next() {
		t.Fatal(set.Err())
	}
	var cols storage.Columns
	r := set.At().Samples(nil)
	for r.Read(&cols) {
	}
	var got []string
	for i, at := range cols.T {
		got = append(got, fmt.Sprint(at, cols.H[i].CounterResetHint == histogram.NotCounterReset))
	}
	if want := "20 true 25 false 30 false 40 true"; r.Err() != nil || strings.Join(got, " ") != want {
		t.Errorf("got %s, %v, want %s", got, r.Err(), want)
	}
	reader, ok := set.At().Samples(r).(storage.ChunkReader)
	if !ok {
		t.Fatal("the head has no chunks")
	}
	chunks, err := reader.Chunks(nil)
	if err != nil {
		t.Fatal(err)
	}
	var bounds []string
	for _, c := range chunks {
		bounds = append(bounds, fmt.Sprintf("%d-%d", c.MinT, c.MaxT))
	}
	if !slices.Equal(bounds, []string{"20-20", "25-25", "30-40"}) {
		t.Errorf("got chunks of %v", bounds)
	}
}
