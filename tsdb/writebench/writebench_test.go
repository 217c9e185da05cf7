package writebench

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "series.json")
	text := `{"__name__":"a","i":"172.0.0.1:80"}` + "\n" + `{"__name__":"a"}` + "\n" + `{"i":"172.0.0.1:80","__name__":"a"}` + "\n" + `{"__name__":"b"}` + "\n" + `{"__name__":"c"}` + "\n"
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	var report strings.Builder
	opts := Options{SeriesFile: file, OutDir: filepath.Join(dir, "out"), Series: 3, Scrapes: 130, Report: &report}
	for range 2 { // The second replaces the first.
		if err := Run(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(report.String(), " > total samples: 390\n > samples/sec: ") || strings.Count(report.String(), ">> completed stage=stopStorage") != 2 {
		t.Error(report.String())
	}
	for _, name := range []string{"cpu.prof", "mem.prof", "block.prof", "mutex.prof"} {
		if info, err := os.Stat(filepath.Join(opts.OutDir, name)); err != nil || info.Size() == 0 {
			t.Error(name, err)
		}
	}
	db, err := tsdb.OpenReadOnly(t.Context(), tsdb.Options{Dir: filepath.Join(opts.OutDir, "storage")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	q, err := db.Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
	n := 0
	for ; set.Next(); n++ {
		var c storage.Columns
		for r := set.At().Samples(nil); r.Read(&c); {
		}
		if c.Len() != 130 || c.T[129] != 130*scrapeStep || c.F[129] != firstValue+130*valueStep {
			t.Error(set.At().Labels(), c.Len())
		}
	}
	if n != 3 || set.Err() != nil {
		t.Error(n, set.Err())
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "series.json")
	check := func(text, want string, opts Options) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		opts.Report = &strings.Builder{}
		if err := Run(t.Context(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	ok := Options{SeriesFile: file, OutDir: filepath.Join(dir, "out"), Series: 1, Scrapes: 1}
	check("{}\n", "has no series", ok)
	check("{\"a\":\"b\"}\n{", "", Options{})
	check("{}\n[]\n", "series.json:2: expected the labels of a series", ok)
	other := ok
	other.OutDir = dir
	check(`{"a":"b"}`, "has other things than those of an earlier run, such as series.json", other)
	other = ok
	other.SeriesFile = filepath.Join(dir, "none")
	check("", "dump --format=seriesjson", other)
}
