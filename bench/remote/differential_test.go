package remote

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// TestDifferential sends the same requests to both, and compares the answers and what is stored.
func TestDifferential(t *testing.T) {
	all := scenarios()
	n := 0
	for _, sc := range all {
		n += len(sc.requests)
		t.Run(sc.name, func(t *testing.T) { compare(t, sc) })
	}
	t.Logf("%d scenarios with %d requests", len(all), n)
}

func compare(t *testing.T, sc scenario) {
	t.Helper()
	if sc.settings.messages == nil {
		sc.settings.messages = []string{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"}
	}
	a, b := newTheirs(t, sc.settings), newOurs(t, sc.settings)
	for i, r := range sc.requests {
		want, got := send(a, r), send(b, r)
		if got.status != want.status || got.headers != want.headers || !slices.Equal(got.reasons, want.reasons) {
			t.Errorf("request %d: got %d %s %q, want %d %s %q", i, got.status, got.headers, got.body, want.status, want.headers, want.body)
		}
		if t.Failed() {
			return
		}
	}
	want, got := a.stored(t), b.stored(t)
	if !slices.Equal(got, want) {
		t.Errorf("stored\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := b.counters(t), a.counters(t); got != want {
		t.Errorf("counted\n%swant\n%s", got, want)
	}
}

func scenarios() (all []scenario) {
	add := func(s []scenario) { all = append(all, s...) }
	plain := settings{}
	window := settings{window: time.Hour}
	now := time.Now().UnixMilli() - base
	bad := func(name string, pairs ...string) {
		add(both("labels: "+name, plain, row(floats("good", sm(1, 1)), one{labels: pairs, samples: []writev2.Sample{sm(1, 2)}}, floats("last", sm(1, 3)))))
	}
	add(both("one sample", plain, row(floats("a", sm(1, 1)))))
	add(both("nothing", plain, row()))
	add(both("no samples", plain, row(one{labels: named("a")})))
	add(both("many series", plain, row(floats("a", sm(1, 1)), floats("b", sm(1, 2), sm(2, 3)), floats("c", sm(5, 4)))))
	add(both("again and again", plain, row(floats("a", sm(1, 1))), row(floats("a", sm(2, 2))), row(floats("a", sm(3, 3)), floats("b", sm(3, 3)))))
	add(both("a series twice", plain, row(floats("a", sm(1, 1)), floats("a", sm(2, 2)))))
	add(both("special values", plain, row(floats("a", sm(1, math.NaN()), sm(2, math.Inf(1)), sm(3, math.Inf(-1)), sm(4, math.Copysign(0, -1)), sm(5, staleNaN)))))
	add(both("same sample again", plain, row(floats("a", sm(1, 1))), row(floats("a", sm(1, 1)))))
	add(both("duplicate", plain, row(floats("a", sm(1, 1))), row(floats("a", sm(1, 2)), floats("b", sm(1, 1)))))
	add(both("out of order", plain, row(floats("a", sm(10, 1))), row(floats("b", sm(1, 1)), floats("a", sm(5, 2)), floats("c", sm(20, 1)))))
	add(both("many out of order", plain, row(floats("a", sm(10, 1)), floats("b", sm(10, 1))), row(floats("a", sm(5, 2), sm(6, 2), sm(11, 3)), floats("b", sm(5, 2)), floats("c", sm(20, 1)))))
	add(both("out of order in the request", plain, row(floats("a", sm(10, 1), sm(5, 2), sm(11, 3)))))
	add(both("out of order over entries of the request", plain, row(floats("a", sm(10, 1)), floats("a", sm(5, 2)), floats("a", sm(11, 3)))))
	add(both("duplicate in the request", plain, row(floats("a", sm(10, 1), sm(10, 2), sm(11, 3)))))
	add(both("same in the request", plain, row(floats("a", sm(10, 1), sm(10, 1)))))
	add(both("out of order against both", plain, row(floats("a", sm(10, 1))), row(floats("a", sm(20, 1), sm(5, 2), sm(15, 3), sm(21, 3)))))
	add(both("out of bounds", plain, row(floats("a", sm(0, 1))), row(floats("a", sm(1, 1)), floats("b", sm(-3*3600_000, 1)), floats("c", sm(2, 1)))))
	add(both("just in bounds", plain, row(floats("a", sm(0, 1))), row(floats("b", sm(-3599_000, 1)))))
	add(both("from the future", plain, row(floats("a", sm(now+60_000, 1))), row(floats("b", sm(now+540_000, 1)), floats("c", sm(now+3600_000, 1)), floats("d", sm(now+540_000, 1)))))
	add(both("late in the window", window, row(floats("a", sm(0, 1))), row(floats("a", sm(-60_000, 2), sm(-30_000, 3)), floats("b", sm(-1000, 1)))))
	add(both("too old for the window", window, row(floats("a", sm(0, 1))), row(floats("a", sm(-2*3600_000, 2)), floats("b", sm(1, 1)))))
	add(both("too old for the window, new series", window, row(floats("a", sm(0, 1))), row(floats("b", sm(-4*3600_000, 1)), floats("c", sm(1, 1)))))
	add(both("late and again", window, row(floats("a", sm(0, 1))), row(floats("a", sm(-60_000, 2))), row(floats("a", sm(-60_000, 3))), row(floats("a", sm(-60_000, 2)))))
	add(both("late in the request, with a window", window, row(floats("a", sm(10, 1), sm(5, 2), sm(11, 3)))))

	bad("no name", "a", "b")
	bad("none")
	bad("empty metric name", "__name__", "")
	bad("empty label name", "__name__", "x", "", "b")
	bad("empty value", "__name__", "x", "a", "")
	bad("duplicates", "__name__", "x", "a", "1", "a", "2")
	bad("same twice", "__name__", "x", "a", "1", "a", "1")
	bad("duplicates, one empty", "__name__", "x", "a", "", "a", "1")
	bad("two names", "__name__", "x", "__name__", "y")
	bad("invalid UTF-8 in a value", "__name__", "x", "a", "\xff")
	bad("invalid UTF-8 in a label name", "__name__", "x", "\xff", "a")
	bad("invalid UTF-8 in a metric name", "__name__", "\xff")
	bad("UTF-8 names", "__name__", "größe in m", "ключ", "значение")
	bad("not sorted", "z", "1", "__name__", "x", "a", "2", "B", "3")
	bad("odd characters", "__name__", "1.2", "a-b", "\x00", "c", "\n\"\\")
	bad("long value", "__name__", "x", "a", repeated(70_000))
	bad("long name", "__name__", "x", repeated(300), "a")
	bad("many labels", slices.Concat(named("x"), manyLabels(200))...)

	hist := func(name string, h ...writev2.Histogram) {
		add(both("histogram: "+name, plain, row(floats("good", sm(1, 1)), natives("h", h...), floats("last", sm(1, 3)))))
	}
	hist("whole", whole(1), whole(2))
	hist("floating", floating(1), floating(2))
	hist("custom", custom(1), custom(2))
	hist("whole, then floating", whole(1), floating(2))
	hist("duplicate", whole(1), with(whole(1), func(h *writev2.Histogram) { h.Sum = 1 }))
	hist("empty", writev2.Histogram{Timestamp: base})
	hist("no count", writev2.Histogram{Timestamp: base, Schema: 3, Sum: 1})
	hist("stale", whole(1), writev2.Histogram{Timestamp: base + 5, Sum: staleNaN, Count: &writev2.Histogram_CountInt{}})
	hist("count too small", with(whole(1), func(h *writev2.Histogram) { h.Count = &writev2.Histogram_CountInt{CountInt: 3} }))
	hist("negative bucket", with(whole(1), func(h *writev2.Histogram) { h.PositiveDeltas = []int64{1, -5, 6} }))
	hist("negative float bucket", with(floating(1), func(h *writev2.Histogram) { h.PositiveCounts = []float64{-1, 5} }))
	hist("negative float count", with(floating(1), func(h *writev2.Histogram) { h.Count = &writev2.Histogram_CountFloat{CountFloat: -1} }))
	hist("too few buckets", with(whole(1), func(h *writev2.Histogram) { h.PositiveDeltas = []int64{1} }))
	hist("too many buckets", with(whole(1), func(h *writev2.Histogram) { h.PositiveDeltas = []int64{1, 1, 1, 1} }))
	hist("negative offset", with(whole(1), func(h *writev2.Histogram) {
		h.PositiveSpans = []writev2.BucketSpan{{Length: 2}, {Offset: -1, Length: 1}}
	}))
	hist("schema too large", with(whole(1), func(h *writev2.Histogram) { h.Schema = 9 }))
	hist("schema too large, float", with(floating(1), func(h *writev2.Histogram) { h.Schema = 10 }))
	hist("schema far too large", with(whole(1), func(h *writev2.Histogram) { h.Schema = 60 }))
	hist("schema too small", with(whole(1), func(h *writev2.Histogram) { h.Schema = -5 }))
	hist("schema far too small", with(whole(1), func(h *writev2.Histogram) { h.Schema = -20 }))
	hist("schema -4", with(whole(1), func(h *writev2.Histogram) { h.Schema = -4 }))
	hist("schema 8", with(whole(1), func(h *writev2.Histogram) { h.Schema = 8 }))
	hist("exponential with bounds", with(whole(1), func(h *writev2.Histogram) { h.CustomValues = []float64{1} }))
	hist("too few bounds", with(custom(1), func(h *writev2.Histogram) { h.CustomValues = []float64{1} }))
	hist("bounds not sorted", with(custom(1), func(h *writev2.Histogram) { h.CustomValues = []float64{3, 2} }))
	hist("bound is infinite", with(custom(1), func(h *writev2.Histogram) { h.CustomValues = []float64{3, math.Inf(1)} }))
	hist("bound is NaN", with(custom(1), func(h *writev2.Histogram) { h.CustomValues = []float64{3, math.NaN()} }))
	hist("custom with zeros", with(custom(1), func(h *writev2.Histogram) { h.ZeroCount = &writev2.Histogram_ZeroCountInt{ZeroCountInt: 1} }))
	hist("custom with threshold", with(custom(1), func(h *writev2.Histogram) { h.ZeroThreshold = 1 }))
	hist("custom with negative spans", with(custom(1), func(h *writev2.Histogram) { h.NegativeSpans = []writev2.BucketSpan{{Length: 1}} }))
	hist("NaN sum", with(whole(1), func(h *writev2.Histogram) { h.Sum = math.NaN() }))
	hist("reset hints", with(whole(1), func(h *writev2.Histogram) { h.ResetHint = 1 }), with(whole(2), func(h *writev2.Histogram) { h.ResetHint = 2 }), with(whole(3), func(h *writev2.Histogram) { h.ResetHint = 3 }))
	hist("mixed counts", with(whole(1), func(h *writev2.Histogram) { h.ZeroCount = &writev2.Histogram_ZeroCountFloat{ZeroCountFloat: 2} }))
	hist("from the future", with(whole(1), func(h *writev2.Histogram) { h.Timestamp = time.Now().Add(time.Hour).UnixMilli() }))
	add(both("histogram out of order", plain, row(natives("h", whole(10))), row(natives("h", whole(5)), natives("i", whole(5)))))
	add(both("histogram late", window, row(natives("h", whole(0))), row(natives("h", whole(-60_000)), natives("h", floating(-50_000)))))
	add(both("histogram after floats", plain, row(floats("x", sm(1, 1))), row(natives("x", whole(2))), row(floats("x", sm(3, staleNaN))), row(floats("x", sm(4, 4)))))
	add(both("floats and histograms", plain, row(one{labels: named("x"), samples: []writev2.Sample{sm(1, 1)}, histograms: []writev2.Histogram{whole(2)}})))

	trace := func(t int64, v float64) exemplar { return exemplar{[]string{"trace_id", fmt.Sprint(v)}, v, base + t} }
	with1 := func(es ...exemplar) one {
		return one{labels: named("e"), samples: []writev2.Sample{sm(1, 1)}, exemplars: es}
	}
	add(both("exemplar", plain, row(with1(trace(1, 1)))))
	add(both("exemplars", plain, row(with1(trace(1, 1), trace(2, 2)))))
	add(both("exemplar again", plain, row(with1(trace(1, 1))), row(with1(trace(1, 1)))))
	add(both("exemplar out of order", plain, row(with1(trace(10, 1))), row(with1(trace(5, 2)))))
	add(both("exemplar without time", plain, row(with1(exemplar{[]string{"a", "b"}, 1, 0}))))
	add(both("exemplar without labels", plain, row(with1(exemplar{nil, 1, base}))))
	add(both("exemplar with long labels", plain, row(with1(exemplar{[]string{"a", repeated(200)}, 1, base}))))
	add(both("exemplar with invalid labels", plain, row(with1(exemplar{[]string{"", "x"}, 1, base}))))
	add(both("exemplar from the future", plain, row(with1(exemplar{[]string{"a", "b"}, 1, time.Now().Add(time.Hour).UnixMilli()}))))
	add(both("exemplar of a rejected sample", plain, row(floats("e", sm(10, 1))), row(with1(trace(1, 1)))))
	add(both("exemplar of a histogram", plain, row(natives("e", whole(0))), row(one{labels: named("e"), histograms: []writev2.Histogram{whole(1)}, exemplars: []exemplar{trace(1, 1)}})))
	add(both("exemplar alone", plain, row(one{labels: named("e"), exemplars: []exemplar{trace(1, 1)}}), row(floats("e", sm(1, 1))), row(one{labels: named("e"), exemplars: []exemplar{trace(1, 1)}})))

	zeros := settings{zeros: true}
	st := func(name string, s settings, rows ...[]one) { add(both("start: "+name, s, rows...)) }
	start := func(samples ...writev2.Sample) []one { return row(floats("c", samples...)) }
	st("ignored", plain, start(stSm(-10, 1, 1)))
	st("zero", zeros, start(stSm(-10, 1, 1)))
	st("zero once", zeros, start(stSm(-10, 1, 1)), start(stSm(-10, 2, 2)), start(stSm(5, 6, 1)))
	st("zero in one request", zeros, start(stSm(-10, 1, 1), stSm(-10, 2, 2), stSm(5, 6, 1)))
	st("newer than the sample", zeros, start(stSm(10, 1, 1)))
	st("same as the sample", zeros, start(stSm(1, 1, 1)))
	st("none", zeros, start(sm(1, 1)))
	st("older than all", zeros, start(sm(1, 1)), start(stSm(-10*3600_000, 2, 2)))
	st("same as the sample before", zeros, start(sm(1, 1)), start(stSm(1, 2, 2)))
	stHist := func(h writev2.Histogram, st int64) writev2.Histogram { h.StartTimestamp = base + st; return h }
	st("histogram", zeros, row(natives("h", stHist(whole(1), -10))), row(natives("h", stHist(whole(2), -10))))
	st("floating histogram", zeros, row(natives("h", stHist(floating(1), -10))), row(natives("h", stHist(floating(2), -10))))
	st("custom histogram", zeros, row(natives("h", stHist(custom(1), -10))))

	unit := settings{unit: true}
	about := func(typ writev2.Metadata_MetricType, unit string, more ...string) one {
		return one{labels: named("m", more...), samples: []writev2.Sample{sm(1, 1)}, meta: typ, help: "help", unit: unit}
	}
	for typ := range writev2.Metadata_MetricType(9) {
		add(both(fmt.Sprintf("type %d", typ), unit, row(about(typ, ""))))
	}
	add(both("unit", unit, row(about(0, "seconds"))))
	add(both("type and unit", unit, row(about(1, "seconds")), row(one{labels: named("m"), samples: []writev2.Sample{sm(2, 1)}, meta: 2, unit: "seconds"})))
	add(both("type and unit over labels", unit, row(about(1, "seconds", "__type__", "x", "__unit__", "y", "zz", "z"))))
	add(both("type and unit without the feature", plain, row(about(1, "seconds"))))
	add(both("labels of type without metadata", unit, row(about(0, "", "__type__", "x"))))

	all = append(all, transport()...)
	all = append(all, symbolCases()...)
	return all
}

func manyLabels(n int) (pairs []string) {
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("label%03d", i), "v")
	}
	return pairs
}

// transport are requests that differ in how they are sent.
func transport() (all []scenario) {
	add := func(name string, s settings, rs ...request) { all = append(all, scenario{name, s, rs}) }
	good, good2 := v1(floats("a", sm(1, 1))), v2(floats("a", sm(1, 1)))
	for _, typ := range []string{
		"", "application/x-protobuf", " application/x-protobuf ", "application/x-protobuf;proto=prometheus.WriteRequest", "application/x-protobuf; proto=prometheus.WriteRequest",
		"application/x-protobuf;proto=io.prometheus.write.v2.Request", "application/x-protobuf;charset=utf-8;proto=io.prometheus.write.v2.Request",
		"application/x-protobuf;proto=other", "application/x-protobuf;proto=", "application/x-protobuf;proto", "application/x-protobuf;", "application/x-protobuf;a=b=c", "application/x-protobuf;charset=utf-8",
		"application/json", "text/plain", "application/x-protobuf2", "Application/X-Protobuf", "application/x-protobuf;proto=prometheus.WriteRequest;proto=x", "application/x-protobuf;PROTO=io.prometheus.write.v2.Request",
	} {
		r := good
		if strings.Contains(typ, "v2") && strings.Contains(typ, ";proto") {
			r = good2
		}
		r.contentType = typ
		add("content type "+strconv.Quote(typ), settings{}, r)
	}
	for _, enc := range []string{"", "snappy", "gzip", "zstd", "identity", "Snappy", "snappy, gzip"} {
		r := good
		r.encoding = enc
		add("encoding "+strconv.Quote(enc), settings{}, r)
	}
	add("only 1.0", settings{messages: []string{"prometheus.WriteRequest"}}, good, good2)
	add("only 2.0", settings{messages: []string{"io.prometheus.write.v2.Request"}}, good, good2)
	swapped, swapped2 := good, good2
	swapped.contentType, swapped2.contentType = v2Type, v1Type
	add("1.0 as 2.0", settings{}, swapped)
	add("2.0 as 1.0", settings{}, swapped2)
	body := func(name string, b []byte) {
		for _, typ := range []string{v1Type, v2Type} {
			add("body: "+name+" "+typ, settings{}, request{"POST", typ, "snappy", b})
		}
	}
	body("empty", nil)
	body("empty message", snappy.Encode(nil, nil))
	body("no snappy", []byte("hello, this is no snappy at all"))
	body("cut off", good.body[:len(good.body)-3])
	body("bomb", []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	body("too large when decompressed", snappy.Encode(nil, make([]byte, 32<<20+1)))
	body("too large", make([]byte, 32<<20+1))
	body("zeros", snappy.Encode(nil, make([]byte, 1000)))
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD"} {
		add("method "+method, settings{}, request{method, v1Type, "snappy", good.body})
	}
	for _, m := range malformed() {
		body("malformed "+m.name, snappy.Encode(nil, m.bytes))
	}
	return all
}

type named2 struct {
	name  string
	bytes []byte
}

// field makes a field of bytes.
func field(n byte, b ...byte) []byte { return append([]byte{n<<3 | 2, byte(len(b))}, b...) }

// malformed are messages that are none, or that are written in a way that nobody writes.
func malformed() (all []named2) {
	add := func(name string, parts ...[]byte) { all = append(all, named2{name, bytes.Join(parts, nil)}) }
	label := func(name, value string) []byte {
		return field(1, append(field(1, []byte(name)...), field(2, []byte(value)...)...)...)
	}
	point := []byte{0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0x01}
	sample := field(2, point...)
	name := label("__name__", "x")
	add("wrong wire type of series", []byte{1<<3 | 0, 1})
	add("wrong wire type of labels", field(1, 1<<3|0, 1))
	add("wrong wire type of a label's name", field(1, append(field(1, 1<<3|0, 1), sample...)...))
	add("wrong wire type of samples", field(1, append(name, 2<<3|0, 1)...))
	add("wrong wire type of a value", field(1, append(name, field(2, 1<<3|0, 1)...)...))
	add("wrong wire type of a time", field(1, append(name, field(2, 2<<3|2, 0)...)...))
	add("field zero", []byte{0x02, 0})
	add("cut off varint", []byte{0x80})
	add("long varint", bytes.Repeat([]byte{0xff}, 11))
	add("length beyond the end", []byte{1<<3 | 2, 100, 1})
	add("end of a group", []byte{9<<3 | 4})
	add("open group", []byte{9<<3 | 3, 1})
	add("group", field(1, append(name, sample...)...), []byte{9<<3 | 3, 1<<3 | 0, 1, 9<<3 | 4})
	add("group that ends with another number", field(1, append(name, sample...)...), []byte{9<<3 | 3, 10<<3 | 3, 0, 1, 9<<3 | 4, 10<<3 | 4})
	add("group with all kinds", field(1, append(name, sample...)...), []byte{9<<3 | 3, 5, 1, 2, 3, 4, 1, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 0, 9<<3 | 4})
	add("group with wire type 7", field(1, append(name, sample...)...), []byte{9<<3 | 3, 7, 9<<3 | 4})
	add("group cut off", field(1, append(name, sample...)...), []byte{9<<3 | 3, 5, 1, 2, 3})
	add("field number of 60 bits", field(1, append(name, sample...)...), []byte{0xf8, 0xff, 0xff, 0xff, 0x9f, 0x80, 0x80, 0x40, 1})
	add("field number that becomes one", field(1, append(name, sample...)...), []byte{0x8a, 0x80, 0x80, 0x80, 0x80, 0x01, 0})
	add("field number that becomes negative", field(1, append(name, sample...)...), []byte{0x88, 0x80, 0x80, 0x80, 0x40, 0})
	add("number of more than 64 bits", field(1, slices.Concat(name, field(2, slices.Concat(point[:9], []byte{0x10, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7e})...))...))
	add("wire type 6", []byte{9<<3 | 6})
	add("unknown fields", field(1, slices.Concat(name, sample, field(9, 1, 2, 3), []byte{10<<3 | 5, 1, 2, 3, 4}, []byte{11<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8})...), field(15, 1))
	add("samples before labels", field(1, slices.Concat(sample, name)...))
	add("labels in two places", field(1, slices.Concat(name, sample, label("a", "b"))...))
	add("labels in two places, again", field(1, slices.Concat(name, sample, label("a", "b"))...), field(1, slices.Concat(name, label("a", "b"), field(2, 0x10, 0x05))...))
	add("a label's name twice", field(1, slices.Concat(field(1, slices.Concat(field(1, 'q'), field(1, []byte("__name__")...), field(2, 'x'))...), sample)...))
	add("a value before its name", field(1, slices.Concat(field(1, slices.Concat(field(2, 'x'), field(1, []byte("__name__")...))...), sample)...))
	add("an empty sample", field(1, slices.Concat(name, field(2))...))
	add("long form of a length", field(1, slices.Concat(name, []byte{2<<3 | 2, 0x8b, 0}, point)...))
	add("metadata with a wrong type", field(1, slices.Concat(name, sample)...), field(3, 1<<3|2, 0))
	add("malformed after good", field(1, slices.Concat(name, sample)...), []byte{0x80})
	for cut := range 24 {
		whole := field(1, slices.Concat(name, sample)...)
		if cut < len(whole) {
			add(fmt.Sprint("cut at ", cut), whole[:cut])
		}
	}
	return all
}

// symbolCases are requests of 2.0 whose references lead nowhere.
func symbolCases() (all []scenario) {
	add := func(name string, change func(*writev2.Request)) {
		req := v2message(floats("good", sm(1, 1)), one{labels: named("x", "a", "b"), samples: []writev2.Sample{sm(1, 2)}, exemplars: []exemplar{{[]string{"t", "1"}, 1, base}}}, floats("last", sm(1, 1)))
		change(req)
		all = append(all, scenario{"symbols: " + name, settings{}, []request{v2raw(req)}})
	}
	add("fine", func(*writev2.Request) {})
	add("odd", func(r *writev2.Request) { r.Timeseries[1].LabelsRefs = r.Timeseries[1].LabelsRefs[:3] })
	add("name outside", func(r *writev2.Request) { r.Timeseries[1].LabelsRefs[2] = 100 })
	add("value outside", func(r *writev2.Request) { r.Timeseries[1].LabelsRefs[3] = 1 << 31 })
	add("help outside", func(r *writev2.Request) { r.Timeseries[1].Metadata.HelpRef = 100 })
	add("unit outside", func(r *writev2.Request) { r.Timeseries[1].Metadata.UnitRef = 100 })
	add("exemplar outside", func(r *writev2.Request) { r.Timeseries[1].Exemplars[0].LabelsRefs[0] = 100 })
	add("exemplar odd", func(r *writev2.Request) { r.Timeseries[1].Exemplars[0].LabelsRefs = []uint32{1} })
	add("no symbols", func(r *writev2.Request) { r.Symbols = nil })
	add("no empty symbol", func(r *writev2.Request) { r.Symbols[0] = "x" })
	add("no refs", func(r *writev2.Request) { r.Timeseries[1].LabelsRefs = nil })
	add("unknown type", func(r *writev2.Request) { r.Timeseries[1].Metadata.Type = 77 })
	return all
}

// TestMutations sends requests that were damaged at random. SEED and REQUESTS choose which.
func TestMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(number("SEED", 1)), 0))
	var seeds [][]byte
	var types []string
	for _, sc := range scenarios() {
		if strings.Contains(sc.name, "bomb") || strings.Contains(sc.name, "future") || strings.Contains(sc.name, "window") || strings.Contains(sc.name, "late") {
			continue
		}
		for _, q := range sc.requests {
			if m, err := snappy.Decode(nil, q.body); err == nil && len(m) > 0 && len(m) < 2000 && q.encoding == "snappy" {
				seeds, types = append(seeds, m), append(types, q.contentType)
			}
		}
	}
	statuses := map[int]int{}
	for i := range number("REQUESTS", 1500) {
		n := r.IntN(len(seeds))
		m := mutate(r, seeds[n])
		a, b := newTheirs(t, settings{messages: []string{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"}}), newOurs(t, settings{})
		q := raw(types[n], m)
		first := v1(floats("first", sm(0, 1))) // An empty storage of theirs takes its bounds from the first sample of a request, ours from the latest.
		send(a, first)
		send(b, first)
		want, got := send(a, q), send(b, q)
		statuses[want.status]++
		if got.status != want.status || got.headers != want.headers {
			t.Errorf("%d: %x as %s: got %d %s %q, want %d %s %q", i, m, types[n], got.status, got.headers, got.body, want.status, want.headers, want.body)
			continue
		}
		kept, have := a.stored(t), b.stored(t)
		if types[n] != v2Type { // Theirs loses the exemplars of a new series that starts with a histogram.
			have = slices.DeleteFunc(have, func(line string) bool { return strings.HasPrefix(line, "exemplar of") && !slices.Contains(kept, line) })
		}
		if !slices.Equal(have, kept) {
			t.Errorf("%d: %x as %s: stored\n%s\nwant\n%s", i, m, types[n], strings.Join(have, "\n"), strings.Join(kept, "\n"))
		}
	}
	t.Logf("answers by status: %v", statuses)
}

func mutate(r *rand.Rand, m []byte) []byte {
	m = slices.Clone(m)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(m))
		switch r.IntN(4) {
		case 0:
			m[at] = byte(r.IntN(256))
		case 1:
			m[at] ^= 1 << r.IntN(8)
		case 2:
			m = slices.Delete(m, at, min(len(m), at+1+r.IntN(3)))
		case 3:
			m = slices.Insert(m, at, byte(r.IntN(256)))
		}
		if len(m) == 0 {
			return []byte{0x80}
		}
	}
	return m
}

// number reads a number from the environment.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}
