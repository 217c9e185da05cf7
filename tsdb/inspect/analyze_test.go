package inspect

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnalyze(t *testing.T) {
	dir := twoBlocks(t)
	var out strings.Builder
	run := func(opts AnalyzeOptions) error {
		opts.Dir, opts.Damaged = dir, func(err error) { t.Error(err) }
		fmt.Fprintf(&out, "== block %q, limit %d, extended %v, match %s\n", opts.Block, opts.Limit, opts.Extended, opts.Selector)
		return Analyze(t.Context(), &out, opts)
	}
	for _, opts := range []AnalyzeOptions{
		{Block: "01HF0000000000000000000002", Limit: 20, Extended: true},
		{Block: "01HF0000000000000000000002", Limit: 2},
		{Block: "01HF0000000000000000000002", Limit: 20, Extended: true, Selector: `{code="200"}`, Matchers: matcher("code", "200")},
		{Limit: 0, Extended: true},
	} {
		if err := run(opts); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "analyze.txt", out.String())
	for name, want := range map[string]string{
		"01HF0000000000000000000003": "has 01HF0000000000000000000001, 01HF0000000000000000000002",
		"../x":                       "no block ../x",
	} {
		if err := run(AnalyzeOptions{Block: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Analyze(t.Context(), &out, AnalyzeOptions{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "has no blocks") {
		t.Error(err)
	}
}

// TestAnalyzeHistograms: of histograms, the chunks' buckets count.
func TestAnalyzeHistograms(t *testing.T) {
	_, db := makeData(t)
	dir := filepath.Join(t.TempDir(), "s")
	if err := db.Snapshot(t.Context(), dir, true); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Analyze(t.Context(), &out, AnalyzeOptions{Dir: dir, Extended: true}); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(out.String(), "Compaction analysis:")
	golden(t, "analyze-histograms.txt", text)
}
