package tsdb

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/vfs/vfstest"
)

var update = flag.Bool("update", false, "rewrite golden files")

// damagedWidth is the number of series in the directory that is damaged, of which each has a sample every ten seconds.
const damagedWidth = 40

// damage is one thing that happens to a data directory.
type damage struct {
	name string
	// hurt does it.
	hurt func(t *testing.T, d *hurtDir)
	// full leaves no space on the disk.
	full bool
}

// hurtDir is a directory on its way to be damaged.
type hurtDir struct {
	dir string
	// blocks are the blocks' folders, in the order of time.
	blocks []string
}

func (d *hurtDir) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

// edit changes the content of a file.
func (d *hurtDir) edit(t *testing.T, name string, f func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d *hurtDir) remove(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Lstat(name); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

// segments returns the segments of the log that hold something.
func (d *hurtDir) segments(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(d.path(dir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !e.IsDir() && info.Size() > 0 {
			names = append(names, d.path(dir, e.Name()))
		}
	}
	return names
}

// flip turns a bit of the byte at a share of the file.
func flip(share float64) func(b []byte) []byte {
	return func(b []byte) []byte {
		b[int(share*float64(len(b)-1))] ^= 4
		return b
	}
}

func cut(share float64) func(b []byte) []byte {
	return func(b []byte) []byte { return b[:int(share*float64(len(b)))] }
}

// zero overwrites part of a file.
func zero(from, to float64) func(b []byte) []byte {
	return func(b []byte) []byte {
		clear(b[int(from*float64(len(b))):int(to*float64(len(b)))])
		return b
	}
}

func damages() []damage {
	block := func(file string, f func(b []byte) []byte) func(t *testing.T, d *hurtDir) {
		return func(t *testing.T, d *hurtDir) {
			t.Helper()
			d.edit(t, filepath.Join(d.blocks[1], file), f)
		}
	}
	segment := func(dir string, at int, f func(b []byte) []byte) func(t *testing.T, d *hurtDir) {
		return func(t *testing.T, d *hurtDir) {
			t.Helper()
			d.edit(t, d.segments(t, dir)[at], f)
		}
	}
	return []damage{
		{name: "nothing", hurt: func(*testing.T, *hurtDir) {}},

		{name: "index cut in half", hurt: block("index", cut(0.5))},
		{name: "index with a flipped bit in its table of contents", hurt: block("index", flip(0.999))},
		{name: "index with a flipped bit in a series", hurt: block("index", flip(0.4))},
		{name: "index missing", hurt: func(t *testing.T, d *hurtDir) { t.Helper(); d.remove(t, filepath.Join(d.blocks[1], "index")) }},
		{name: "chunk segment with a damaged header", hurt: block("chunks/000001", flip(0))},
		{name: "chunk segment with a flipped bit in a chunk", hurt: block("chunks/000001", flip(0.5))},
		{name: "chunk segment cut in half", hurt: block("chunks/000001", cut(0.5))},
		{name: "chunk segment missing", hurt: func(t *testing.T, d *hurtDir) {
			t.Helper()
			d.remove(t, filepath.Join(d.blocks[1], "chunks", "000001"))
		}},
		{name: "tombstones with a flipped bit", hurt: block("tombstones", flip(0.9))},
		{name: "tombstones missing", hurt: func(t *testing.T, d *hurtDir) { t.Helper(); d.remove(t, filepath.Join(d.blocks[1], "tombstones")) }},
		{name: "meta.json empty", hurt: block("meta.json", cut(0))},
		{name: "meta.json cut in half", hurt: block("meta.json", cut(0.5))},
		{name: "meta.json missing", hurt: func(t *testing.T, d *hurtDir) { t.Helper(); d.remove(t, filepath.Join(d.blocks[1], "meta.json")) }},
		{name: "a copy of a block under another name", hurt: func(t *testing.T, d *hurtDir) {
			t.Helper()
			if err := os.CopyFS(d.path("01M7Y0THABSC9MPTD9AEBHJG7C"), os.DirFS(d.blocks[1])); err != nil {
				t.Fatal(err)
			}
		}},

		{name: "log with a flipped bit", hurt: segment("wal", 4, flip(0.5))},
		{name: "log with a zeroed page", hurt: segment("wal", 4, zero(0, 1))},
		{name: "log with a zeroed part of a page", hurt: segment("wal", 4, zero(0.4, 0.6))},
		{name: "log with a torn end", hurt: func(t *testing.T, d *hurtDir) {
			t.Helper()
			all := d.segments(t, "wal")
			d.edit(t, all[len(all)-1], func(b []byte) []byte { return b[:len(b)-5] })
		}},
		{name: "log with rubbish at its end", hurt: func(t *testing.T, d *hurtDir) {
			t.Helper()
			all := d.segments(t, "wal")
			d.edit(t, all[len(all)-1], func(b []byte) []byte { return append(b, "rubbish that is no record"...) })
		}},
		{name: "log without a segment", hurt: func(t *testing.T, d *hurtDir) { t.Helper(); d.remove(t, d.segments(t, "wal")[4]) }},
		{name: "log without its checkpoint", hurt: func(t *testing.T, d *hurtDir) { t.Helper(); d.remove(t, d.checkpoint(t)) }},
		{name: "checkpoint with a flipped bit", hurt: func(t *testing.T, d *hurtDir) {
			t.Helper()
			d.edit(t, filepath.Join(d.checkpoint(t), "00000000"), flip(0.2))
		}},
		{name: "log of samples out of order with a flipped bit", hurt: segment("wbl", 0, flip(0.5))},
		{name: "log of samples out of order missing", hurt: func(t *testing.T, d *hurtDir) { t.Helper(); d.remove(t, d.path("wbl")) }},
		{name: "the whole log missing", hurt: func(t *testing.T, d *hurtDir) { t.Helper(); d.remove(t, d.path("wal")) }},

		{name: "a file of head chunks with a flipped bit", hurt: segment("chunks_head", 0, flip(0.3))},
		{name: "a file of head chunks cut in half", hurt: segment("chunks_head", 0, cut(0.5))},
		{name: "a file of head chunks missing", hurt: func(t *testing.T, d *hurtDir) { t.Helper(); d.remove(t, d.segments(t, "chunks_head")[0]) }},

		{name: "leftovers of an interrupted run", hurt: func(t *testing.T, d *hurtDir) {
			t.Helper()
			for _, name := range []string{"01M7Y0THABSC9MPTD9AEBHJG7C.tmp-for-creation", "01M7Y0THABSC9MPTD9AEBHJG7C.tmp-for-deletion", "wal/checkpoint.00000009.tmp"} {
				if err := os.MkdirAll(d.path(name, "chunks"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{name: "no space on the disk", full: true, hurt: func(*testing.T, *hurtDir) {}},
	}
}

func (d *hurtDir) checkpoint(t *testing.T) string {
	t.Helper()
	all, err := filepath.Glob(d.path("wal", "checkpoint.*"))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0]
}

func damageOptions(o *Options) {
	o.WALSegmentSize, o.WALCompression, o.OutOfOrderWindow = 32<<10, CompressionNone, 20*time.Minute
}

// makeDamaged makes the directory: three blocks, of which one has a deletion, a checkpoint, segments of the log, samples
// out of order, and complete head chunks.
func makeDamaged(t *testing.T, dir string) {
	t.Helper()
	reopen := func(db *DB) *DB { // Begins a segment of the log.
		t.Helper()
		if db != nil {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return openDB(t, dir, damageOptions)
	}
	db := reopen(nil)
	for from := int64(0); from < 36*minute; from += 4 * minute {
		fill(t, db, from, from+4*minute, damagedWidth)
		db = reopen(db)
	}
	fillLate(t, db, 36*minute)
	maintain(t, db)
	if err := db.Delete(t.Context(), 12*minute, 13*minute, withI("3")); err != nil {
		t.Fatal(err)
	}
	for from := int64(36 * minute); from < 44*minute; from += 2 * minute {
		fill(t, db, from, from+2*minute, damagedWidth)
		db = reopen(db)
	}
	if err := db.head.MapChunks(t.Context()); err != nil {
		t.Fatal(err)
	}
	fillLate(t, db, 43*minute)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamage damages a data directory in all ways that the list above has, one at a time, opens it, and compares what is
// lost and what the log says with testdata/damage.txt. In each case the storage opens, takes samples, and loses nothing
// more later.
func TestDamage(t *testing.T) {
	whole := t.TempDir()
	makeDamaged(t, whole)
	db := openDB(t, whole, damageOptions)
	want := readAll(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, d := range damages() {
		fmt.Fprintf(&out, "=== %s\n%s\n", d.name, tryDamage(t, d, whole, want))
	}
	compareGolden(t, filepath.Join("testdata", "damage.txt"), out.String())
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil { //nolint:gosec // a golden file
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	cases := func(text string) map[string]string {
		all := map[string]string{}
		for part := range strings.SplitSeq(text, "=== ") {
			title, body, _ := strings.Cut(part, "\n")
			all[title] = body
		}
		return all
	}
	wants := cases(string(want))
	for title, body := range cases(got) {
		if body != wants[title] {
			t.Errorf("%s: got\n%s\nwant\n%s", title, body, wants[title])
		}
		delete(wants, title)
	}
	for title := range wants {
		t.Errorf("there is no case %q any more", title)
	}
}

func tryDamage(t *testing.T, d damage, whole string, want map[string]map[int64]float64) string {
	t.Helper()
	h := &hurtDir{dir: t.TempDir()}
	if err := os.CopyFS(h.dir, os.DirFS(whole)); err != nil {
		t.Fatal(err)
	}
	var names map[string]string
	h.blocks, names = blocksByTime(t, h.dir)
	d.hurt(t, h)
	var log logText
	disk := vfstest.New()
	if d.full {
		disk.Fail(vfstest.FullDisk)
	}
	reg := prometheus.NewRegistry()
	open := func(reg prometheus.Registerer, log *logText) *DB {
		return openDB(t, h.dir, damageOptions, func(o *Options) {
			o.FS, o.Registerer = disk, reg
			o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		})
	}
	db := open(reg, &log)
	got, failed := tryAll(db)
	text := lost(want, got)
	for k, err := range failed {
		if k == 2 {
			text += fmt.Sprintf("query: %d more errors\n", len(failed)-k)
			break
		}
		text += "query: " + err + "\n"
	}
	text += counters(t, reg) + logLines(log.String())
	if d.full {
		text += "append: " + tryAppend(t, db) + "\n"
		disk.Fail(nil)
	}
	// It takes samples, and loses nothing more.
	if err := tryAppend(t, db); err != "" {
		t.Errorf("%s: appending: %s", d.name, err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("%s: %v", d.name, err)
	}
	db = open(prometheus.NewRegistry(), &logText{})
	again, _ := tryAll(db)
	delete(again, series(999).String())
	if diff := lost(got, again); diff != "lost: nothing\n" {
		t.Errorf("%s: after another restart: %s", d.name, diff)
	}
	if err := db.Close(); err != nil {
		t.Errorf("%s: %v", d.name, err)
	}
	text = strings.ReplaceAll(text, h.dir, "DIR")
	for from, to := range names {
		text = strings.ReplaceAll(text, from, to)
	}
	text = regexp.MustCompile(`(offset[= ]|bytes=)\d+`).ReplaceAllString(text, "${1}N")
	text = regexp.MustCompile(`checksum is \w+, should be \w+`).ReplaceAllString(text, "checksum is X, should be Y")
	return regexp.MustCompile(`\d+ bytes`).ReplaceAllString(text, "N bytes")
}

// blocksByTime returns the folders of the blocks, and names for them that stay the same from run to run.
func blocksByTime(t *testing.T, dir string) (folders []string, names map[string]string) {
	t.Helper()
	type found struct {
		dir  string
		from int64
	}
	var all []found
	metas, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	names = map[string]string{}
	for _, name := range metas {
		b, err := os.ReadFile(name)
		var m BlockMeta
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Compaction.Partial() {
			continue
		}
		all = append(all, found{filepath.Dir(name), m.MinTime})
		names[filepath.Base(filepath.Dir(name))] = fmt.Sprintf("BLOCK-%d-%d", m.MinTime/minute, m.MaxTime/minute)
		names[formatTime(int64(m.ULID.Time()))] = "TIME"
	}
	slices.SortFunc(all, func(a, b found) int { return int(a.from - b.from) })
	for _, f := range all {
		folders = append(folders, f.dir)
	}
	return folders, names
}

// readAll returns all samples by series and time.
func readAll(t *testing.T, db *DB) map[string]map[int64]float64 {
	t.Helper()
	all, failed := tryAll(db)
	if len(failed) > 0 {
		t.Fatal(failed)
	}
	return all
}

// tryAll reads the series one by one, in ranges of ten minutes, and goes on after errors, which it returns.
func tryAll(db *DB) (map[string]map[int64]float64, []string) {
	all := map[string]map[int64]float64{}
	var failed []string
	for i := range damagedWidth + 1000 {
		if i >= damagedWidth && i != 999 {
			continue
		}
		for from := int64(-10 * minute); from < 100*minute; from += 10 * minute {
			if err := tryRange(db, i, from, from+10*minute-1, all); err != nil && !slices.Contains(failed, err.Error()) {
				failed = append(failed, err.Error())
			}
		}
	}
	return all, failed
}

func tryRange(db *DB, i int, mint, maxt int64, all map[string]map[int64]float64) error {
	q, err := db.Querier(mint, maxt)
	if err != nil {
		return err
	}
	defer q.Close() //nolint:errcheck // a test's reader
	set := q.Select(context.Background(), true, nil, withI(strconv.Itoa(i)))
	for set.Next() {
		var c storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			return r.Err()
		}
		name := set.At().Labels().String()
		if all[name] == nil {
			all[name] = map[int64]float64{}
		}
		for k, at := range c.T {
			all[name][at] = c.F[k]
		}
	}
	return set.Err()
}

// lost says what is missing, and what is there that should not be.
func lost(want, got map[string]map[int64]float64) string {
	n, first, last := 0, int64(math.MaxInt64), int64(math.MinInt64)
	names, wrong := map[string]bool{}, 0
	for name, samples := range want {
		for at, v := range samples {
			if g, ok := got[name][at]; ok {
				if g != v {
					wrong++
				}
				continue
			}
			n++
			names[name] = true
			first, last = min(first, at), max(last, at)
		}
	}
	text := "lost: nothing\n"
	if n > 0 {
		text = fmt.Sprintf("lost: %d samples of %d series from %v to %v\n", n, len(names), time.Duration(first)*time.Millisecond, time.Duration(last)*time.Millisecond)
	}
	for name, samples := range got {
		for at := range samples {
			if _, ok := want[name][at]; !ok {
				wrong++
			}
		}
	}
	if wrong > 0 {
		text += fmt.Sprintf("WRONG: %d samples\n", wrong)
	}
	return text
}

// counters returns the metrics about damage that are not zero.
func counters(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		switch name := f.GetName(); {
		case !strings.Contains(name, "corruptions") && !strings.Contains(name, "left_out") && !strings.Contains(name, "unknown_refs"):
		case len(f.GetMetric()) == 1:
			m := f.GetMetric()[0]
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				fmt.Fprintf(&text, "%s %v\n", name, v)
			}
		}
	}
	return text.String()
}

// logLines returns the lines about damage.
func logLines(log string) string {
	var text strings.Builder
	for line := range strings.Lines(log) {
		_, line, _ = strings.Cut(line, " ")
		if !strings.HasPrefix(line, "level=INFO") || strings.Contains(line, "Cut off") || strings.Contains(line, "Removing") {
			text.WriteString(line)
		}
	}
	return text.String()
}

func tryAppend(t *testing.T, db *DB) string {
	t.Helper()
	app := db.Appender()
	out := make([]storage.Outcome, 1)
	err := app.Append(t.Context(), []storage.Entry{{Labels: series(999), T: 45 * minute, V: 1}}, out)
	if err == nil {
		err = out[0].Err
	}
	if cerr := app.Commit(t.Context()); err == nil {
		err = cerr
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// TestLockHeldIsNamed is the last of the cases: the error names directory and process.
func TestLockHeldIsNamed(t *testing.T) {
	dir := t.TempDir()
	openDB(t, dir)
	_, err := Open(t.Context(), Options{Dir: dir})
	if want := fmt.Sprintf("data directory %s is in use by another process (pid %d)", dir, os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("opening says %v", err)
	}
}
