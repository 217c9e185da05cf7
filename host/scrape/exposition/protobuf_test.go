package exposition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// delimited encodes families.
func delimited(tb testing.TB, families ...*dto.MetricFamily) []byte {
	tb.Helper()
	var out []byte
	for _, f := range families {
		b, err := proto.Marshal(f)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(binary.AppendUvarint(out, uint64(len(b))), b...)
	}
	return out
}

// TestProtobufAgainstExpfmt compares real protobuf bodies, sample by sample, with what the reference library finds.
func TestProtobufAgainstExpfmt(t *testing.T) {
	for name, body := range bodies(t, "*.protobuf.bin") {
		if bytes.HasPrefix(body, []byte("#")) || !bytes.Contains(body, []byte{0}) {
			continue // Not all were answered in protobuf.
		}
		var want []string
		decoder := expfmt.NewDecoder(bytes.NewReader(body), expfmt.NewFormat(expfmt.TypeProtoDelim))
		for {
			var f dto.MetricFamily
			err := decoder.Decode(&f)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, familySamples(f.GetName(), &f)...)
		}
		got := ourSamples(t, body, Protobuf)
		// The reference leaves out the last bucket where the target does; here there is always one.
		got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, "[le +Inf]") && !slices.Contains(want, s) })
		slices.Sort(got)
		slices.Sort(want)
		if len(got) < 500 || !slices.Equal(got, want) {
			t.Errorf("%s: %d samples, expfmt finds %d; first difference: %s", name, len(got), len(want), difference(got, want))
		}
		t.Logf("%s: %d samples", name, len(got))
	}
}

// everything is a body with all kinds of metrics.
func everything(tb testing.TB) []byte {
	tb.Helper()
	start := timestamppb.New(time.UnixMilli(5))
	example := &dto.Exemplar{Label: []*dto.LabelPair{{Name: new("id"), Value: new("x")}}, Value: proto.Float64(2), Timestamp: start}
	return delimited(tb,
		&dto.MetricFamily{Name: new("c_total"), Help: new("text"), Unit: new("u"), Type: dto.MetricType_COUNTER.Enum(), Metric: []*dto.Metric{
			{Counter: &dto.Counter{Value: proto.Float64(1), Exemplar: example, CreatedTimestamp: start}, TimestampMs: proto.Int64(7)},
		}},
		&dto.MetricFamily{Name: new("s"), Type: dto.MetricType_SUMMARY.Enum(), Metric: []*dto.Metric{
			{Summary: &dto.Summary{SampleCount: proto.Uint64(1), SampleSum: proto.Float64(2), Quantile: []*dto.Quantile{{Quantile: new(0.5), Value: proto.Float64(3)}}}},
		}},
		&dto.MetricFamily{Name: new("h"), Type: dto.MetricType_HISTOGRAM.Enum(), Metric: []*dto.Metric{
			{Label: example.Label, Histogram: &dto.Histogram{
				SampleCount: proto.Uint64(3), SampleSum: proto.Float64(2), Schema: proto.Int32(2), ZeroThreshold: new(0.5), ZeroCount: proto.Uint64(1),
				PositiveSpan: []*dto.BucketSpan{{Offset: proto.Int32(-3), Length: proto.Uint32(1)}}, PositiveDelta: []int64{2},
				Bucket: []*dto.Bucket{{UpperBound: proto.Float64(1), CumulativeCount: proto.Uint64(3), Exemplar: example}}, Exemplars: []*dto.Exemplar{example},
			}},
		}},
		&dto.MetricFamily{Name: new("none"), Type: dto.MetricType_GAUGE.Enum()})
}

func TestProtobuf(t *testing.T) {
	read := func(opts Options, want ...string) {
		t.Helper()
		var s Scanner
		s.Reset(everything(t), opts)
		var got []string
		for {
			kind, err := s.Next(ID{})
			if err != nil {
				t.Fatal(err)
			}
			if kind == End {
				break
			}
			if kind != Series && kind != Histogram {
				continue
			}
			f, err := readSeries(&s)
			if err != nil {
				t.Fatal(err)
			}
			line := fmt.Sprint(f.Labels, " ", f.Value)
			if kind == Histogram {
				h, _ := s.Native()
				line = fmt.Sprint(f.Labels, " native ", h.Count, h.PositiveSpans, h.PositiveBuckets)
			}
			if f.Exemplar != nil {
				line += fmt.Sprint(" # ", f.Exemplar.L, " ", f.Exemplar.V)
			}
			if opts.StartTimes && s.StartTime() != 0 {
				line += fmt.Sprint(" since ", s.StartTime())
			}
			got = append(got, line)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: got\n%s\nwant\n%s", opts, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	counter, summary := "[[__name__ c_total]] 1 # [[id x]] 2", []string{"[[__name__ s_count]] 1", "[[__name__ s_sum]] 2", "[[__name__ s] [quantile 0.5]] 3"}
	classic := []string{"[[__name__ h_count] [id x]] 3", "[[__name__ h_sum] [id x]] 2", "[[__name__ h_bucket] [id x] [le 1.0]] 3 # [[id x]] 2", "[[__name__ h_bucket] [id x] [le +Inf]] 3"}
	const native, custom = "[[__name__ h] [id x]] native 3 [{-3 1}] [2] # [[id x]] 2", "[[__name__ h] [id x]] native 3 [{0 1}] [3] # [[id x]] 2"
	lines := func(parts ...[]string) []string { return slices.Concat(parts...) }
	read(Options{Format: Protobuf}, lines([]string{counter}, summary, classic)...)
	read(Options{Format: Protobuf, NativeHistograms: true}, lines([]string{counter}, summary, []string{native})...)
	read(Options{Format: Protobuf, NativeHistograms: true, KeepClassic: true}, lines([]string{counter}, summary, []string{native}, classic)...)
	read(Options{Format: Protobuf, ConvertClassic: true}, lines([]string{counter}, summary, []string{custom})...)
	read(Options{Format: Protobuf, NativeHistograms: true, StartTimes: true}, lines([]string{counter + " since 5"}, summary, []string{native})...)
}

// BenchmarkProtobuf reads a body whose series are known, as a scrape of an unchanged target does.
func BenchmarkProtobuf(b *testing.B) {
	var families []*dto.MetricFamily
	for i := range 100 {
		f := &dto.MetricFamily{Name: new(fmt.Sprintf("http_requests_%d_total", i)), Type: dto.MetricType_COUNTER.Enum()}
		for j := range 100 {
			f.Metric = append(f.Metric, &dto.Metric{
				Label: []*dto.LabelPair{
					{Name: new("code"), Value: new("200")},
					{Name: new("handler"), Value: new("/api/v1/query")},
					{Name: new("method"), Value: new("GET")},
					{Name: new("pod"), Value: new(fmt.Sprintf("app-%08d", j))},
				},
				Counter: &dto.Counter{Value: new(float64(i * j))},
			})
		}
		families = append(families, f)
	}
	body := delimited(b, families...)
	var s Scanner
	var order []ID
	opts := Options{Format: Protobuf, Seed: maphash.MakeSeed()}
	s.Reset(body, opts)
	for kind, err := s.Next(ID{}); kind != End; kind, err = s.Next(ID{}) {
		if err != nil {
			b.Fatal(err)
		}
		if kind == Series {
			order = append(order, s.ID())
		}
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		s.Reset(body, opts)
		n := 0
		for {
			expect := ID{}
			if n < len(order) {
				expect = order[n]
			}
			kind, err := s.Next(expect)
			if err != nil {
				b.Fatal(err)
			}
			if kind == End {
				break
			}
			if kind == Series && s.Expected() {
				n++
			}
		}
		if n != len(order) {
			b.Fatalf("%d of %d series", n, len(order))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(order)), "ns/sample")
}

// FuzzProtobuf reads anything, twice, in a way that the first byte chooses.
func FuzzProtobuf(f *testing.F) {
	for choice := range byte(32) {
		f.Add(append([]byte{choice}, everything(f)...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		opts := Options{
			Format: Protobuf, NativeHistograms: data[0]&1 != 0, ConvertClassic: data[0]&2 != 0, KeepClassic: data[0]&4 != 0,
			StartTimes: data[0]&8 != 0, TypeAndUnit: data[0]&16 != 0,
		}
		body := data[1:]
		before := bytes.Clone(body)
		var s Scanner
		first, firstErr := readWith(t, &s, body, opts)
		second, secondErr := readWith(t, &s, body, opts)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was changed")
		}
		if (firstErr == nil) != (secondErr == nil) || !reflect.DeepEqual(first, second) {
			t.Fatalf("first %v, %v, then %v, %v", first, firstErr, second, secondErr)
		}
	})
}

// readWith reads all samples of a body, and checks that their raw bytes give the same labels again.
func readWith(t *testing.T, s *Scanner, body []byte, opts Options) (out []found, err error) {
	t.Helper()
	s.Reset(body, opts)
	for {
		kind, err := s.Next(ID{})
		if err != nil || kind == End {
			return out, err
		}
		if kind != Series && kind != Histogram {
			continue
		}
		f, err := readSeries(s)
		if err != nil {
			return out, err
		}
		ls, problem := parseSeries(string(s.Series()), opts.Format, s.rounding, nil)
		if problem != "" || !slices.Equal(sortedPairs(ls), f.Labels) {
			t.Fatalf("raw %q: got %v, want %v", s.Series(), ls, f.Labels)
		}
		out = append(out, f)
	}
}
