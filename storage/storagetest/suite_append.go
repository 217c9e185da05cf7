package storagetest

import (
	"errors"
	"math"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

func outcomesNameTheSeries(k *kit) {
	a, b := metric("a"), metric("b")
	first := k.mustCommit(float(a, 1, 1), float(b, 1, 1))
	if first[0].Ref == 0 || first[1].Ref == 0 || first[0].Ref == first[1].Ref {
		k.Fatalf("references %d and %d must be set and differ", first[0].Ref, first[1].Ref)
	}
	if !first[0].Created || !first[1].Created {
		k.Error("new series must be reported as created")
	}
	second := k.mustCommit(float(a, 2, 1))
	if second[0].Ref != first[0].Ref || second[0].Created {
		k.Errorf("second sample got reference %d, created %v; want %d and false", second[0].Ref, second[0].Created, first[0].Ref)
	}
}

func referencesStandForLabels(k *kit) {
	a := metric("a", "x", "1")
	ref := k.mustCommit(float(a, 1, 1))[0].Ref
	if out := k.mustCommit(storage.Entry{Ref: ref, T: 2, V: 2}); out[0].Ref != ref {
		k.Errorf("reference became %d, want %d", out[0].Ref, ref)
	}
	k.expect(k.all(), floats(a, 1, 1, 2, 2))
}

func unknownReference(k *kit) {
	const unknown = 1 << 40
	a := metric("a")
	out := k.commit(storage.Entry{Ref: unknown, T: 1, V: 1}, storage.Entry{Ref: unknown, Labels: a, T: 1, V: 1})
	if !errors.Is(out[0].Err, storage.ErrUnknownSeries) {
		k.Errorf("without labels: got %v, want ErrUnknownSeries", out[0].Err)
	}
	if out[1].Err != nil || out[1].Ref == 0 {
		k.Errorf("with labels: got reference %d and %v", out[1].Ref, out[1].Err)
	}
	k.expect(k.all(), floats(a, 1, 1))
}

func entriesWithoutSample(k *kit) {
	a, b := metric("a"), metric("b")
	about := func(ls labels.Labels) storage.Entry {
		return storage.Entry{
			Labels: ls, NoSample: true, T: 1,
			Exemplars: []sample.Exemplar{{Labels: labels.FromStrings("trace", "1"), Value: 1, T: 1}},
			Metadata:  &sample.Metadata{Type: sample.TypeCounter},
		}
	}
	ref := k.mustCommit(float(a, 1, 1))[0].Ref
	byRef := about(labels.Labels{})
	byRef.Ref = ref
	for _, e := range []storage.Entry{about(a), byRef} {
		if out := k.commit(e); out[0].Err != nil || out[0].Ref != ref || out[0].Created {
			k.Errorf("about a series that is there: %+v, want reference %d and no error", out[0], ref)
		}
	}
	if out := k.commit(about(b)); !errors.Is(out[0].Err, storage.ErrUnknownSeries) || out[0].Created {
		k.Errorf("about a series that is not there: %+v, want ErrUnknownSeries", out[0])
	}
	if out := k.commit(float(b, 1, 1), about(b)); out[1].Err != nil || out[1].Ref != out[0].Ref {
		k.Errorf("about a series of the same batch: %+v, want reference %d and no error", out[1], out[0].Ref)
	}
	k.expect(k.all(), floats(a, 1, 1), floats(b, 1, 1))
}

func rejectedSamplesSpoilNoOthers(k *kit) {
	a, b := metric("a"), metric("b")
	ref := k.mustCommit(float(a, 10, 1))[0].Ref
	out := k.commit(float(a, 5, 1), float(b, 5, 1), float(a, 11, 2))
	if !errors.Is(out[0].Err, storage.ErrOutOfOrder) {
		k.Errorf("older sample: got %v, want ErrOutOfOrder", out[0].Err)
	}
	if out[0].Ref != ref {
		k.Errorf("rejected sample names series %d, want %d", out[0].Ref, ref)
	}
	if out[1].Err != nil || out[2].Err != nil {
		k.Errorf("good samples of the batch: %v, %v", out[1].Err, out[2].Err)
	}
	k.expect(k.all(), floats(a, 10, 1, 11, 2), floats(b, 5, 1))
}

func duplicates(k *kit) {
	a, nan := metric("a"), metric("nan")
	k.mustCommit(float(a, 10, 1), float(nan, 10, sample.NormalNaN()))
	out := k.commit(float(a, 10, 1), float(nan, 10, sample.NormalNaN()))
	if out[0].Err != nil || out[1].Err != nil {
		k.Errorf("same value again: %v, %v; want no error", out[0].Err, out[1].Err)
	}
	out = k.commit(float(a, 10, 2), float(nan, 10, sample.StaleNaN()))
	for i := range out {
		if !errors.Is(out[i].Err, storage.ErrDuplicate) {
			k.Errorf("another value, entry %d: got %v, want ErrDuplicate", i, out[i].Err)
		}
	}
	k.expect(k.all(), floats(a, 10, 1), floats(nan, 10, sample.NormalNaN()))
}

func commitShowsTheWholeBatch(k *kit) {
	a, b := metric("a"), metric("b")
	app := k.store.Appender()
	k.append(app, float(a, 1, 1))
	k.expect(k.all())
	k.append(app, float(b, 1, 2), float(a, 2, 3))
	k.expect(k.all())
	if err := app.Commit(k.ctx()); err != nil {
		k.Fatal(err)
	}
	k.expect(k.all(), floats(a, 1, 1, 2, 3), floats(b, 1, 2))
}

func aQuerierKeepsItsSnapshot(k *kit) {
	a, b := metric("a"), metric("b")
	k.mustCommit(float(a, 1, 1))
	app := k.store.Appender()
	k.append(app, float(a, 2, 2), float(b, 2, 2))
	during := k.querier(math.MinInt64, math.MaxInt64)
	if err := app.Commit(k.ctx()); err != nil {
		k.Fatal(err)
	}
	everything := labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+")
	k.expect(k.read(during, everything), floats(a, 1, 1))
	k.expect(k.all(), floats(a, 1, 1, 2, 2), floats(b, 2, 2))
	k.mustCommit(float(a, 3, 3))
	k.expect(k.read(during, everything), floats(a, 1, 1))
}

func rollbackLeavesNothing(k *kit) {
	a, b := metric("a"), metric("b")
	k.mustCommit(float(a, 1, 1))
	app := k.store.Appender()
	k.append(app, float(a, 2, 2), float(b, 2, 2))
	if err := app.Rollback(); err != nil {
		k.Fatal(err)
	}
	k.expect(k.all(), floats(a, 1, 1))
	k.mustCommit(float(a, 2, 5), float(b, 1, 6))
	k.expect(k.all(), floats(a, 1, 1, 2, 5), floats(b, 1, 6))
}

func specialValues(k *kit) {
	values := []float64{
		0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), sample.NormalNaN(), sample.StaleNaN(),
		math.MaxFloat64, math.SmallestNonzeroFloat64, 1e-300, -12345.678,
	}
	a := metric("a")
	want := found{ls: a}
	var entries []storage.Entry
	for i, v := range values {
		entries = append(entries, float(a, int64(i)*1000, v))
		want.cols.Append(int64(i)*1000, v, nil)
	}
	k.mustCommit(entries...)
	k.expect(k.all(), want)
}

func histograms(k *kit) {
	a := metric("a")
	entries := []storage.Entry{
		{Labels: a, T: 1, Histogram: testHistogram(1)},
		{Labels: a, T: 2, Histogram: testHistogram(2)},
	}
	for i := range entries {
		out := k.commit(entries[i])
		if errors.Is(out[0].Err, storage.ErrUnsupported) {
			k.Skip("storage does not take histograms")
		}
		if out[0].Err != nil {
			k.Fatal(out[0].Err)
		}
	}
	k.mustCommit(float(a, 3, 7))
	got := k.all()
	if len(got) != 1 || got[0].cols.Len() != 3 || len(got[0].cols.H) != 3 {
		k.Fatalf("got %v, want one series with two histograms and a float", got)
	}
	for i := range entries {
		want := testHistogram(uint64(i + 1)).ToFloat()
		h := got[0].cols.H[i]
		if h == nil {
			k.Fatalf("sample %d is no histogram", i)
		}
		same := *h
		same.CounterResetHint = want.CounterResetHint // A storage may say more about resets than it was told.
		if !same.Equal(want) {
			k.Errorf("histogram %d is %+v, want %+v", i, h, want)
		}
	}
	if got[0].cols.H[2] != nil || got[0].cols.F[2] != 7 {
		k.Errorf("the last sample is %v, %v; want the float 7", got[0].cols.F[2], got[0].cols.H[2])
	}
}
