//go:build e2e && linux

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTSDBCommands: `narthex tsdb` and `promtool tsdb` print the same of a data directory with blocks and a log, and make
// blocks with the same samples; ours does so beside a running server, too.
func TestTSDBCommands(t *testing.T) {
	t.Parallel()
	promtool := component(t, "promtool", "prometheus")
	target := newRecorder(t)
	s := start(t, options{
		config: "scrape_configs:\n" + staticJob("a", "100ms", target.address),
		args: []string{
			"--storage.tsdb.min-block-duration=10s", "--storage.tsdb.max-block-duration=10s",
			"--storage.tsdb.wal-compression-type=snappy", // the promtool of Debian is older than 3.11 and knows no newer records
		},
	})
	s.awaitBlocks(3)
	data := filepath.Join(s.dir, "data")
	past := time.Now().Add(-time.Second)
	wantLines(t, "narthex tsdb dump beside the server", dump(t, narthex, data, `{job="a"}`, past), s.lines(`{job="a"}`, past))
	s.stop()

	same := func(args ...string) string {
		t.Helper()
		want, got := wantCommand(t, s.dir, promtool, args...), wantCommand(t, s.dir, narthex, args...)
		wantLines(t, strings.Join(args, " "), strings.Split(got, "\n"), strings.Split(want, "\n"))
		return got
	}
	list := same("tsdb", "list", data)
	same("tsdb", "list", "-r", data)
	same("tsdb", "dump", data)
	same("tsdb", "dump", "--match={__name__=~\"up|e2e_.*\",job=\"a\"}", "--min-time=1", data)
	block := regexp.MustCompile(`[0-9A-Z]{26}`).FindString(list)
	analyze := []string{"tsdb", "analyze", "--limit=1000000", data, block}
	// Entries with the same number come in any order.
	wantLines(t, "analyze", analysis(wantCommand(t, s.dir, narthex, analyze...)), analysis(wantCommand(t, s.dir, promtool, analyze...)))

	text := wantCommand(t, s.dir, narthex, "tsdb", "dump-openmetrics", data)
	file := filepath.Join(s.dir, "samples.txt")
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	var dumps []string
	for _, program := range []string{promtool, narthex} {
		made := filepath.Join(t.TempDir(), "made")
		out := wantCommand(t, s.dir, program, "tsdb", "create-blocks-from", "openmetrics", file, made)
		if !strings.HasPrefix(out, "BLOCK ULID") {
			t.Errorf("%s prints %s", program, out)
		}
		if err := os.MkdirAll(filepath.Join(made, "wal"), 0o777); err != nil {
			t.Fatal(err)
		}
		for _, reader := range []string{promtool, narthex} {
			dumps = append(dumps, wantCommand(t, s.dir, reader, "tsdb", "dump", made))
		}
	}
	for i, d := range dumps {
		if d != dumps[0] || strings.Count(d, "\n") < 100 {
			t.Errorf("dump %d has %d bytes, the first %d", i, len(d), len(dumps[0]))
		}
	}
}

// analysis is what both versions print, with the entries of each list sorted.
func analysis(text string) (lines []string) {
	text = strings.Replace(text, "\nSeries: ", "\nTotal Series: ", 1) // As Debian's prints it.
	for part := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(part, "Label names with highest cumulative") || strings.HasPrefix(part, "Compaction") {
			continue
		}
		entries := strings.Split(strings.TrimSpace(part), "\n")
		slices.Sort(entries)
		lines = append(lines, entries...)
	}
	return lines
}
