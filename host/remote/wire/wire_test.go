package wire

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/klauspost/compress/snappy"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
)

func wholeHistogram() *histogram.Histogram {
	return &histogram.Histogram{
		CounterResetHint: histogram.NotCounterReset, Schema: -2, ZeroThreshold: 0.001, ZeroCount: 4, Count: 20, Sum: -1.5,
		PositiveSpans: []histogram.Span{{Offset: -3, Length: 2}, {Offset: 5, Length: 1}}, PositiveBuckets: []int64{3, -1, 4},
		NegativeSpans: []histogram.Span{{Offset: 0, Length: 1}}, NegativeBuckets: []int64{5},
	}
}

// TestNatives has what is appended read again.
func TestNatives(t *testing.T) {
	custom := &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, Count: 2.5, Sum: math.Inf(1), PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []float64{1, 1.5}, CustomValues: []float64{0.1, 2},
	}
	for _, h := range []*histogram.Histogram{wholeHistogram(), {}} {
		n, err := ReadNative(AppendWhole(nil, -7, 5, h), true)
		if err != nil || n.IsFloat || n.T != -7 || n.ST != 5 || !n.Whole.Equal(h) {
			t.Errorf("got %+v, %v, want %+v", n, err, h)
		}
	}
	for _, h := range []*histogram.FloatHistogram{wholeHistogram().ToFloat(), custom, {}} {
		n, err := ReadNative(AppendFloat(nil, 8, 9, h), false)
		if err != nil || !n.IsFloat || n.T != 8 || n.ST != 0 || !n.Float.Equal(h) {
			t.Errorf("got %+v, %v, want %+v", n, err, h)
		}
	}
}

func TestLabelsAndSamples(t *testing.T) {
	b, size := AppendLabel(nil, 3, "name", "")
	w := Walker{Rest: b}
	if !w.Next() || w.Num != 3 || len(w.Bytes) != size {
		t.Fatalf("got %+v, want a field of %d bytes", w, size)
	}
	if name, value, err := ReadLabel(w.Bytes); err != nil || string(name) != "name" || len(value) > 0 {
		t.Errorf("got %q, %q, %v", name, value, err)
	}
	for _, want := range []Sample{{T: 1, V: 2}, {T: -1, V: math.Copysign(1, -1)}, {V: 5}, {}} {
		w := Walker{Rest: AppendSample(nil, 2, want.T, want.V)}
		if !w.Next() || w.Num != 2 {
			t.Fatal(w.Err)
		}
		if got, err := ReadSample(w.Bytes, true); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
}

func TestDecompress(t *testing.T) {
	check := func(compressed []byte, want string) {
		t.Helper()
		if _, err := Decompress(compressed, 1<<20); err == nil || err.Error() != want {
			t.Errorf("%.20x: got %v, want %s", compressed, err, want)
		}
	}
	check(nil, "snappy: corrupt input")
	check([]byte("abc"), "snappy: corrupt input")
	check([]byte{0x80, 0x80, 0x40, 0}, "snappy: corrupt input")
	check([]byte{0x81, 0x80, 0x40, 0}, "snappy: decoded length 1048577 exceeds limit 1048576")
	text := bytes.Repeat([]byte("text"), 1000)
	if got, err := Decompress(snappy.Encode(nil, text), len(text)); err != nil || !bytes.Equal(got, text) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func FuzzReadNative(f *testing.F) {
	f.Add(AppendWhole(nil, 1, 2, wholeHistogram()), true)
	f.Add(AppendFloat(nil, 1, 0, wholeHistogram().ToFloat()), false)
	f.Add([]byte{0x0b, 0x0c}, false)
	f.Fuzz(func(t *testing.T, message []byte, withStart bool) {
		n, err := ReadNative(message, withStart)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v", err)
			}
			return
		}
		for _, v := range []*float64{&n.Whole.Sum, &n.Whole.ZeroThreshold, &n.Float.Sum, &n.Float.ZeroThreshold} {
			if *v == 0 {
				*v = 0 // A negative zero is not sent.
			}
		}
		b := AppendWhole(nil, n.T, n.ST, &n.Whole)
		if n.IsFloat {
			b = AppendFloat(nil, n.T, n.ST, &n.Float)
		}
		again, err := ReadNative(b, withStart)
		if err != nil || again.IsFloat != n.IsFloat || again.T != n.T || again.ST != n.ST {
			t.Fatalf("got %+v, %v, want %+v", again, err, n)
		}
		if n.IsFloat && !again.Float.Equal(&n.Float) || !n.IsFloat && !again.Whole.Equal(&n.Whole) {
			t.Errorf("got %+v, want %+v", again, n)
		}
		n.Fit()
	})
}

// FuzzSample makes sure that samples are read the same by the fast path and by the other one.
func FuzzSample(f *testing.F) {
	f.Add([]byte("\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x80\x01"))
	f.Add([]byte("\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"))
	f.Add([]byte("\x10\x05\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"))
	f.Add([]byte("\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"))
	f.Add([]byte("\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f"))
	f.Add([]byte("\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x05\x18\x03"))
	f.Fuzz(func(t *testing.T, message []byte) {
		w := Walker{Rest: append(AppendMessage(nil, 2, message), 'x')}
		got, ok := w.NextSample(2)
		if !ok {
			return
		}
		want, err := ReadSample(message, true)
		if err != nil || math.Float64bits(got.V) != math.Float64bits(want.V) || got.T != want.T || got.ST != want.ST || string(w.Rest) != "x" {
			t.Fatalf("got %v, then %q; want %v, %v", got, w.Rest, want, err)
		}
	})
}

func TestMetricTypes(t *testing.T) {
	for n, want := range []sample.MetricType{"unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"} {
		if got := MetricType(uint64(n)); got != want {
			t.Errorf("number %d stands for %q, want %q", n, got, want)
		}
		if back := MetricTypeNumber(want); want != sample.TypeUnknown && back != uint64(n) {
			t.Errorf("type %q is number %d, want %d", want, back, n)
		}
	}
	if n := MetricTypeNumber("no type"); n != 0 {
		t.Errorf("what is no type is number %d", n)
	}
}
