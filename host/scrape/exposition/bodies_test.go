package exposition

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// bodies returns real expositions from the folder shared beside the repository.
func bodies(tb testing.TB, pattern string) map[string][]byte {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join("../../../../shared/exposition", pattern))
	if err != nil {
		tb.Fatal(err)
	}
	if len(names) == 0 {
		tb.Skip("no folder shared/exposition beside the repository")
	}
	out := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			tb.Skip(err)
		}
		if err != nil {
			tb.Fatal(err)
		}
		out[filepath.Base(name)] = data
	}
	return out
}

// TestBodiesAgainstExpfmt compares real text bodies, sample by sample, with what the reference library finds.
func TestBodiesAgainstExpfmt(t *testing.T) {
	for name, body := range bodies(t, "*.text.txt") {
		got := ourSamples(t, body, Text)
		want := expfmtSamples(t, body)
		slices.Sort(got)
		slices.Sort(want)
		if len(got) < 500 || !slices.Equal(got, want) {
			t.Errorf("%s: %d samples, expfmt finds %d; first difference: %s", name, len(got), len(want), difference(got, want))
		}
		t.Logf("%s: %d samples", name, len(got))
	}
}

// TestOpenMetricsAgainstExpfmt has the reference library write the real bodies as OpenMetrics, and compares what is read
// of that with what it found in them.
func TestOpenMetricsAgainstExpfmt(t *testing.T) {
	for name, body := range bodies(t, "*.text.txt") {
		var om bytes.Buffer
		encoder := expfmt.NewEncoder(&om, expfmt.NewFormat(expfmt.TypeOpenMetrics))
		var want []string
		for family, f := range expfmtFamilies(t, body) {
			if err := encoder.Encode(f); err != nil {
				t.Fatal(err)
			}
			if f.GetType() == dto.MetricType_COUNTER && !strings.HasSuffix(family, "_total") {
				family += "_total"
			}
			want = append(want, familySamples(family, f)...)
		}
		if _, err := expfmt.FinalizeOpenMetrics(&om); err != nil {
			t.Fatal(err)
		}
		got := ourSamples(t, om.Bytes(), OpenMetrics)
		slices.Sort(got)
		slices.Sort(want)
		if len(got) < 500 || !slices.Equal(got, want) {
			t.Errorf("%s: %d samples, expfmt wrote %d; first difference: %s", name, len(got), len(want), difference(got, want))
		}
	}
}

func difference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] + " instead of " + b[i]
		}
	}
	return "one has more"
}

func ourSamples(tb testing.TB, body []byte, format Format) (out []string) {
	tb.Helper()
	found, err := readAll(body, format)
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range found {
		if f.Kind != "series" {
			continue
		}
		f.Labels = slices.DeleteFunc(f.Labels, func(l [2]string) bool { return l[1] == "" })
		line := fmt.Sprint(f.Labels, " ", f.Value)
		if f.T != nil {
			line += fmt.Sprint(" ", *f.T)
		}
		out = append(out, line)
	}
	return out
}

func expfmtFamilies(tb testing.TB, body []byte) map[string]*dto.MetricFamily {
	tb.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	return families
}

func expfmtSamples(tb testing.TB, body []byte) (out []string) {
	tb.Helper()
	for name, f := range expfmtFamilies(tb, body) {
		out = append(out, familySamples(name, f)...)
	}
	return out
}

func familySamples(name string, f *dto.MetricFamily) (out []string) {
	for _, m := range f.GetMetric() {
		add := func(suffix string, value float64, extra ...string) {
			out = append(out, expfmtSample(name+suffix, m, value, extra...))
		}
		switch {
		case m.GetCounter() != nil:
			add("", m.GetCounter().GetValue())
		case m.GetGauge() != nil:
			add("", m.GetGauge().GetValue())
		case m.GetUntyped() != nil:
			add("", m.GetUntyped().GetValue())
		case m.GetSummary() != nil:
			for _, q := range m.GetSummary().GetQuantile() {
				add("", q.GetValue(), "quantile", number(q.GetQuantile()))
			}
			add("_sum", m.GetSummary().GetSampleSum())
			add("_count", float64(m.GetSummary().GetSampleCount()))
		case m.GetHistogram() != nil:
			for _, b := range m.GetHistogram().GetBucket() {
				add("_bucket", float64(b.GetCumulativeCount()), "le", number(b.GetUpperBound()))
			}
			add("_sum", m.GetHistogram().GetSampleSum())
			add("_count", float64(m.GetHistogram().GetSampleCount()))
		}
	}
	return out
}

func expfmtSample(name string, m *dto.Metric, value float64, extra ...string) string {
	pairs := [][2]string{{"__name__", name}}
	for _, l := range m.GetLabel() {
		if l.GetValue() != "" {
			pairs = append(pairs, [2]string{l.GetName(), l.GetValue()})
		}
	}
	if extra != nil {
		pairs = append(pairs, [2]string{extra[0], extra[1]})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	line := fmt.Sprint(pairs, " ", fmt.Sprint(value))
	if m.TimestampMs != nil {
		line += fmt.Sprint(" ", m.GetTimestampMs())
	}
	return line
}

// number formats a bucket's bound as OpenMetrics does.
func number(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !math.IsInf(f, 0) && !math.IsNaN(f) && !strings.ContainsAny(s, "e.") {
		s += ".0"
	}
	return s
}
