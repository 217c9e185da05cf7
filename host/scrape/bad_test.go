package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/narthex-io/narthex/storage"
)

// TestBadTargets checks that a bad target is down, says why in words that help, and stores nothing but that.
func TestBadTargets(t *testing.T) {
	down := func(name, config string, serve func(*http.Request) (*http.Response, error), wantError string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			inWorld(t, oneTarget+config, func(w *world) {
				w.serve("h:1", serve)
				for w.onlyTarget().Health == HealthUnknown {
					w.wait(100 * time.Millisecond)
				}
				w.expect("up", `up{instance="h:1", job="j"} 0=0`)
				w.expect("a")
				if got := w.onlyTarget(); got.Health != HealthBad || !strings.Contains(got.LastError, wantError) {
					w.Errorf("health %s, error %q, want %q", got.Health, got.LastError, wantError)
				}
			})
		})
	}
	sends := func(contentType, body string) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return answer(contentType, body), nil }
	}
	const text = "text/plain"
	down("refuses", "", nil, `Get "http://h:1/metrics": connection refused`)
	down("garbage", "", sends(text, "\x7fELF\x01\x02"), `line 1: expected a metric name: "\x7fELF\x01\x02"`)
	down("html", "", sends("text/html", "<html>"), `received unsupported Content-Type "text/html" and no fallback_scrape_protocol`)
	down("html as text", "", sends(text, "<html>"), `line 1: expected a metric name: "<html>"`)
	down("no content type", "", sends("", "a 1\n"), "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target")
	down("cut off", "", sends("application/openmetrics-text", "a 1\n"), "line 2: the body does not end with # EOF")
	down("invalid UTF-8", "", sends(text, "a{x=\"\xff\"} 1\n"), "line 1: invalid UTF-8 in a label")
	down("label twice", "", sends(text, `a{x="1",x="2"} 1`+"\n"), `label name "x" is not unique`)
	down("status", "", func(*http.Request) (*http.Response, error) {
		r := answer(text, "a 1\n")
		r.StatusCode, r.Status = http.StatusInternalServerError, "500 Internal Server Error"
		return r, nil
	}, "server returned HTTP status 500 Internal Server Error")
	down("truncated gzip", "", func(*http.Request) (*http.Response, error) {
		return zipped(t, "a 1\n", 10), nil
	}, "read body after 4 bytes: unexpected EOF")
	down("no gzip", "", func(*http.Request) (*http.Response, error) {
		r := answer(text, "a 1\n")
		r.Header.Set("Content-Encoding", "gzip")
		return r, nil
	}, "read gzip body: ")
	down("bomb", "  body_size_limit: 1MB\n", func(*http.Request) (*http.Response, error) {
		return zipped(t, strings.Repeat("a 1\n", 1<<20), 0), nil
	}, "body size limit exceeded")
	down("endless", "  body_size_limit: 64KB\n", func(*http.Request) (*http.Response, error) {
		r := answer(text, "")
		r.Body = io.NopCloser(endless{})
		return r, nil
	}, "body size limit exceeded")
	down("dripping", "  scrape_timeout: 1s\n", func(r *http.Request) (*http.Response, error) {
		resp := answer(text, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("a 1\n"), blocked{r.Context()}))
		return resp, nil
	}, "no complete answer within the scrape timeout of 1s: read body after 4 bytes: ")
	down("too many samples", "  sample_limit: 2\n", sends(text, "a 1\nb 2\nc 3\n"), "sample limit exceeded")
	down("too many labels", "  label_limit: 3\n", sends(text, `a{x="1"} 1`+"\n"),
		"label_limit exceeded (metric: a, number of labels: 4, limit: 3)")
	down("long label name", "  label_name_length_limit: 9\n", sends(text, `a{abcdefghij="1"} 1`+"\n"),
		"label_name_length_limit exceeded (metric: a, label name: abcdefghij, length: 10, limit: 9)")
	down("long label value", "  label_value_length_limit: 3\n", sends(text, `a{x="1234"} 1`+"\n"),
		`label_value_length_limit exceeded (metric: a, label name: x, value: "1234", length: 4, limit: 3)`)
	down("legacy names", "  metric_name_validation_scheme: legacy\n", sends(text, `{"a b"} 1`+"\n"),
		`metric name "a b" is not valid in the legacy validation scheme`)
	down("nameless", "  metric_relabel_configs: [{regex: __name__, action: labeldrop}]\n", sends(text, "a 1\n"),
		"missing metric name (__name__ label)")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte("a 1\n"), len(p)/4+1)), nil
}

type blocked struct{ ctx context.Context }

func (b blocked) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

// zipped answers with a compressed body, without its last bytes.
func zipped(t *testing.T, body string, missing int) *http.Response {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	r := answer("text/plain", b.String()[:b.Len()-missing])
	r.Header.Set("Content-Encoding", "gzip")
	return r
}

func TestGoodAnswers(t *testing.T) {
	up := func(name, config string, resp func() *http.Response) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			inWorld(t, oneTarget+config, func(w *world) {
				w.serve("h:1", func(*http.Request) (*http.Response, error) { return resp(), nil })
				w.firstScrapes(1)
				w.expect("a", `a{instance="h:1", job="j"} 0=1`)
			})
		})
	}
	up("gzip", "", func() *http.Response { return zipped(t, "a 1\n", 0) })
	up("fallback", "  fallback_scrape_protocol: PrometheusText0.0.4\n", func() *http.Response { return answer("", "a 1\n") })
	up("fallback for another type", "  fallback_scrape_protocol: OpenMetricsText1.0.0\n", func() *http.Response { return answer("text/html", "a 1\n# EOF\n") })
	up("character set as encoding", "", func() *http.Response {
		r := answer("text/plain", "a 1\n")
		r.Header.Set("Content-Encoding", "utf-8")
		return r
	})
	up("limits just kept", "  sample_limit: 1\n  body_size_limit: 5B\n  label_limit: 3\n", func() *http.Response { return answer("text/plain", "a 1\n") })
}

// TestWhatIsCounted checks the count of samples of bodies that end where they cannot be read any more.
func TestWhatIsCounted(t *testing.T) {
	counted := func(contentType, body string, up, scraped int) {
		t.Helper()
		inWorld(t, oneTarget, func(w *world) {
			w.serve("h:1", func(*http.Request) (*http.Response, error) { return answer(contentType, body), nil })
			w.firstScrapes(1)
			w.expect("up", fmt.Sprintf(`up{instance="h:1", job="j"} 0=%d`, up))
			w.expect("scrape_samples_scraped", fmt.Sprintf(`scrape_samples_scraped{instance="h:1", job="j"} 0=%d`, scraped))
		})
	}
	counted("text/plain", "", 1, 0)
	counted("application/openmetrics-text", "", 1, 0)
	counted("text/plain", "a 1\nb{1x=\"1\"} 2\n", 0, 1)
	counted("text/plain", "a 1\nb{x=\"1\",x=\"2\"} 2\n", 0, 2)
	counted("application/openmetrics-text", "# TYPE a counter\na_total 1 # {x=\"y\" 1\n# EOF\n", 0, 0)
}

func TestSampleLimitCountsAll(t *testing.T) {
	inWorld(t, oneTarget+"  sample_limit: 2\n  extra_scrape_metrics: true\n", func(w *world) {
		w.text("h:1", "a 1;b 2;c 3;d 4")
		w.firstScrapes(1)
		w.expect("scrape_s",
			`scrape_sample_limit{instance="h:1", job="j"} 0=2`,
			`scrape_samples_post_metric_relabeling{instance="h:1", job="j"} 0=4`,
			`scrape_samples_scraped{instance="h:1", job="j"} 0=4`,
			`scrape_series_added{instance="h:1", job="j"} 0=2`)
		w.expect("scrape_body", `scrape_body_size_bytes{instance="h:1", job="j"} 0=16`)
		if got := w.counter("prometheus_target_scrapes_exceeded_sample_limit_total"); got != 1 {
			w.Errorf("%v scrapes counted over the limit", got)
		}
	})
}

// TestSampleLimitAndDuplicates: what is exposed twice is appended, and counts for the limit, once.
func TestSampleLimitAndDuplicates(t *testing.T) {
	inWorld(t, oneTarget+"  sample_limit: 1\n", func(w *world) {
		w.text("h:1", "a 1;a 2;a 3")
		w.firstScrapes(1)
		w.expect("up", `up{instance="h:1", job="j"} 0=1`)
		w.expect("a", `a{instance="h:1", job="j"} 0=1`)
	})
}

func TestTargetLimit(t *testing.T) {
	config := "- job_name: j\n  target_limit: %d\n  static_configs: [{targets: [\"h:1\", \"h:2\"]}]\n"
	inWorld(t, fmt.Sprintf(config, 1), func(w *world) {
		w.text("h:1", "a 1")
		w.text("h:2", "a 1")
		w.firstScrapes(1)
		w.expect("a")
		for _, s := range w.m.Targets() {
			if s.LastError != "target_limit exceeded (number of targets: 2, limit: 1)" {
				w.Errorf("error %q", s.LastError)
			}
		}
		if len(w.targets.requests) != 0 {
			w.Errorf("%d requests were made", len(w.targets.requests))
		}
		w.configure(fmt.Sprintf(config, 2))
		w.firstScrapes(1)
		if n := len(w.dump(func(name string) bool { return name == "a" })); n != 2 {
			w.Errorf("%d series, want 2", n)
		}
	})
}

func TestStorageFailure(t *testing.T) {
	inWorld(t, oneTarget, func(w *world) {
		w.text("h:1", "a 1;b 1")
		w.firstScrapes(1)
		w.full.Store(true)
		w.text("h:1", "a 2")
		w.firstScrapes(1)
		if s := w.onlyTarget(); s.Health != HealthBad || !strings.Contains(s.LastError, "disk full") {
			w.Errorf("status %+v", s)
		}
		w.full.Store(false)
		w.firstScrapes(1)
		w.expect("a", `a{instance="h:1", job="j"} 0=1 20=2`)
		w.expect("b", `b{instance="h:1", job="j"} 0=1 20=stale`)
	})
}

var errDisk = errors.New("disk full")

// sometimesFull is a storage that cannot commit while full is set.
type sometimesFull struct {
	storage.Appendable
	full *atomic.Bool
}

type maybeFull struct {
	storage.Appender
	full *atomic.Bool
}

func (s sometimesFull) Appender() storage.Appender { return maybeFull{s.Appendable.Appender(), s.full} }

// Append rejects histograms as storages of files do.
func (a maybeFull) Append(ctx context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	err := a.Appender.Append(ctx, entries, outcomes)
	for i, e := range entries {
		if e.Histogram == nil || outcomes[i].Err != nil {
			continue
		}
		if bad := e.Histogram.Validate(); bad != nil {
			outcomes[i].Err = fmt.Errorf("%w: %w", storage.ErrInvalidHistogram, bad)
		}
	}
	return err
}

func (a maybeFull) Commit(ctx context.Context) error {
	if a.full.Load() {
		return errors.Join(errDisk, a.Rollback())
	}
	return a.Appender.Commit(ctx)
}
