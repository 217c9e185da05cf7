package scrape

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/narthex-io/narthex/host/scrape/exposition"
)

// body is one case.
type body struct {
	name   string
	format exposition.Format
	bytes  []byte
}

// realBodies are those of the folder shared beside the repository.
func realBodies(tb testing.TB) (out []body) {
	tb.Helper()
	names, err := filepath.Glob("../../../shared/exposition/*")
	if err != nil || len(names) == 0 {
		tb.Logf("no folder shared/exposition beside the repository: real bodies are left out (%v)", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		format := exposition.Text
		switch {
		case strings.Contains(name, "protobuf") && !bytes.HasPrefix(b, []byte("vm_")) && !bytes.HasPrefix(b, []byte("#")): // One was asked for it and answered with text.
			format = exposition.Protobuf
		case strings.Contains(name, "openmetrics") && bytes.Contains(b, []byte("# EOF")):
			format = exposition.OpenMetrics
		}
		out = append(out, body{filepath.Base(name), format, b})
	}
	return out
}

// recordedBodies are those of the exposition package's own tests.
func recordedBodies(tb testing.TB) (out []body) {
	tb.Helper()
	file, err := os.Open("../../host/scrape/exposition/testdata/upstream.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var c struct{ Format, Body string }
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			tb.Fatal(err)
		}
		format := exposition.Text
		if c.Format == "om" {
			format = exposition.OpenMetrics
		}
		out = append(out, body{fmt.Sprintf("recorded %q", c.Body), format, []byte(c.Body)})
	}
	return out
}

// writtenBodies are corner cases by hand, in files of testdata whose cases are separated by lines of dashes.
func writtenBodies(tb testing.TB) (out []body) {
	tb.Helper()
	for name, format := range map[string]exposition.Format{"text.txt": exposition.Text, "openmetrics.txt": exposition.OpenMetrics} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			tb.Fatal(err)
		}
		for i, c := range bytes.Split(b, []byte("----\n")) {
			out = append(out, body{fmt.Sprintf("%s %d", name, i), format, c})
		}
	}
	return out
}

// delimited encodes families.
func delimited(families ...*dto.MetricFamily) []byte {
	var out []byte
	for _, f := range families {
		b, err := proto.Marshal(f)
		if err != nil {
			panic(err)
		}
		out = append(binary.AppendUvarint(out, uint64(len(b))), b...)
	}
	return out
}

// madeFamily makes a family of any type, good or not.
func madeFamily(r *rand.Rand, i int) *dto.MetricFamily {
	f := &dto.MetricFamily{
		Name: proto.String(pick(r, "requests", "a.b", "latency_seconds", "x_total", fmt.Sprint("m", i))), Help: proto.String(pick(r, "", "some text", "a\\nb")),
		Type: pick(r, dto.MetricType_COUNTER, dto.MetricType_GAUGE, dto.MetricType_SUMMARY, dto.MetricType_UNTYPED, dto.MetricType_HISTOGRAM,
			dto.MetricType_HISTOGRAM, dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM).Enum(),
	}
	if r.IntN(3) == 0 {
		f.Unit = proto.String("seconds")
	}
	for j := range r.IntN(4) {
		f.Metric = append(f.Metric, madeMetric(r, f.GetType(), j))
	}
	return f
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func madeMetric(r *rand.Rand, t dto.MetricType, j int) *dto.Metric {
	m := &dto.Metric{}
	for k := range r.IntN(3) {
		m.Label = append(m.Label, pair(pick(r, "le", "quantile", "code", "b c", "__type__", fmt.Sprint("l", k)), fmt.Sprint(j)))
	}
	if r.IntN(4) == 0 {
		m.TimestampMs = proto.Int64(r.Int64N(1000))
	}
	var created *timestamppb.Timestamp
	if r.IntN(2) == 0 {
		created = &timestamppb.Timestamp{Seconds: r.Int64N(1e9), Nanos: int32(r.IntN(1e9))}
	}
	value := proto.Float64(pick(r, 0, 1, 2.5, -1, 1e300))
	switch t {
	case dto.MetricType_COUNTER:
		m.Counter = &dto.Counter{Value: value, CreatedTimestamp: created, Exemplar: madeExemplar(r)}
	case dto.MetricType_GAUGE:
		m.Gauge = &dto.Gauge{Value: value}
	case dto.MetricType_UNTYPED:
		m.Untyped = &dto.Untyped{Value: value}
	case dto.MetricType_SUMMARY:
		m.Summary = &dto.Summary{SampleCount: proto.Uint64(r.Uint64N(10)), SampleSum: value, CreatedTimestamp: created}
		for range r.IntN(3) {
			m.Summary.Quantile = append(m.Summary.Quantile, &dto.Quantile{Quantile: proto.Float64(r.Float64()), Value: value})
		}
	default:
		m.Histogram = madeHistogram(r, created)
	}
	return m
}

func pair(name, value string) *dto.LabelPair {
	return &dto.LabelPair{Name: proto.String(name), Value: proto.String(value)}
}

func madeExemplar(r *rand.Rand) *dto.Exemplar {
	if r.IntN(2) == 0 {
		return nil
	}
	e := &dto.Exemplar{Value: proto.Float64(r.Float64()), Label: []*dto.LabelPair{pair("trace_id", fmt.Sprint(r.IntN(100)))}}
	if r.IntN(3) > 0 {
		e.Timestamp = &timestamppb.Timestamp{Seconds: r.Int64N(1000), Nanos: 5_000_000}
	}
	return e
}

func madeHistogram(r *rand.Rand, created *timestamppb.Timestamp) *dto.Histogram {
	h := &dto.Histogram{SampleSum: proto.Float64(r.Float64() * 100), CreatedTimestamp: created}
	count := uint64(0)
	for b := range r.IntN(5) {
		count += r.Uint64N(3)
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: proto.Float64(float64(b)), CumulativeCount: proto.Uint64(count), Exemplar: madeExemplar(r)})
	}
	count += r.Uint64N(3)
	if r.IntN(3) == 0 {
		inf := &dto.Bucket{UpperBound: proto.Float64(inf()), CumulativeCount: proto.Uint64(count)}
		h.Bucket = append(h.Bucket, inf)
	}
	h.SampleCount = proto.Uint64(count)
	if r.IntN(2) == 0 {
		return h
	}
	h.Schema, h.ZeroThreshold = proto.Int32(int32(r.IntN(10)-4)), proto.Float64(pick(r, 0, 0.001))
	float := r.IntN(3) == 0
	if float {
		h.SampleCountFloat, h.SampleCount = proto.Float64(float64(count)+0.5), nil
		h.ZeroCountFloat = proto.Float64(pick(r, 0, 1.5))
	} else {
		h.ZeroCount = proto.Uint64(r.Uint64N(3))
	}
	h.PositiveSpan, h.PositiveDelta, h.PositiveCount = madeSide(r, float)
	if r.IntN(2) == 0 {
		h.NegativeSpan, h.NegativeDelta, h.NegativeCount = madeSide(r, float)
	}
	for range r.IntN(3) {
		if e := madeExemplar(r); e != nil {
			h.Exemplars = append(h.Exemplars, e)
		}
	}
	return h
}

func madeSide(r *rand.Rand, float bool) (spans []*dto.BucketSpan, deltas []int64, counts []float64) {
	before := int64(0)
	for i := range r.IntN(4) {
		length := r.IntN(4)
		offset := int32(r.IntN(4))
		if i == 0 {
			offset -= 2
		}
		spans = append(spans, &dto.BucketSpan{Offset: proto.Int32(offset), Length: proto.Uint32(uint32(length))})
		for range length {
			n := r.Int64N(4)
			deltas, counts = append(deltas, n-before), append(counts, float64(n)/2)
			before = n
		}
	}
	if float {
		return spans, nil, counts
	}
	return spans, deltas, nil
}

// madeText writes families as lines, good or not.
func madeText(r *rand.Rand, format exposition.Format) []byte {
	var b bytes.Buffer
	for i := range 1 + r.IntN(4) {
		name := fmt.Sprintf(pick(r, "requests%d", "latency%d_seconds", "m%d"), i)
		kind := pick(r, "counter", "gauge", "summary", "histogram", "histogram", "histogram", "unknown")
		if format == exposition.Text && kind == "unknown" {
			kind = "untyped"
		}
		if r.IntN(8) > 0 {
			fmt.Fprintf(&b, "# TYPE %s %s\n", name, kind)
		}
		if r.IntN(3) == 0 {
			fmt.Fprintf(&b, "# HELP %s some text\n", name)
		}
		if format == exposition.OpenMetrics && strings.HasSuffix(name, "_seconds") && r.IntN(2) == 0 {
			fmt.Fprintf(&b, "# UNIT %s seconds\n", name)
		}
		for j := range 1 + r.IntN(3) {
			writeMetric(r, &b, format, name, kind, j)
		}
	}
	if format == exposition.OpenMetrics {
		b.WriteString("# EOF\n")
	}
	return b.Bytes()
}

func writeMetric(r *rand.Rand, b *bytes.Buffer, format exposition.Format, name, kind string, j int) {
	ts := ""
	if r.IntN(5) == 0 {
		ts = fmt.Sprint(" ", r.IntN(1000))
	}
	own := pick(r, fmt.Sprintf(`code="%d"`, j), fmt.Sprintf(`b="x",a="%d"`, j))
	if j == 0 {
		own = pick(r, "", own)
	}
	line := func(suffix, extra string, value any, exemplar string) {
		if r.IntN(20) == 0 {
			return // Something is often missing.
		}
		all := own
		if extra != "" {
			all = strings.TrimPrefix(own+","+extra, ",")
		}
		if all != "" {
			all = "{" + all + "}"
		}
		if format == exposition.Text {
			exemplar = ""
		}
		fmt.Fprintf(b, "%s%s%s %v%s%s\n", name, suffix, all, value, ts, exemplar)
	}
	example := func() string {
		return pick(r, "", ` # {trace_id="1"} 0.5`, ` # {trace_id="2"} 0.5 12.5`)
	}
	switch kind {
	case "histogram":
		n, buckets := 0, r.IntN(5)
		for k := range buckets {
			n += r.IntN(3)
			line("_bucket", fmt.Sprintf(`le="%d"`, k), pick[any](r, n, n, n, n, float64(n)+0.5), example())
		}
		n++
		line("_bucket", `le="+Inf"`, n, example())
		line("_count", "", n, "")
		line("_sum", "", r.Float64(), "")
	case "summary":
		line("", `quantile="0.5"`, 1, "")
		line("_count", "", 2, "")
		line("_sum", "", 3, "")
	case "counter":
		line("_total", "", r.IntN(9), example())
	default:
		line("", "", r.IntN(9), "")
	}
	if format == exposition.OpenMetrics && r.IntN(2) == 0 {
		line("_created", "", 1000+j, "")
	}
}

// mutated changes a few bytes.
func mutated(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(3) {
		if len(b) == 0 {
			return b
		}
		i := r.IntN(len(b))
		switch r.IntN(5) {
		case 0:
			b[i] = byte(r.IntN(256))
		case 1:
			b[i] = pick[byte](r, '{', '}', '"', ',', ' ', '\n', '#', '=', '\\', 0, 1, 0x7f, 0x80, 0xff)
		case 2:
			b = append(b[:i], b[min(len(b), i+1+r.IntN(8)):]...)
		case 3:
			j := min(len(b), i+1+r.IntN(40))
			b = append(b[:j:j], b[i:]...)
		default:
			b = b[:i]
		}
	}
	return b
}
