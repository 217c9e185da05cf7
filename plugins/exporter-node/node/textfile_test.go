//go:build linux

package node

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"
)

// scrapeTextfiles collects files, given by name, and returns the samples without the exporter's own, and the log.
func scrapeTextfiles(t *testing.T, files map[string]string, folders ...string) (body, log string) {
	t.Helper()
	m := newMachine(t, "bare")
	for name, text := range files {
		path := filepath.Join(m.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(1700000000, 5e8)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for _, f := range folders {
		all = append(all, filepath.Join(m.dir, f))
	}
	m.config["collectors"], m.config["textfile"] = []string{"textfile"}, map[string]any{"directories": all}
	var buf bytes.Buffer
	e := m.exporter(t, slog.New(slog.NewTextHandler(&buf, nil)))
	first := collect(t, e)
	if second := collect(t, e); second != first {
		t.Errorf("the second scrape differs:\n%s", second)
	}
	for line := range strings.Lines(strings.ReplaceAll(first, m.dir, "")) {
		if !strings.Contains(line, "node_exporter_build_info") && !strings.Contains(line, "node_scrape_collector") {
			body += line
		}
	}
	return body, buf.String()
}

func TestTextfile(t *testing.T) {
	body, log := scrapeTextfiles(t, map[string]string{
		"a1/jobs.prom": "# HELP job_runs Runs so \\\\ far.\\nReally.\n# TYPE job_runs counter\n" +
			"job_runs{queue=\"a\\\"b\",host = \"x\",} 3e2\njob_runs 1\n",
		"a1/other.prom":  "job_runs{queue=\"c\"} 4\n# a comment\nplain NaN\n",
		"a1/ignored.txt": "x 1\n",
		"a2/hist.prom": "# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5\nh_count 3\n" +
			"# TYPE s summary\ns{quantile=\"0.50\"} 1\ns_sum 2\ns_count 1\n",
	}, "a*")
	if log == "" || !strings.Contains(body, "node_textfile_scrape_error 1\n") {
		t.Errorf("job_runs is a counter in one file and untyped in the other, got log %q", log)
	}
	want := `# HELP h Read from /a2/hist.prom.
# TYPE h histogram
h_bucket{le="1"} 2
h_bucket{le="+Inf"} 3
h_sum 4.5
h_count 3
# HELP job_runs Runs so \\ far.\nReally.
# TYPE job_runs counter
job_runs{host="x",queue="a\"b"} 300
job_runs 1
# HELP node_textfile_mtime_seconds When the file was changed, in seconds since 1970.
# TYPE node_textfile_mtime_seconds gauge
node_textfile_mtime_seconds{file="/a1/jobs.prom"} 1.7e+09
node_textfile_mtime_seconds{file="/a1/other.prom"} 1.7e+09
node_textfile_mtime_seconds{file="/a2/hist.prom"} 1.7e+09
# HELP node_textfile_scrape_error 1 if a file or folder could not be read as a whole.
# TYPE node_textfile_scrape_error gauge
node_textfile_scrape_error 1
# HELP plain Read from /a1/other.prom.
# TYPE plain untyped
plain NaN
# HELP s Read from /a2/hist.prom.
# TYPE s summary
s{quantile="0.5"} 1
s_sum 2
s_count 1
`
	if body != want {
		t.Errorf("got\n%s", body)
	}
}

func TestTextfileProblemsAreLoggedOnce(t *testing.T) {
	check := func(reason string, files map[string]string, folders ...string) {
		t.Helper()
		body, log := scrapeTextfiles(t, files, folders...)
		if strings.Count(log, "text files are not in order") != 1 || !strings.Contains(log, reason) {
			t.Errorf("want one line with %q, got %q", reason, log)
		}
		if !strings.Contains(body, "node_textfile_scrape_error 1\n") {
			t.Errorf("no error in\n%s", body)
		}
	}
	check("no such file or directory", nil, "missing")
	check("has a time", map[string]string{"a/x.prom": "x 1 1700000000\n"}, "a")
	check("half written", map[string]string{"a/x.prom": "x 1"}, "a")
	check("another HELP", map[string]string{"a/x.prom": "# HELP x a\nx 1\n", "a/y.prom": "# HELP x b\nx{a=\"b\"} 1\n"}, "a")
	check("is in a file before, too", map[string]string{"a/x.prom": "x{a=\"b\"} 1\n", "a/y.prom": "x{a=\"b\"} 2\n"}, "a")
}

// FuzzParseTextfile holds the parser against the one that node_exporter uses: what ours takes, that one takes too, with
// the same metrics.
func FuzzParseTextfile(f *testing.F) {
	for _, seed := range []string{
		"x 1\n", "x{a=\"b\"} 1\n", "# TYPE x counter\nx 1\n", "# HELP x y\n# TYPE x gauge\nx{a=\"\\\\\\\"\\n\",} +Inf\n",
		"x{a=\"b\"} 1 2\n", "x\n", "x{a} 1\n", "x{a=\"b\"\n", "# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_sum 2\nx_count 1\n",
		"# TYPE x summary\nx{quantile=\"0.5\"} 1\nx_sum 2\n", "# TYPE x y\n", "x 1\n# TYPE x gauge\n", "1x 1\n", "x 0x1p-2\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		families, err := parseTextfile(text)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, family := range families {
			for _, line := range family.lines {
				again.WriteString(line)
			}
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		if _, err := parser.TextToMetricFamilies(strings.NewReader(again.String())); err != nil {
			t.Errorf("%q became %q: %v", text, again.String(), err)
		}
	})
}

func TestParseTextfileNamesTheLine(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		if _, err := parseTextfile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	check("x 1\nx 2\n", "line 2: a second x")
	check("x{b=\"1\",a=\"2\"} 1\nx{a=\"2\",b=\"1\"} 2\n", `line 2: a second x{a="2",b="1"}`)
	check("x one\n", "line 1: x: ")
	check("x\n", "is not a metric's name and a value")
	check("x 1 2 3\n", "is not a value")
	check("9x 1\n", "is not a metric's name")
	check("x{a=\"1\",a=\"2\"} 1\n", "x has the label a twice")
	check("x{__name__=\"y\"} 1\n", "is not a label")
	check("x{a=1} 1\n", "label a: its value has no quotes")
	check("x{a=\"1} 1\n", "label a: its value does not end")
	check("x{a=\"\\t\"} 1\n", `label a: \t is no escape`)
	check("x{a=\"1\" b=\"2\"} 1\n", "neither a comma nor a brace")
	check("# TYPE x gauge\n# TYPE x gauge\n", "line 2: a second TYPE of x")
	check("# HELP x a\n# HELP x a\n", "line 2: a second HELP of x")
	check("# TYPE x meter\n", `x is of the unknown type "meter"`)
	check("x 1\n# TYPE x gauge\n", "TYPE of x after its samples")
	check("# TYPE h histogram\nh 1\n", "h is a histogram")
	check("# TYPE h histogram\nh_bucket{le=\"a\"} 1\n", "h_bucket: label le")
}

// TestTextfileThatIsNoFile: opening a pipe would wait for somebody who writes into it.
func TestTextfileThatIsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe.prom")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := addTextfile(path, nil, &exposition{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v", err)
	}
}
