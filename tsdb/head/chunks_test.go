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
	defer q.Close() //nolint:errcheck // a test's reader
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

// knownNoResets returns the times of the histograms of metric(1) that claim that their counter was not reset.
func knownNoResets(t *testing.T, h *Head) (times []int64) {
	t.Helper()
	q, err := h.Querier(0, hour)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "i", ".+"))
	if !set.Next() {
		t.Fatal(set.Err())
	}
	var cols storage.Columns
	for r := set.At().Samples(nil); r.Read(&cols); cols.Reset() {
		for i, h := range cols.H {
			if h.CounterResetHint == histogram.NotCounterReset {
				times = append(times, cols.T[i])
			}
		}
	}
	return times
}

// TestDeletedHistogramsHideNoReset: the one behind a deleted histogram, at which the counter was reset, has another before it now.
func TestDeletedHistogramsHideNoReset(t *testing.T) {
	h := openHead(t, t.TempDir())
	for i, n := range []int64{5, 6, 1, 2, 7, 8} {
		appendAll(t, h, intEntry(1, int64(i), nativeAt(0, n)))
	}
	if err := h.Delete(t.Context(), 2, 3, labels.MustNewMatcher(labels.MatchRegexp, "i", ".+")); err != nil {
		t.Fatal(err)
	}
	if got, want := knownNoResets(t, h), []int64{1, 5}; !slices.Equal(got, want) {
		t.Errorf("no reset is known at %d, want %d", got, want)
	}
}

// TestLateHistogramsBetweenLateOnes: late samples are in chunks that overlap, and the latest in none; what senders say about
// the one before is nothing that holds here.
func TestLateHistogramsBetweenLateOnes(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, withWindow(dir, hour))
	appendAll(t, h, intEntry(1, 10_000, nativeAt(0, 1)))
	for i := range int64(maxLate) {
		appendAll(t, h, intEntry(1, 100*i, nativeAt(0, i)))
	}
	for _, at := range []int64{150, 160, 170} {
		sent := nativeAt(0, at)
		sent.CounterResetHint = histogram.NotCounterReset
		appendAll(t, h, intEntry(1, at, sent))
	}
	var want []int64
	for i := range int64(maxLate) {
		if i != 0 && i != 2 { // 0 begins the chunk, 200 is behind 170.
			want = append(want, 100*i)
		}
	}
	if got := knownNoResets(t, h); !slices.Equal(got, want) {
		t.Errorf("no reset is known at %d, want %d", got, want)
	}
}
