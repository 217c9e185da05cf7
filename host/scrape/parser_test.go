package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// parserFuncs are parser plugins in functions, by their names.
type parserFuncs struct {
	mu sync.Mutex
	by map[string]parserFunc
	// types are the media types that the plugins name themselves.
	types map[string][]string
}

type parserFunc func(ctx context.Context, body, contentType string, w io.Writer) error

func (f parserFunc) Parse(ctx context.Context, body []byte, contentType string, w io.Writer) error {
	return f(ctx, string(body), contentType, w)
}

func (p *parserFuncs) Parser(key ParserKey) (sdk.Parser, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.by[key.Plugin]
	if f == nil {
		return nil, "", fmt.Errorf("parser plugin %s is not running", key.Plugin)
	}
	switch key.Plugin {
	case "open":
		return f, "application/openmetrics-text; version=1.0.0", nil
	case "odd":
		return f, "image/png", nil
	}
	return f, "text/plain; version=0.0.4", nil
}

func (p *parserFuncs) named(key ParserKey) []string { return p.types[key.Plugin] }

func (p *parserFuncs) set(name string, f parserFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = map[string]parserFunc{}
	}
	p.by[name] = f
}

// words makes a sample of each word: word=value.
func words(_ context.Context, body, _ string, w io.Writer) error {
	for word := range strings.FieldsSeq(body) {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("plugin words: %q has no =", word)
		}
		if _, err := fmt.Fprintln(w, name, value); err != nil {
			return err
		}
	}
	return nil
}

// body lets a host serve a body of a content type.
func (w *world) body(host, contentType, text string) {
	w.serve(host, func(*http.Request) (*http.Response, error) { return answer(contentType, text), nil })
}

const parsedTarget = "- job_name: j\n  static_configs: [{targets: ['h:1']}]\n  parser: words\n"

func TestParser(t *testing.T) {
	inWorld(t, parsedTarget, func(w *world) {
		w.parsers.set("words", words)
		w.body("h:1", "text/plain", "a=1 b=2") // Every body, whatever its type.
		w.firstScrapes(1)
		w.body("h:1", "", "a=3")
		w.firstScrapes(1)
		w.body("h:1", "image/png", "a=4 oops")
		w.firstScrapes(1)
		w.expect("a", `a{instance="h:1", job="j"} 0=1 10=3 20=stale`)
		w.expect("b", `b{instance="h:1", job="j"} 0=2 10=stale`)
		w.expect("up", `up{instance="h:1", job="j"} 0=1 10=1 20=0`)
		if got, want := w.onlyTarget().LastError, `parse a body of the type "image/png": plugin words: "oops" has no =`; got != want {
			t.Errorf("last error %q, want %q", got, want)
		}
	})
}

func TestParserFailures(t *testing.T) {
	fails := func(name, config string, f parserFunc, want string) {
		t.Run(name, func(t *testing.T) {
			inWorld(t, config, func(w *world) {
				w.parsers.set("words", f)
				w.body("h:1", "text/plain", "a=1")
				w.firstScrapes(1)
				w.expect("up", `up{instance="h:1", job="j"} 0=0`)
				if got := w.onlyTarget().LastError; !strings.HasPrefix(got, want) {
					t.Errorf("last error %q, want %q", got, want)
				}
			})
		})
	}
	write := func(text string) parserFunc {
		return func(_ context.Context, _, _ string, w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		}
	}
	fails("not running", parsedTarget, nil, "parser plugin words is not running")
	fails("no exposition", parsedTarget, write("a 1\nb\n"), "what parser plugin words made of the body: line 2: ")
	fails("too large", parsedTarget+"  body_size_limit: 1KB\n", write(strings.Repeat("a", 1024)),
		"what parser plugin words made of the body: body size limit exceeded")
	fails("too many samples", parsedTarget+"  sample_limit: 1\n", write("a 1\nb 1\n"), "sample limit exceeded")
	fails("odd format", strings.ReplaceAll(parsedTarget, "words", "odd"), nil, "parser plugin odd is not running")
	inWorld(t, strings.ReplaceAll(parsedTarget, "words", "odd"), func(w *world) {
		w.parsers.set("odd", write("a 1\n"))
		w.body("h:1", "", "")
		w.firstScrapes(1)
		if got, want := w.onlyTarget().LastError, `what parser plugin odd made of the body: received unsupported Content-Type "image/png"`; !strings.HasPrefix(got, want) {
			t.Errorf("last error %q, want %q", got, want)
		}
	})
}

// TestSlowParser makes sure that a parser gets what is left of the time for a scrape.
func TestSlowParser(t *testing.T) {
	inWorld(t, parsedTarget+"  scrape_timeout: 2s\n", func(w *world) {
		w.parsers.set("words", func(ctx context.Context, _, _ string, _ io.Writer) error {
			<-ctx.Done()
			return errors.New("call plugin words: " + ctx.Err().Error())
		})
		w.serve("h:1", func(*http.Request) (*http.Response, error) {
			time.Sleep(1500 * time.Millisecond)
			return answer("a/b", "a=1"), nil
		})
		w.firstScrapes(2)
		w.wait(2 * time.Second)
		w.expect("scrape_duration", `scrape_duration_seconds{instance="h:1", job="j"} 0=2 10=2`)
		const want = `not parsed within the scrape timeout of 2s: parse a body of the type "a/b": call plugin words: context deadline exceeded`
		if got := w.onlyTarget().LastError; got != want {
			t.Errorf("last error %q, want %q", got, want)
		}
	})
}

func TestParsersByContentType(t *testing.T) {
	const config = "- job_name: j\n  extra_scrape_metrics: true\n  static_configs: [{targets: ['h:1']}]\n" +
		"  parsers: [words, {plugin: open, content_types: [A/Open]}]\n"
	synctestParsers(t, config, func(w *world) {
		w.parsers.set("open", func(_ context.Context, body, contentType string, out io.Writer) error {
			_, err := fmt.Fprintf(out, "# TYPE a gauge\na{type=%q} %d\n# EOF\n", contentType, len(body))
			return err
		})
		for _, b := range [][2]string{
			{"text/plain; version=0.0.4", "a 1\n"},
			{"A/Words; charset=utf-8", "a=2"},
			{"a/open;x=y", "123"},
			{"a/other", "a=4"},
			{"", "a=5"},
		} {
			w.body("h:1", b[0], b[1])
			w.firstScrapes(1)
		}
		w.expect("a", `a{instance="h:1", job="j"} 0=1 10=2 20=stale`, `a{instance="h:1", job="j", type="a/open;x=y"} 20=3 30=stale`)
		w.expect("up", `up{instance="h:1", job="j"} 0=1 10=1 20=1 30=0 40=0`)
		w.expect("scrape_body_size", `scrape_body_size_bytes{instance="h:1", job="j"} 0=4 10=3 20=3 30=3 40=3`)
		if got := w.onlyTarget().LastError; !strings.HasPrefix(got, "non-compliant scrape target sending blank Content-Type") {
			t.Errorf("last error %q", got)
		}
		const accept = "text/plain;version=0.0.4;q=0.3,a/words;q=0.2,a/open;q=0.2,*/*;q=0.05"
		if got := w.targets.requests[0].header.Get("Accept"); !strings.HasSuffix(got, accept) || !strings.HasPrefix(got, "application/openmetrics-text") {
			t.Errorf("Accept: %s", got)
		}

		// A parser for every body has the target asked for what the parser reads.
		w.configure(strings.Replace(config, "parsers: [words, {plugin: open, content_types: [A/Open]}]", "parser: words", 1))
		w.firstScrapes(1)
		last := w.targets.requests[len(w.targets.requests)-1]
		if got := last.header.Get("Accept"); got != "a/words,*/*;q=0.1" {
			t.Errorf("Accept: %s", got)
		}
	})
}

// synctestParsers is inWorld with the plugin words, which names a media type.
func synctestParsers(t *testing.T, config string, f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, storagetest.NewStore(), nil)
		w.parsers.types = map[string][]string{"words": {"a/words"}}
		w.parsers.set("words", words)
		w.configure(config)
		w.untilPhase()
		w.run()
		f(w)
		w.stop()
	})
}

func TestCheckParsers(t *testing.T) {
	named := func(key ParserKey) []string {
		return map[string][]string{"words": {"a/words"}, "others": {"a/others", "a/words"}}[key.Plugin]
	}
	fails := func(config, want string) {
		t.Helper()
		cfgs := parseConfigs(t, "- job_name: j\n"+config)
		if err := cfgs[0].CheckParsers(named); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
	fails("  parsers: [words, silent]\n", "parsers[1]: plugin silent does not say which media types it reads: list them in content_types")
	fails("  parsers: [words, others]\n", "parsers[1]: a/words is read by both words and others")
	cfgs := parseConfigs(t, "- job_name: j\n  parsers: [words, {plugin: others, content_types: [A/b]}]\n")
	if r, err := cfgs[0].routes(named); err != nil || r.of("a/B; c=d").Plugin != "others" || r.of("a/others") != nil {
		t.Errorf("routes %+v, %v", r, err)
	}
}
