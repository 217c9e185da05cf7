package inspect

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb"
)

// dump returns what is printed, and what is said about damage.
func dump(t *testing.T, dir string, format Format, mint, maxt int64, matchers ...[]*labels.Matcher) (text, said string) {
	t.Helper()
	if len(matchers) == 0 {
		matchers = [][]*labels.Matcher{matcher("__name__", "(?s:.*)")}
	}
	var out, log bytes.Buffer
	db, err := tsdb.OpenReadOnly(t.Context(), tsdb.Options{
		Dir: dir, SkipDamage: true, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, db)
	q, err := db.Querier(mint, maxt)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, q)
	opts := DumpOptions{Querier: q, Matchers: matchers, Format: format, Failed: func(err error) { fmt.Fprintln(&log, err) }}
	if err := Dump(t.Context(), &out, opts); err != nil {
		t.Fatal(err)
	}
	return out.String(), log.String()
}

func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestDump(t *testing.T) {
	dir, db := makeData(t)
	snapshot := t.TempDir()
	if err := db.Snapshot(t.Context(), filepath.Join(snapshot, "s"), true); err != nil {
		t.Fatal(err)
	}
	for _, format := range []Format{FormatProm, FormatSeriesJSON, FormatOpenMetrics} {
		before := contents(t, dir)
		got, said := dump(t, dir, format, -always, always)
		if said != "" {
			t.Errorf("%s: %s", format, said)
		}
		golden(t, "dump."+string(format), got)
		if after := contents(t, dir); after != before {
			t.Errorf("%s: files have changed from\n%s\nto\n%s", format, before, after)
		}
		inBlock, said := dump(t, filepath.Join(snapshot, "s"), format, -always, always)
		if said != "" || sorted(inBlock) != sorted(got) {
			t.Errorf("%s: a block with the same has\n%s\n%s", format, inBlock, said)
		}
	}
}

func TestDumpSelects(t *testing.T) {
	dir, db := makeData(t)
	up := "{__name__=\"up\", job=\"z\"} 0.1 2000\n{__name__=\"up\", job=\"z\"} NaN 3000\n"
	if got, _ := dump(t, dir, FormatProm, 2000, 3000, matcher("__name__", "up")); got != up {
		t.Error(got)
	}
	// Several selectors give each series once, in label order.
	got, _ := dump(t, dir, FormatSeriesJSON, -always, always, matcher("__name__", "up"), matcher("__name__", "[c-u].*"), matcher("__name__", "custom"))
	var names []string
	for line := range strings.Lines(got) {
		names = append(names, strings.Split(line, `"`)[3])
	}
	if want := []string{"custom", "esc", "mixed", "odd", "parts", "up", "utf8.name"}; !slices.Equal(names, want) {
		t.Error(names)
	}
	if err := db.Delete(t.Context(), 2000, 2000, matcher("__name__", "up|whole")...); err != nil {
		t.Fatal(err)
	}
	got, _ = dump(t, dir, FormatProm, 1500, 3000, matcher("__name__", "up|whole"))
	if n := strings.Count(got, "\n"); n != 2 || strings.Contains(got, " 2000\n") {
		t.Error(got)
	}
	if got, _ := dump(t, dir, FormatOpenMetrics, 0, 1, matcher("__name__", "up")); got != "# EOF\n" {
		t.Error(got)
	}
}

func TestDumpWriteFails(t *testing.T) {
	dir, _ := makeData(t)
	db, err := tsdb.OpenReadOnly(t.Context(), tsdb.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, db)
	q, err := db.Querier(-always, always)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, q)
	for _, format := range []Format{FormatProm, FormatSeriesJSON, FormatOpenMetrics} {
		err := Dump(t.Context(), broken{}, DumpOptions{Querier: q, Matchers: [][]*labels.Matcher{matcher("__name__", ".*")}, Format: format})
		if err == nil || !strings.Contains(err.Error(), "write dump: no room") {
			t.Error(format, err)
		}
	}
}

type broken struct{}
