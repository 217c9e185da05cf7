package tsdb

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/vfs/vfstest"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of the metamorphic test; zero takes a few")
	opsFlag  = flag.Int("ops", 50, "number of operations of the metamorphic test")
)

// TestMetamorphic runs the same random operations under different options, and compares with a plain model after each. Run
// it again with the seed that it prints: go test ./tsdb -run TestMetamorphic -seed 17 -ops 200.
func TestMetamorphic(t *testing.T) {
	seeds := []uint64{1, 763241, uint64(time.Now().UnixNano()) % 1_000_000}
	switch {
	case *seedFlag != 0:
		seeds = []uint64{*seedFlag}
	case thorough():
		for range 30 {
			seeds = append(seeds, rand.Uint64()%1_000_000)
		}
	case testing.Short():
		seeds = seeds[1:]
	}
	for name, change := range map[string]func(*Options){
		"plain":            func(*Options) {},
		"no merges":        func(o *Options) { o.MaxBlockDuration = o.MinBlockDuration },
		"overlaps stay":    func(o *Options) { o.KeepOverlaps = true },
		"start timestamps": func(o *Options) { o.StartTimestamps, o.XOR2 = true, true },
		"stale leave":      func(o *Options) { o.StaleSeriesThreshold = 0.2 },
		"all at once": func(o *Options) {
			o.StartTimestamps, o.StaleSeriesThreshold, o.WALCompression, o.WALSegmentSize = true, 0.2, CompressionNone, 32<<10
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, seed := range seeds {
				runMetamorphic(t, seed, *opsFlag, change)
			}
		})
	}
}

// world is a storage, what it should hold, and how it is being treated.
type world struct {
	t      *testing.T
	r      *rand.Rand
	change func(*Options)
	disk   *vfstest.Faulty
	dir    string
	db     *DB
	now    int64
	// want is by series and time: value and start timestamp as text.
	want map[string]map[int64]string
	// exemplars are those that were taken, by series and time.
	exemplars map[string]map[int64]float64
	// absent are series that are not appended to, so that memory forgets them.
	absent [metaSeries]bool
	done   []string
}

const metaSeries = 7

func metaLabels(i int) labels.Labels {
	return labels.FromStrings("__name__", "meta", "i", fmt.Sprint(i))
}

func runMetamorphic(t *testing.T, seed uint64, ops int, change func(*Options)) {
	t.Helper()
	w := &world{
		t: t, r: rand.New(rand.NewPCG(seed, 99)), change: change, disk: vfstest.New(), dir: t.TempDir(),
		want: map[string]map[int64]string{}, exemplars: map[string]map[int64]float64{},
	}
	w.db = w.open()
	all := []struct {
		name   string
		weight int
		do     func()
	}{
		{"append", 10, w.append},
		{"append late", 4, w.appendLate},
		{"end series", 2, w.endSeries},
		{"come and go", 2, w.comeAndGo},
		{"jump", 1, w.jump},
		{"delete", 2, w.delete},
		{"maintain", 4, func() { w.check(maintainIt(t, w.db)) }},
		{"map chunks", 2, func() { w.check(w.db.head.MapChunks(t.Context())) }},
		{"clean tombstones", 1, func() { w.check(w.db.CleanTombstones(t.Context())) }},
		{"snapshot", 1, w.snapshot},
		{"reopen", 2, w.reopen},
		{"crash", 2, w.crash},
		{"crash in maintenance", 2, w.crashInMaintenance},
		{"switch encoding", 1, func() { w.db.SetXOR2(w.r.IntN(2) == 0) }},
	}
	total := 0
	for _, op := range all {
		total += op.weight
	}
	for range ops {
		k, pick := 0, w.r.IntN(total)
		for pick >= all[k].weight {
			pick -= all[k].weight
			k++
		}
		w.done = append(w.done, all[k].name)
		all[k].do()
		w.compare(fmt.Sprintf("seed %d", seed), w.db)
		if t.Failed() {
			t.Fatalf("seed %d, after %s; blocks %s; run it again with -seed %d -ops %d", seed, strings.Join(w.done, ", "), ranges(w.db), seed, ops)
		}
	}
	w.check(w.db.Close())
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Errorf("%s: %v", w.done[len(w.done)-1], err)
	}
}

func (w *world) open() *DB {
	w.t.Helper()
	return openDB(w.t, w.dir, merging, func(o *Options) {
		o.FS, o.OutOfOrderWindow, o.MaxExemplars = w.disk, 2*o.MinBlockDuration, 10_000
		w.change(o)
	})
}

// entry makes a sample for a series: floats, integer and float histograms, some with start timestamps.
func (w *world) entry(i int, at int64) (e storage.Entry, text string) {
	n := 1 + w.r.IntN(1000)
	e = storage.Entry{Labels: metaLabels(i), T: at}
	text = fmt.Sprint(n)
	switch i {
	case 4:
		e.Histogram = &histogram.Histogram{Count: uint64(n), Sum: 1, PositiveSpans: []histogram.Span{{Offset: int32(n % 3), Length: 1}}, PositiveBuckets: []int64{int64(n)}}
	case 5:
		e.FloatHistogram = &histogram.FloatHistogram{Count: float64(n), Sum: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []float64{float64(n)}}
	default:
		e.V = float64(n)
	}
	if e.Histogram != nil || e.FloatHistogram != nil {
		text = "h" + text
	}
	if i%2 == 0 && w.r.IntN(5) > 0 {
		e.ST = at - at%(9*minute) + 1
		if w.db.opts.StartTimestamps {
			text += fmt.Sprintf("@%d", e.ST)
		}
	}
	if w.r.IntN(10) == 0 {
		e.Exemplars = []sample.Exemplar{{T: at, Value: float64(n), HasT: true}}
	}
	return e, text
}

// put appends a batch and notes what was taken.
func (w *world) put(entries []storage.Entry, texts []string) {
	w.t.Helper()
	app := w.db.Appender()
	out := make([]storage.Outcome, len(entries))
	if err := app.Append(w.t.Context(), entries, out); err != nil {
		w.t.Fatal(err)
	}
	if w.r.IntN(20) == 0 {
		w.check(app.Rollback())
		return
	}
	w.check(app.Commit(w.t.Context()))
	for k, e := range entries {
		switch {
		case errors.Is(out[k].Err, storage.ErrTooOld), errors.Is(out[k].Err, storage.ErrOutOfOrder), errors.Is(out[k].Err, storage.ErrOutOfBounds):
			continue
		case out[k].Err != nil:
			w.t.Errorf("%s at %d: %v", e.Labels, e.T, out[k].Err)
		}
		name := e.Labels.String()
		if w.want[name] == nil {
			w.want[name], w.exemplars[name] = map[int64]string{}, map[int64]float64{}
		}
		w.want[name][e.T] = texts[k]
		for _, x := range e.Exemplars {
			if out[k].ExemplarErr == nil {
				w.exemplars[name][x.T] = x.Value
			}
		}
	}
}

func (w *world) append() {
	for range 1 + w.r.IntN(25) {
		w.now += 5000 + w.r.Int64N(minute)
		var entries []storage.Entry
		var texts []string
		for i := range metaSeries {
			if !w.absent[i] && w.r.IntN(4) > 0 {
				e, text := w.entry(i, w.now)
				entries, texts = append(entries, e), append(texts, text)
			}
		}
		w.put(entries, texts)
	}
}

// appendLate appends samples at times at which there are none.
func (w *world) appendLate() {
	for range 1 + w.r.IntN(40) {
		i := w.r.IntN(metaSeries)
		at := w.now - w.r.Int64N(25*minute)
		name := metaLabels(i).String()
		_, there := w.want[name][at]
		if there || at < 0 {
			continue
		}
		e, text := w.entry(i, at)
		e.Exemplars = nil
		w.put([]storage.Entry{e}, []string{text})
	}
}

func (w *world) endSeries() {
	w.now += 5000
	for i := range metaSeries {
		if w.r.IntN(2) == 0 {
			w.put([]storage.Entry{{Labels: metaLabels(i), T: w.now, V: sample.StaleNaN()}}, []string{"stale"})
		}
	}
}

// comeAndGo lets some series stay away, and others come back: their references are new, while the log has the old ones.
func (w *world) comeAndGo() {
	for i := range w.absent {
		w.absent[i] = w.r.IntN(2) == 0
	}
}

// jump appends to one series, or to two, samples that are far ahead of all others.
func (w *world) jump() {
	w.now += 20*minute + w.r.Int64N(60*minute)
	for i := range 1 + w.r.IntN(2) {
		e, text := w.entry((i+len(w.done))%metaSeries, w.now)
		w.put([]storage.Entry{e}, []string{text})
	}
}

func (w *world) delete() {
	i := w.r.IntN(metaSeries)
	mint := w.r.Int64N(w.now + 1)
	maxt := mint + w.r.Int64N(w.now/4+1)
	name := metaLabels(i).String()
	w.check(w.db.Delete(w.t.Context(), mint, maxt, withI(fmt.Sprint(i))))
	maps.DeleteFunc(w.want[name], func(at int64, _ string) bool { return mint <= at && at <= maxt })
}

func (w *world) snapshot() {
	dir := filepath.Join(w.dir, "snapshots", fmt.Sprint(len(w.done)))
	w.check(w.db.Snapshot(w.t.Context(), dir, true))
	db := openDB(w.t, dir)
	w.compareSamples("the snapshot", db)
	w.check(errors.Join(db.Close(), os.RemoveAll(filepath.Dir(dir))))
}

func (w *world) reopen() {
	w.check(w.db.Close())
	w.db = w.open()
	w.forgetExemplars()
}

// crash goes on with the files as they lie there.
func (w *world) crash() {
	next := w.t.TempDir()
	if err := os.CopyFS(next, os.DirFS(w.dir)); err != nil {
		w.t.Fatal(err)
	}
	_ = w.db.Close() // Of no more interest.
	w.disk.Fail(nil)
	w.dir = next
	w.db = w.open()
	w.forgetExemplars()
}

// crashInMaintenance lets the disk fail from some operation on before that.
func (w *world) crashInMaintenance() {
	w.disk.Fail(vfstest.From(w.r.IntN(120), errIO))
	_ = maintainIt(w.t, w.db)
	w.crash()
}

// forgetExemplars drops those that a restart does not bring back: what is in blocks has none.
func (w *world) forgetExemplars() {
	for _, all := range w.exemplars {
		maps.DeleteFunc(all, func(at int64, _ float64) bool { return at < w.db.readHeadFrom() })
	}
}

func (w *world) compare(what string, db *DB) {
	w.t.Helper()
	w.compareSamples(what, db)
	found, err := db.Exemplars(w.t.Context(), math.MinInt64, math.MaxInt64, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "meta")})
	w.check(err)
	got := map[string]map[int64]float64{}
	for _, s := range found {
		if got[s.Labels.String()] == nil {
			got[s.Labels.String()] = map[int64]float64{}
		}
		for _, e := range s.Exemplars {
			got[s.Labels.String()][e.T] = e.Value
		}
	}
	for name, all := range w.exemplars {
		for at, v := range all {
			if g, ok := got[name][at]; !ok || g != v {
				w.t.Errorf("%s: the exemplar of %s at %d is %v, %v, not %v", what, name, at, g, ok, v)
			}
		}
	}
}

func (w *world) compareSamples(what string, db *DB) {
	w.t.Helper()
	mint, maxt := int64(math.MinInt64), int64(math.MaxInt64)
	if w.r.IntN(2) == 0 {
		mint = w.r.Int64N(w.now + 1)
		maxt = mint + w.r.Int64N(w.now+1)
	}
	got := w.dump(db, mint, maxt)
	var want strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.want)) {
		times := slices.DeleteFunc(slices.Sorted(maps.Keys(w.want[name])), func(at int64) bool { return at < mint || at > maxt })
		if len(times) == 0 {
			continue
		}
		want.WriteString(name)
		for _, at := range times {
			fmt.Fprintf(&want, " %d:%s", at, w.want[name][at])
		}
		want.WriteByte('\n')
	}
	if got != want.String() {
		w.t.Errorf("%s, [%d, %d]: %s", what, mint, maxt, difference(got, want.String()))
	}
}

// difference shows where two dumps part.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		a, b := strings.Fields(g[i]), strings.Fields(w[i])
		for k := range min(len(a), len(b)) {
			if a[k] != b[k] {
				return fmt.Sprintf("%s: got %v, want %v", b[:2], a[k:min(k+4, len(a))], b[k:min(k+4, len(b))])
			}
		}
		if len(a) != len(b) {
			n := min(len(a), len(b))
			return fmt.Sprintf("%s: got %v more, want %v more", w[i][:min(40, len(w[i]))], a[n:], b[n:])
		}
	}
	return fmt.Sprintf("got %d series, want %d", len(g), len(w))
}

func (w *world) dump(db *DB, mint, maxt int64) string {
	w.t.Helper()
	q, err := db.Querier(mint, maxt)
	if err != nil {
		w.t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	var lines []string
	latest := w.latest(q, mint, maxt)
	set := q.Select(w.t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "meta"))
	for set.Next() {
		var c storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			w.t.Fatal(r.Err())
		}
		if c.Len() == 0 {
			continue
		}
		var b strings.Builder
		b.WriteString(set.At().Labels().String())
		for k, at := range c.T {
			fmt.Fprintf(&b, " %d:%s", at, sampleText(&c, k))
		}
		if text := b.String(); !strings.HasSuffix(text, latest[set.At().Labels().String()]) {
			w.t.Fatalf("the latest sample is %q, all are %s", latest[set.At().Labels().String()], text)
		}
		lines = append(lines, b.String()+"\n")
	}
	if set.Err() != nil {
		w.t.Fatal(set.Err())
	}
	slices.SortFunc(lines, func(a, b string) int { return cmp.Compare(a[:strings.Index(a, "}")], b[:strings.Index(b, "}")]) })
	return strings.Join(lines, "")
}

// latest returns the latest sample of each series, read as those do who need no other.
func (w *world) latest(q storage.Querier, mint, maxt int64) map[string]string {
	w.t.Helper()
	found := map[string]string{}
	set := q.Select(w.t.Context(), true, &storage.SelectHints{Start: mint, End: maxt, Latest: true}, labels.MustNewMatcher(labels.MatchEqual, "__name__", "meta"))
	var r storage.ColumnReader
	for set.Next() {
		var c storage.Columns
		for r = set.At().Samples(r); r.Read(&c); {
			continue
		}
		text := " none"
		if n := c.Len(); n > 0 {
			text = fmt.Sprintf(" %d:%s", c.T[n-1], sampleText(&c, n-1))
		}
		found[set.At().Labels().String()] = text
	}
	return found
}

func sampleText(c *storage.Columns, k int) string {
	text := fmt.Sprint(c.F[k])
	if len(c.H) > 0 && c.H[k] != nil {
		if sample.IsStale(c.H[k].Sum) {
			return "stale"
		}
		text = "h" + fmt.Sprint(c.H[k].Count)
	} else if sample.IsStale(c.F[k]) {
		return "stale"
	}
	if len(c.ST) > 0 && c.ST[k] != 0 {
		text += fmt.Sprintf("@%d", c.ST[k])
	}
	return text
}
