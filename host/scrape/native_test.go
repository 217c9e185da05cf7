package scrape

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

const protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

// families lets a host serve families as delimited protobuf.
func (w *world) families(host string, all ...*dto.MetricFamily) {
	var body []byte
	for _, f := range all {
		b, err := proto.Marshal(f)
		if err != nil {
			w.Fatal(err)
		}
		body = append(binary.AppendUvarint(body, uint64(len(b))), b...)
	}
	w.serve(host, func(*http.Request) (*http.Response, error) { return answer(protobuf, string(body)), nil })
}

// latency is a histogram with classic buckets and native ones: 3 observations in bucket 0, 1 in bucket 1 of schema 1.
func latency() *dto.MetricFamily {
	return &dto.MetricFamily{
		Name: new("latency"), Type: dto.MetricType_HISTOGRAM.Enum(),
		Metric: []*dto.Metric{{Histogram: &dto.Histogram{
			SampleCount: proto.Uint64(4), SampleSum: proto.Float64(5), Schema: proto.Int32(1),
			PositiveSpan: []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(2)}}, PositiveDelta: []int64{3, -2},
			Bucket: []*dto.Bucket{
				{UpperBound: proto.Float64(1), CumulativeCount: proto.Uint64(3)},
				{UpperBound: new(math.Inf(1)), CumulativeCount: proto.Uint64(4)},
			},
			CreatedTimestamp: timestamppb.New(time.UnixMilli(5)),
		}}},
	}
}

// gauge is a family of one gauge without value, with the given names and values of labels.
func gauge(name string, pairs ...string) *dto.MetricFamily {
	m := &dto.Metric{Gauge: &dto.Gauge{}}
	for i := 0; i < len(pairs); i += 2 {
		m.Label = append(m.Label, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
	}
	return &dto.MetricFamily{Name: &name, Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{m}}
}

// TestBadProtobuf checks what is said about a body that cannot be stored, and that samples count up to what is wrong.
func TestBadProtobuf(t *testing.T) {
	says := func(want string, scraped, kept int, all ...*dto.MetricFamily) {
		t.Helper()
		inWorld(t, oneTarget+"  scrape_native_histograms: true\n", func(w *world) {
			w.families("h:1", all...)
			w.firstScrapes(1)
			if got := w.onlyTarget().LastError; !strings.HasPrefix(got, want) {
				w.Errorf("error %q, want %q", got, want)
			}
			w.expect("scrape_samples_scraped", fmt.Sprintf(`scrape_samples_scraped{instance="h:1", job="j"} 0=%d`, scraped))
			w.expect("scrape_samples_post", fmt.Sprintf(`scrape_samples_post_metric_relabeling{instance="h:1", job="j"} 0=%d`, kept))
		})
	}
	says(`{__name__="b", x="1", x="2"}: label name "x" is not unique`, 2, 1, gauge("a"), gauge("b", "x", "1", "x", "2"), gauge("c"))
	wrong := latency()
	wrong.Metric[0].Histogram.SampleCount = proto.Uint64(3)
	says("append to the storage: invalid native histogram: 4 observations found in buckets, but the Count field is 3", 2, 1, gauge("a"), wrong, gauge("c"))
}

// histograms returns the stored histograms of a metric, stale markers left out.
func (w *world) histograms(metric string) (out []*histogram.FloatHistogram) {
	w.Helper()
	q, err := w.store.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		w.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // Nothing to release in memory.
	set := q.Select(w.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, metric))
	for set.Next() {
		var c storage.Columns
		for r := set.At().Samples(nil); r.Read(&c); {
			continue
		}
		for _, h := range c.H {
			if h != nil && !sample.IsStale(h.Sum) {
				out = append(out, h)
			}
		}
	}
	return out
}

func TestNativeHistograms(t *testing.T) {
	const on = "  scrape_native_histograms: true\n"
	stored := func(name, config string, want *histogram.FloatHistogram, classic bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			inWorld(t, oneTarget+config, func(w *world) {
				w.families("h:1", latency())
				w.firstScrapes(1)
				got := w.histograms("latency")
				if want == nil && len(got) != 0 || want != nil && (len(got) != 1 || !got[0].Equal(want)) {
					w.Errorf("got %+v, want %+v", got, want)
				}
				if got := len(w.dump(func(name string) bool { return strings.HasPrefix(name, "latency_") })); (got == 4) != classic {
					w.Errorf("%d classic series", got)
				}
			})
		})
	}
	native := &histogram.FloatHistogram{
		Schema: 1, Count: 4, Sum: 5, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []float64{3, 1},
	}
	custom := &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, Count: 4, Sum: 5, PositiveSpans: []histogram.Span{{Length: 2}},
		PositiveBuckets: []float64{3, 1}, CustomValues: []float64{1},
	}
	coarse := &histogram.FloatHistogram{
		Schema: 0, Count: 4, Sum: 5, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []float64{3, 1},
	}
	merged := &histogram.FloatHistogram{
		Schema: histogram.ExponentialSchemaMin, Count: 4, Sum: 5, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []float64{3, 1},
	}
	stored("off", "", nil, true)
	stored("on", on, native, false)
	stored("both", on+"  always_scrape_classic_histograms: true\n", native, true)
	stored("converted", "  convert_classic_histograms_to_nhcb: true\n", custom, false)
	stored("converted and classic", "  convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true\n", custom, true)
	stored("native is not converted", on+"  convert_classic_histograms_to_nhcb: true\n", native, false)
	stored("by label", "  relabel_configs: [{target_label: __scrape_native_histograms__, replacement: 'true'}]\n", native, false)
	stored("factor", on+"  native_histogram_min_bucket_factor: 1.5\n", coarse, false)
	stored("highest factor", on+"  native_histogram_min_bucket_factor: 65536\n", merged, false)
	stored("within the limit", on+"  native_histogram_bucket_limit: 2\n", native, false)
}

func TestBucketLimit(t *testing.T) {
	inWorld(t, oneTarget+"  scrape_native_histograms: true\n  native_histogram_bucket_limit: 1\n", func(w *world) {
		w.families("h:1", latency())
		w.firstScrapes(1)
		w.expect("up", `up{instance="h:1", job="j"} 0=0`)
		if got := w.onlyTarget().LastError; got != "histogram bucket limit exceeded" {
			w.Errorf("error %q", got)
		}
		if got := w.counter("prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total"); got != 1 {
			w.Errorf("counter %v", got)
		}
	})
}

// TestConvertedText checks conversion and staleness of histograms that are made of lines.
func TestConvertedText(t *testing.T) {
	inWorld(t, oneTarget+"  convert_classic_histograms_to_nhcb: true\n", func(w *world) {
		w.text("h:1", `# TYPE a histogram;a_bucket{le="1"} 1;a_bucket{le="+Inf"} 3;a_count 3;a_sum 7;# TYPE b gauge;b 1`)
		w.firstScrapes(2)
		w.expect("b", `b{instance="h:1", job="j"} 0=1 10=1`)
		w.expect("a_")
		if got := w.histograms("a"); len(got) != 2 || got[0].Count != 3 || got[0].Sum != 7 || !slices.Equal(got[0].PositiveBuckets, []float64{1, 2}) {
			w.Errorf("got %+v", got)
		}
		w.text("h:1", "b 1")
		w.firstScrapes(1)
		if lines := w.dump(func(name string) bool { return name == "a" }); len(lines) != 1 || !strings.Contains(lines[0], " 20=") {
			w.Errorf("no mark of the end: %q", lines)
		}
	})
}

func noClient(string, httpclient.Config, string) (*http.Client, error) {
	return http.DefaultClient, nil
}

func TestProtobufIsAskedForFirst(t *testing.T) {
	accept := func(config string, features Features, first string) {
		t.Helper()
		cfg := parseConfigs(t, oneTarget+config)[0]
		s, err := newSettings(cfg, parserRoutes{}, nil, &Options{Features: features, NewClient: noClient})
		if err != nil || !strings.HasPrefix(s.accept, first) {
			t.Errorf("%q, %+v: %q, want %q first, error %v", config, features, s.accept, first, err)
		}
	}
	const proto, om = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,", "application/openmetrics-text;version=1.0.0;"
	accept("", Features{}, om)
	accept("  scrape_native_histograms: true\n", Features{}, proto)
	accept("", Features{StartZeros: true}, proto)
	accept("  scrape_protocols: [OpenMetricsText1.0.0]\n  scrape_native_histograms: true\n", Features{StartZeros: true}, om)
	accept("  scrape_protocols: [PrometheusProto]\n", Features{}, proto+"*/*;q=0.5")
}

func TestStartTimes(t *testing.T) {
	w := newFeatureWorld(t, Features{StartZeros: true, TypeAndUnit: true, Metadata: true})
	out := &recording{}
	a := newAppender()
	a.body.bytes = []byte("# TYPE a counter\n# UNIT a \na_total 3 10\na_created 5\na_total{x=\"1\"} 1\n# EOF\n")
	cfg := parseConfigs(t, oneTarget)[0]
	l := newLoop(w.m.env, &pool{}, &target{})
	opts, err := l.readingOf(&settings{cfg: cfg}, &target{}, "application/openmetrics-text")
	if err != nil {
		t.Fatal(err)
	}
	c := newCache(&sampleRules{honorTimestamps: true}, opts)
	for range 2 { // The zero is appended once.
		a.start(w.m.env, out, c, &target{}, sampleLimits{}, 20_000)
		if err := a.appendBody(t.Context(), &metadata{}); err != nil {
			t.Fatal(err)
		}
		c.endGood()
	}
	type short struct {
		labels    string
		t, st     int64
		v         float64
		inOrder   bool
		described bool
	}
	var got []short
	for _, e := range out.entries {
		got = append(got, short{e.Labels.String(), e.T, e.ST, e.V, e.InOrder, e.Metadata != nil && e.Metadata.Type == sample.TypeCounter})
	}
	const a1, ax = `{__name__="a_total", __type__="counter"}`, `{__name__="a_total", __type__="counter", x="1"}`
	want := []short{
		{a1, 5000, 0, 0, true, false},
		{a1, 10_000, 5000, 3, false, true},
		{ax, 20_000, 0, 1, false, true},
		{"{}", 10_000, 5000, 3, false, true},
		{"{}", 20_000, 0, 1, false, true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func newFeatureWorld(t *testing.T, features Features) *world {
	t.Helper()
	w := newWorld(t, storagetest.NewStore(), nil)
	w.m.env.Features = features
	return w
}

// TestFailureLog checks that failures are noted, and that a reload opens the file anew.
func TestFailureLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "failures.log")
	config := oneTarget + "  scrape_failure_log_file: " + path + "\n"
	inWorld(t, config, func(w *world) {
		w.firstScrapes(1)
		if err := os.Rename(path, path+".1"); err != nil {
			w.Fatal(err)
		}
		w.configure(config)
		w.firstScrapes(1)
		for _, name := range []string{path + ".1", path} {
			b, err := os.ReadFile(name)
			if err != nil {
				w.Fatal(err)
			}
			var line failure
			if err := json.Unmarshal(b, &line); err != nil || line.Job != "j" || line.Target != "http://h:1/metrics" || line.Level != "ERROR" ||
				line.Msg != `Get "http://h:1/metrics": connection refused` {
				w.Errorf("%s: %q, %v", name, b, err)
			}
		}
	})
}

func TestFailureLogCannotBeOpened(t *testing.T) {
	w := newWorld(t, storagetest.NewStore(), nil)
	w.m.env.OpenLog = func(string) (io.WriteCloser, error) { return nil, os.ErrPermission }
	_, err := w.m.Prepare(parseConfigs(t, oneTarget+"  scrape_failure_log_file: x\n"), labels.EmptyLabels(), nil)
	if err == nil || err.Error() != `job "j": open scrape_failure_log_file: permission denied` {
		t.Errorf("error %v", err)
	}
}
