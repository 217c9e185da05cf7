package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql"
)

func encoded(t *testing.T, v promql.Value) string {
	t.Helper()
	var b bytes.Buffer
	e := new(encoders).to(&b)
	e.value(v)
	e.raw("}")
	if err := e.flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestResultsInUpstreamsShapes(t *testing.T) {
	check := func(v promql.Value, want string) {
		t.Helper()
		if got := encoded(t, v); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	check(promql.Scalar{T: 1500, V: 0.1}, `{"resultType":"scalar","result":[1.500,"0.1"]}`)
	check(promql.String{T: 1000, V: "a<b"}, `{"resultType":"string","result":[1,"a\u003cb"]}`)
	check(promql.Vector{}, `{"resultType":"vector","result":[]}`)
	check(promql.Matrix{}, `{"resultType":"matrix","result":[]}`)
	check(promql.Vector{{Labels: labels.FromStrings("__name__", "up", "a", `q"`), T: 1_435_781_451_081, F: math.NaN()}},
		`{"resultType":"vector","result":[{"metric":{"__name__":"up","a":"q\""},"value":[1435781451.081,"NaN"]}]}`)
	h := &histogram.FloatHistogram{
		Count: 3, Sum: 4.5, ZeroThreshold: 0.001, ZeroCount: 1,
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []float64{2, 0},
	}
	points := promql.Points{T: []int64{-1500, 2000, 3000}, F: []float64{math.Inf(-1), 1e-7, 0}, H: []*histogram.FloatHistogram{nil, nil, h}}
	check(promql.Matrix{{Points: points}},
		`{"resultType":"matrix","result":[{"metric":{},"values":[[-1.500,"-Inf"],[2,"1e-07"]],`+
			`"histograms":[[3,{"count":"3","sum":"4.5","buckets":[[3,"-0.001","0.001","1"],[0,"0.5","1","2"]]}]]}]}`)
}

// TestWholeNumbersAreWrittenLikeOthers compares the fast path with the library's text, which Prometheus uses.
func TestWholeNumbersAreWrittenLikeOthers(t *testing.T) {
	for _, v := range []float64{
		0, math.Copysign(0, -1), 1, -1, 10, 1e15, -1e15, 1<<53 - 1, 1 << 53, 1<<53 + 2, -(1<<53 - 1), -(1 << 53), 1 << 62, 1 << 63, -(1 << 63), 1 << 64, 1e20,
		1e21, -1e21, 0.5, 123456.75, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, math.SmallestNonzeroFloat64,
	} {
		format := byte('f')
		if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
			format = 'e'
		}
		want := strconv.FormatFloat(v, format, -1, 64)
		var e encoder
		e.float(v)
		if got := string(e.buf); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestStampsAreThoseOfTheSeries has series whose points are at other times than those of the series before.
func TestStampsAreThoseOfTheSeries(t *testing.T) {
	e := &encoder{}
	for _, times := range [][]int64{{0, 1000, 2500}, {0, 1000, 2500}, {1000, 2500}, {-1500, 1000}, {math.MinInt64 + 1, math.MaxInt64, 5, 6}} {
		want := &encoder{}
		var points sample.Points
		for i, at := range times {
			points.Append(sample.Sample{T: at, F: 1.5})
			if i > 0 {
				want.raw(",")
			}
			want.point(at, 1.5)
		}
		e.buf = e.buf[:0]
		if e.points("[", &points, false); string(e.buf) != "["+string(want.buf)+"]" {
			t.Errorf("got %s, want [%s]", e.buf, want.buf)
		}
	}
}

func TestListsAreJSON(t *testing.T) {
	for _, list := range [][]string{{}, {"a"}, {"a", "ü<\"\\", "\xff", ""}} {
		e := &encoder{}
		e.strings(list)
		if want, err := json.Marshal(list); err != nil || string(e.buf) != string(want) {
			t.Errorf("got %s, want %s, %v", e.buf, want, err)
		}
	}
}

// TestAnswersOfManySizes go out whole, whatever buffer an answer before has left.
func TestAnswersOfManySizes(t *testing.T) {
	var lent encoders
	for _, n := range []int{1, 5000, 2, 40_000, 1} {
		v := make(promql.Vector, n)
		for i := range v {
			v[i].F = float64(i)
		}
		var out bytes.Buffer
		e := lent.to(&out)
		e.value(v)
		e.raw("}")
		if err := e.flush(); err != nil {
			t.Fatal(err)
		}
		lent.giveBack(e)
		var got struct{ Result []struct{ Value [2]any } }
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Result) != n || got.Result[n-1].Value[1] != strconv.Itoa(n-1) {
			t.Errorf("%d of %d results, ending with %v", len(got.Result), n, got.Result[len(got.Result)-1])
		}
	}
}

func BenchmarkList(b *testing.B) {
	list := make([]string, 1000)
	for i := range list {
		list[i] = fmt.Sprintf("api-%08x-r2f6f", i*7919)
	}
	b.ReportAllocs()
	var lent encoders
	for b.Loop() {
		e := lent.to(io.Discard)
		e.strings(list)
		if err := e.flush(); err != nil {
			b.Fatal(err)
		}
		lent.giveBack(e)
	}
}

func BenchmarkMatrix(b *testing.B) {
	series := promql.Series{Labels: labels.FromStrings("__name__", "node_cpu_seconds_total", "cpu", "3", "mode", "idle")}
	for i := range 1000 {
		series.Points.Append(sample.Sample{T: int64(i) * 15_000, F: float64(i) * 1.37})
	}
	m := make(promql.Matrix, 100)
	for i := range m {
		m[i] = series
	}
	b.ReportAllocs()
	var out bytes.Buffer
	var lent encoders
	for b.Loop() {
		out.Reset()
		e := lent.to(&out)
		e.value(m)
		if err := e.flush(); err != nil {
			b.Fatal(err)
		}
		lent.giveBack(e)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/point")
}
