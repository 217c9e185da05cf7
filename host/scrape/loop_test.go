package scrape

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

const oneTarget = `
- job_name: j
  static_configs: [{targets: ["h:1"]}]
`

func TestScrape(t *testing.T) {
	inWorld(t, oneTarget, func(w *world) {
		w.text("h:1", `a{x="1"} 1;b 2;a{job="mine"} 3`)
		w.firstScrapes(1)
		w.text("h:1", `a{x="1"} 4;b 5;a{job="mine"} 6;c 7`)
		w.firstScrapes(1)
		w.expect("a", `a{exported_job="mine", instance="h:1", job="j"} 0=3 10=6`, `a{instance="h:1", job="j", x="1"} 0=1 10=4`)
		w.expect("b", `b{instance="h:1", job="j"} 0=2 10=5`)
		w.expect("c", `c{instance="h:1", job="j"} 10=7`)
		w.expect("up", `up{instance="h:1", job="j"} 0=1 10=1`)
		w.expect("scrape_",
			`scrape_duration_seconds{instance="h:1", job="j"} 0=0 10=0`,
			`scrape_samples_post_metric_relabeling{instance="h:1", job="j"} 0=3 10=4`,
			`scrape_samples_scraped{instance="h:1", job="j"} 0=3 10=4`,
			`scrape_series_added{instance="h:1", job="j"} 0=3 10=1`)
		if s := w.onlyTarget(); s.Health != HealthGood || s.LastError != "" || s.URL != "http://h:1/metrics" || s.LastScrape.IsZero() {
			w.Errorf("status %+v", s)
		}
	})
}

func TestRequestHeaders(t *testing.T) {
	inWorld(t, `
- job_name: j
  scrape_timeout: 1s500ms
  static_configs: [{targets: ["h:1"]}]
`, func(w *world) {
		w.text("h:1", "a 1")
		w.firstScrapes(1)
		h := w.targets.requests[0].header
		const accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
			"application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4," +
			"text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
		for name, want := range map[string]string{
			"Accept": accept, "Accept-Encoding": "gzip", "X-Prometheus-Scrape-Timeout-Seconds": "1.5",
		} {
			if got := h.Get(name); got != want {
				w.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	})
}

func TestStaleness(t *testing.T) {
	t.Run("series gone and back", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			for _, body := range []string{"a 1;b 1", "b 2", "b 3", "a 4;b 4"} {
				w.text("h:1", body)
				w.firstScrapes(1)
			}
			w.expect("a", `a{instance="h:1", job="j"} 0=1 10=stale 30=4`)
			w.expect("b", `b{instance="h:1", job="j"} 0=1 10=2 20=3 30=4`)
		})
	})
	t.Run("scrape failed", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1;b 1")
			w.firstScrapes(1)
			w.text("h:1", "a 2;b")
			w.firstScrapes(2)
			w.text("h:1", "a 4;b 4")
			w.firstScrapes(1)
			w.expect("a", `a{instance="h:1", job="j"} 0=1 10=stale 30=4`)
			w.expect("b", `b{instance="h:1", job="j"} 0=1 10=stale 30=4`)
			w.expect("up", `up{instance="h:1", job="j"} 0=1 10=0 20=0 30=1`)
			w.expect("scrape_samples_scraped", `scrape_samples_scraped{instance="h:1", job="j"} 0=2 10=1 20=1 30=2`)
		})
	})
	t.Run("target gone", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1")
			w.firstScrapes(1)
			w.configure("- job_name: j\n")
			w.wait(15 * time.Second)
			w.expect("a", `a{instance="h:1", job="j"} 0=1`)
			w.wait(10 * time.Second)
			w.expect("a", `a{instance="h:1", job="j"} 0=1 10=stale`)
			w.expect("up", `up{instance="h:1", job="j"} 0=1 10=stale`)
			if n := len(w.m.pools["j"].loops); n != 0 {
				w.Errorf("%d loops are left", n)
			}
		})
	})
	t.Run("target back in time", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1")
			w.firstScrapes(1)
			w.configure("- job_name: j\n")
			w.wait(15 * time.Second)
			w.configure(oneTarget)
			w.wait(20 * time.Second)
			w.expect("a", `a{instance="h:1", job="j"} 0=1 20=1 30=1`)
		})
	})
	t.Run("job gone", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1")
			w.firstScrapes(1)
			w.configure("- job_name: other\n")
			if names := w.m.Pools(); !slices.Equal(names, []string{"other"}) {
				w.Errorf("pools %v", names)
			}
			w.wait(30 * time.Second)
			w.expect("a", `a{instance="h:1", job="j"} 0=1 10=stale`)
			if len(w.m.pools) != 1 {
				w.Errorf("the pool of a job that is gone is kept")
			}
		})
	})
	t.Run("shutdown", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1")
			w.firstScrapes(1)
			w.stop()
			w.expect("a", `a{instance="h:1", job="j"} 0=1`)
			w.expect("up", `up{instance="h:1", job="j"} 0=1`)
		})
	})
	t.Run("restart", func(t *testing.T) {
		// What vanished while the server was down is not ended: nobody saw it go. The rest goes on as if nothing had been.
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1;b 1")
			w.firstScrapes(2)
			w.stop()
			next := newWorld(w.T, w.store, nil)
			next.text("h:1", "a 2;c 2")
			next.configure(oneTarget)
			next.run()
			next.firstScrapes(2)
			next.stop()
			w.expect("a", `a{instance="h:1", job="j"} 0=1 10=1 20=2 30=2`)
			w.expect("b", `b{instance="h:1", job="j"} 0=1 10=1`)
			w.expect("c", `c{instance="h:1", job="j"} 20=2 30=2`)
			w.expect("up", `up{instance="h:1", job="j"} 0=1 10=1 20=1 30=1`)
		})
	})
	t.Run("timestamps of their own", func(t *testing.T) {
		for config, want := range map[string]string{
			"":                                   `a{instance="h:1", job="j"} 5=1`,
			"  track_timestamps_staleness: true": `a{instance="h:1", job="j"} 5=1 10=stale`,
			"  honor_timestamps: false":          `a{instance="h:1", job="j"} 0=1 10=stale`,
		} {
			inWorld(t, oneTarget+config, func(w *world) {
				w.serve("h:1", func(*http.Request) (*http.Response, error) {
					at := time.Now().Add(5 * time.Second).UnixMilli()
					return answer("text/plain", "a 1 "+fmtInt(at)+"\n"), nil
				})
				w.firstScrapes(1)
				w.text("h:1", "b 1")
				w.firstScrapes(1)
				w.expect("a", want)
			})
		}
	})
}

func TestForgottenSeries(t *testing.T) {
	inWorld(t, oneTarget, func(w *world) {
		w.text("h:1", "a 1;b 1")
		w.firstScrapes(1)
		w.store.Reset()
		w.text("h:1", "a 2")
		w.firstScrapes(1)
		w.expect("a", `a{instance="h:1", job="j"} 0=2`)
		w.expect("b")
		w.expect("up", `up{instance="h:1", job="j"} 0=1`)
	})
}

// forgetful is a storage that takes what comes with labels, and knows no reference.
type forgetful struct {
	taking
	got []string
}

func (s *forgetful) Append(ctx context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	for i := range entries {
		if entries[i].Labels.IsEmpty() {
			outcomes[i].Err = storage.ErrUnknownSeries
			continue
		}
		s.got = append(s.got, fmt.Sprint(entries[i].Labels, entries[i].V))
		if err := s.taking.Append(ctx, entries[i:i+1], outcomes[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// TestForgottenLabels checks that series which the storage has forgotten get the labels that they had, in bodies of
// several batches and whatever names the series.
func TestForgottenLabels(t *testing.T) {
	var body strings.Builder
	for i := range batchSize {
		fmt.Fprintf(&body, "# TYPE h%d histogram\nh%d_bucket{le=\"1\"} 1\nh%d_bucket{le=\"+Inf\"} 2\nh%d_sum 3\nh%d_count 2\n", i, i, i, i, i)
		fmt.Fprintf(&body, "# TYPE g%d gauge\ng%d{x=\"\\\"\"} %d\ndropped%d 1\ng%d 1\n", i, i, i, i, i)
	}
	for _, opts := range []exposition.Options{{}, {TypeAndUnit: true}, {ConvertClassic: true}, {ConvertClassic: true, KeepClassic: true}} {
		t.Run(fmt.Sprintf("%+v", opts), func(t *testing.T) {
			w := newWorld(t, storagetest.NewStore(), nil)
			opts.Seed = w.m.env.seriesSeed
			rules := newSampleRules(parseConfigs(t, oneTarget+"  metric_relabel_configs: [{source_labels: [__name__], regex: 'dropped.*', action: drop}]\n")[0])
			c, out, a := newCache(rules, opts), &forgetful{}, newAppender()
			var scrapes [3][]string
			for i := range scrapes {
				out.got = nil
				a.body.bytes = []byte(body.String())
				a.start(w.m.env, out, c, &target{}, sampleLimits{}, int64(i))
				if err := a.appendBody(t.Context(), &metadata{}); err != nil {
					t.Fatal(err)
				}
				c.endGood()
				scrapes[i] = out.got
			}
			if len(scrapes[0]) < 2*batchSize || !slices.Equal(scrapes[0], scrapes[1]) || !slices.Equal(scrapes[0], scrapes[2]) {
				t.Errorf("%d, %d and %d entries, the first being %.3q", len(scrapes[0]), len(scrapes[1]), len(scrapes[2]), scrapes)
			}
		})
	}
}

// TestOtherBytesSameSeries checks that a series which comes back under other bytes is not taken to have ended.
func TestOtherBytesSameSeries(t *testing.T) {
	inWorld(t, oneTarget, func(w *world) {
		for _, body := range []string{`a{x="1",y="2"} 1;b 1`, `a{y="2",x="1"} 2;b 2`, `a{x="1",y="2"} 3`} {
			w.text("h:1", body)
			w.firstScrapes(1)
		}
		w.expect("a", `a{instance="h:1", job="j", x="1", y="2"} 0=1 10=2 20=3`)
		w.expect("b", `b{instance="h:1", job="j"} 0=1 10=2 20=stale`)
	})
}

func TestDuplicates(t *testing.T) {
	inWorld(t, oneTarget, func(w *world) {
		w.text("h:1", "a 1;a 2;b 1;b 1")
		w.firstScrapes(2)
		w.expect("a", `a{instance="h:1", job="j"} 0=1 10=1`)
		w.expect("scrape_samples_post", `scrape_samples_post_metric_relabeling{instance="h:1", job="j"} 0=4 10=4`)
		if got := w.counter("prometheus_target_scrapes_sample_duplicate_timestamp_total"); got != 4 {
			w.Errorf("%v duplicates counted, want 4", got)
		}
	})
}

func TestOutOfOrder(t *testing.T) {
	inWorld(t, oneTarget, func(w *world) {
		w.text("h:1", "a 1 1000000;b 1")
		w.firstScrapes(1)
		w.text("h:1", "a 2 999999;b 2")
		w.firstScrapes(1)
		w.expect("b", `b{instance="h:1", job="j"} 0=1 10=2`)
		w.expect("up", `up{instance="h:1", job="j"} 0=1 10=1`)
		if got := w.counter("prometheus_target_scrapes_sample_out_of_order_total"); got != 1 {
			w.Errorf("%v counted as out of order, want 1", got)
		}
	})
}

// TestAheadOfTime makes sure that one target with a wrong clock does not shut out the samples of all others.
func TestAheadOfTime(t *testing.T) {
	inWorld(t, oneTarget, func(w *world) {
		now := time.Now()
		w.text("h:1", fmt.Sprintf("a 1 %d;b 1 %d", now.Add(time.Hour).UnixMilli(), now.Add(time.Minute).UnixMilli()))
		w.firstScrapes(1)
		w.expect("a")
		if lines := w.dump(func(name string) bool { return name == "b" }); len(lines) != 1 {
			w.Errorf("a sample a minute ahead is not stored: %v", lines)
		}
		w.expect("up", `up{instance="h:1", job="j"} 0=1`)
		if got := w.counter("prometheus_target_scrapes_sample_out_of_bounds_total"); got != 1 {
			w.Errorf("%v counted as out of bounds, want 1", got)
		}
	})
}

// recording keeps the exemplars that it is given.
type recording struct {
	taking
	exemplars []sample.Exemplar
	entries   []storage.Entry
}

func (r *recording) Appender() storage.Appender { return r }

func (r *recording) Append(ctx context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	for _, e := range entries {
		r.exemplars = append(r.exemplars, e.Exemplars...)
		if e.Metadata != nil {
			md := *e.Metadata
			e.Metadata = &md
		}
		r.entries = append(r.entries, e)
	}
	return r.taking.Append(ctx, entries, outcomes)
}

func TestExemplars(t *testing.T) {
	w := newWorld(t, storagetest.NewStore(), nil)
	out := &recording{}
	a := newAppender()
	a.body.bytes = []byte("a_total 1 # {id=\"x\"} 0.5\nb_total 1 3 # {id=\"y\"} 0.25 2\nc_total 1\n# EOF\n")
	a.start(w.m.env, out, newCache(&sampleRules{honorTimestamps: true}, exposition.Options{Format: exposition.OpenMetrics, Seed: maphash.MakeSeed()}), &target{}, sampleLimits{}, 5000)
	if err := a.appendBody(t.Context(), &metadata{}); err != nil {
		t.Fatal(err)
	}
	want := []sample.Exemplar{
		{Labels: labels.FromStrings("id", "x"), Value: 0.5, T: 5000},
		{Labels: labels.FromStrings("id", "y"), Value: 0.25, T: 2000, HasT: true},
	}
	if !reflect.DeepEqual(out.exemplars, want) {
		t.Errorf("got %v, want %v", out.exemplars, want)
	}
}

func TestOpenMetrics(t *testing.T) {
	inWorld(t, oneTarget, func(w *world) {
		w.serve("h:1", func(*http.Request) (*http.Response, error) {
			return answer("application/openmetrics-text; version=1.0.0; charset=utf-8",
				"# TYPE a counter\n# UNIT a_seconds seconds\n# HELP a Say \\\"a\\\".\na_total 1 # {trace=\"x\"} 0.5\n# EOF\n"), nil
		})
		w.firstScrapes(1)
		w.expect("a", `a_total{instance="h:1", job="j"} 0=1`)
		meta := w.m.Metadata()
		if len(meta) != 1 || len(meta[0].Metrics) != 2 || meta[0].Metrics[0].Help != `Say "a".` || meta[0].Metrics[1].Unit != "seconds" {
			w.Errorf("metadata %+v", meta)
		}
	})
}

func TestExporterPlugin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fails atomic.Bool
		w := newWorld(t, storagetest.NewStore(), exporterFunc(func(_ context.Context, out io.Writer) error {
			if fails.Load() {
				return io.ErrClosedPipe
			}
			_, err := io.WriteString(out, "a 1\n")
			return err
		}))
		w.configure(`
- job_name: node
  exporters: [{plugin: exporter-node, config: {known: true}, labels: {zone: a}}]
  relabel_configs: [{source_labels: [zone], target_label: region}]
- job_name: other
  exporters: [{plugin: exporter-other}]
`)
		w.run()
		w.firstScrapes(1)
		fails.Store(true)
		w.firstScrapes(1)
		w.expect("a", `a{instance="exporter-node", job="node", region="a", zone="a"} 0=1 10=stale`)
		all := w.m.Targets()
		if len(all) != 2 || all[0].URL != "plugin://exporter-node/metrics" || all[1].LastError != "exporter plugin exporter-other is not running" ||
			!strings.Contains(all[0].LastError, "exporter plugin exporter-node: io:") {
			t.Errorf("targets %+v", all)
		}
		w.stop()
	})
}

func TestSlowTarget(t *testing.T) {
	inWorld(t, oneTarget+"  scrape_timeout: 2s\n", func(w *world) {
		w.serve("h:1", func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		w.firstScrapes(2)
		w.wait(2 * time.Second)
		w.expect("up", `up{instance="h:1", job="j"} 0=0 10=0`)
		w.expect("scrape_duration", `scrape_duration_seconds{instance="h:1", job="j"} 0=2 10=2`)
		if got := w.onlyTarget().LastError; !strings.HasPrefix(got, "no complete answer within the scrape timeout of 2s: Get ") {
			w.Errorf("last error %q", got)
		}
	})
}

// TestTargetSlowerThanInterval makes sure that a scrape that ends just after the next moment does not lose that one.
func TestTargetSlowerThanInterval(t *testing.T) {
	inWorld(t, oneTarget+"  scrape_timeout: 10s\n", func(w *world) {
		w.serve("h:1", func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			time.Sleep(time.Millisecond)
			return nil, r.Context().Err()
		})
		w.firstScrapes(4)
		w.wait(time.Second)
		if times := w.targets.times("h:1"); len(times) != 4 || times[3] != 30.003 {
			w.Errorf("scraped at %v", times)
		}
	})
}
