package remote

import (
	"bytes"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/narthex-io/narthex/model/labels"
)

type (
	writev2Sample    = writev2.Sample
	writev2Histogram = writev2.Histogram
	writev2Span      = writev2.BucketSpan
)

// TestDifferentialFederation sends the same requests for federation to both, and compares the bytes of the answers.
func TestDifferentialFederation(t *testing.T) {
	a, b := fill(t, variety(untilNow().Milliseconds()+300_000)...)
	for _, external := range []labels.Labels{labels.EmptyLabels(), labels.FromStrings("region", "eu", "zone", "a\"b", "größe.x", "1"), labels.FromStrings("instance", "me")} {
		compareFederation(t, a, b, external, federationQueries())
	}
}

// TestDifferentialFederationEarly does so with labels that sort before the name. They are few: upstream leaves the order of
// the series of one name to chance if there are more than twelve.
func TestDifferentialFederationEarly(t *testing.T) {
	var row []one
	for _, name := range []string{"a", "b", "c"} {
		row = append(row, one{labels: named(name, "Zone", "x"), samples: []writev2Sample{sm(20_000, 1)}}, floats(name, sm(20_000, 2)),
			one{labels: named(name, "Area", "x"), samples: []writev2Sample{sm(20_000, 1)}}, one{labels: named(name, "zone", "x"), samples: []writev2Sample{sm(20_000, 1)}})
	}
	a, b := fill(t, row)
	everything := url.Values{"match[]": {`{__name__!=""}`}}
	compareFederation(t, a, b, labels.FromStrings("Region", "eu"), []string{everything.Encode(), "match[]=b&match[]=c", "match[]=b&match[]=%7BArea=%22x%22%7D"})
}

func compareFederation(t *testing.T, a *theirs, b *ours, external labels.Labels, queries []string) {
	t.Helper()
	r := reads{lookback: untilNow() - 10*time.Second, external: external, frame: 1 << 20}
	theirs, ours := serveTheirs(t, a, r), serveOurs(t, b, r)
	for _, query := range queries {
		for _, accept := range accepts() {
			header := http.Header{"Accept": {accept}}
			want, got := fetch(t, "GET", theirs+"/federate?"+query, nil, header), fetch(t, "GET", ours+"/federate?"+query, nil, header)
			if got.status != want.status || got.header.Get("Content-Type") != want.header.Get("Content-Type") || !bytes.Equal(settled(got.body), settled(want.body)) {
				t.Errorf("%s with Accept %q and %v:\ngot  %d %s\n%s\nwant %d %s\n%s", query, accept, external,
					got.status, got.header.Get("Content-Type"), diffed(got.body, want.body), want.status, want.header.Get("Content-Type"), diffed(want.body, got.body))
			}
		}
	}
	t.Logf("%d requests", len(queries)*len(accepts()))
}

// settled takes out the blanks that protobuf's texts have now and then.
func settled(body []byte) []byte {
	if bytes.Contains(body, []byte("untyped:")) || bytes.Contains(body, []byte("type:")) {
		return regexp.MustCompile(` +`).ReplaceAll(body, []byte(" "))
	}
	return body
}

// diffed returns the lines of a that b lacks.
func diffed(a, b []byte) string {
	var lines []string
	for line := range strings.Lines(string(a)) {
		if !bytes.Contains(b, []byte(line)) && len(lines) < 10 {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func federationQueries() (all []string) {
	for _, selectors := range [][]string{
		{},
		{`{__name__=~".+"}`},
		{`{}`},
		{`{job=""}`},
		{`odd`},
		{`metric_1`, `metric_2`, `bare`},
		{`metric_1`, `{__name__=~"metric_.*",instance=~"host0.*"}`, `metric_1{region="own"}`},
		{`{instance!="",job!~"x"}`},
		{`{__name__=~"native.*|mixed|turned"}`},
		{`{"größe.in.m"}`},
		{`{__name__=~".*[^a-z_].*"}`},
		{`{"dotted.label"="x"}`},
		{`stale`, `old`, `back`, `future`, `only_future`},
		{`nothing`},
		{``},
		{`-not`},
		{`up{`},
		{`up[5m]`},
		{`up offset 5m`},
		{`up + 1`},
		{`odd`, `{`},
		{`{__name__="a",__name__="b"}`},
		{`x{__name__="b"}`},
		{`{a=~"("}`},
	} {
		values := url.Values{"match[]": selectors}
		all = append(all, values.Encode())
	}
	return append(all, "match[]=%zz", "match=odd", "x=1;y=2")
}

func accepts() []string {
	return []string{
		"", "*/*", "text/plain", "text/plain;version=0.0.4;escaping=allow-utf-8", "text/plain;version=0.0.4;escaping=dots;q=0.5",
		"text/plain;version=0.0.4;escaping=values", "text/plain;version=1.0.0;escaping=underscores", "application/openmetrics-text;version=1.0.0,text/plain;q=0.1",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.6,text/plain;q=0.5",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=dots",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=compact-text;escaping=values",
		"application/json", "nonsense;;;", "text/plain;escaping=unknown",
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
	}
}
