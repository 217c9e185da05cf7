package scrape

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// TestAgainstModel scrapes bodies of random series, in random order and spelling, with failures of the target and of the
// storage and with changes of the rules in between, and compares what is stored with what a few maps say should be.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { againstModel(t, seed) })
	}
}

// truth is what should be stored: samples by series, and the series that have not ended.
type truth struct {
	lines map[string]string
	open  map[string]bool
}

func (m *truth) put(series string, round int, value string) {
	if m.lines[series] == "" {
		m.lines[series] = fmt.Sprintf(`m{instance="h:1", job="j", s="%s"}`, series)
	}
	m.lines[series] += fmt.Sprintf(" %d=%s", round, value)
}

// apply notes a round: present are the values by series, nil if the scrape failed.
func (m *truth) apply(round int, present map[string]string) {
	for s := range m.open {
		if present[s] == "" {
			m.put(s, round, "stale")
		}
	}
	m.open = map[string]bool{}
	for s, v := range present {
		m.open[s] = true
		m.put(s, round, v)
	}
}

func againstModel(t *testing.T, seed uint64) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, storagetest.NewStore(), nil)
	w.configure(oneTarget)
	l := w.m.pools["j"].active[0]
	s := l.pool.settings.Load()
	tg, _ := l.current()
	model := &truth{lines: map[string]string{}, open: map[string]bool{}}
	a := newAppender()
	population := 10 + rnd.IntN(300)
	for round := range 60 {
		if rnd.IntN(10) == 0 { // As a reload with other rules does.
			changed := *s
			rules := *s.rules
			changed.rules = &rules
			s = &changed
		}
		body, present := randomBody(rnd, population, round)
		var fetchErr error
		switch rnd.IntN(12) {
		case 0:
			fetchErr, present = errors.New("refused"), nil
		case 1:
			body, present = body+"broken", nil
		}
		full := round > 0 && rnd.IntN(8) == 0 // Times count from the first report.
		w.full.Store(full)
		a.body = bodyOf(body)
		var r report
		err := l.store(t.Context(), a, s, tg, "text/plain", fetchErr, &r, int64(round)*1000)
		if failed := err != nil; failed != (present == nil || full) {
			t.Fatalf("round %d: error %v", round, err)
		}
		if !full {
			model.apply(round, present)
		}
		a.release()
		checkCache(t, l.cache)
	}
	var want []string
	for _, line := range model.lines {
		want = append(want, line)
	}
	slices.Sort(want)
	got := w.dump(func(name string) bool { return name == "m" })
	slices.Sort(got)
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("got\n%s\nwant\n%s", got[i], want[i])
			}
		}
		t.Fatalf("%d series, want %d", len(got), len(want))
	}
}

// randomBody returns a body and its values. It keeps most of its order from round to round.
func randomBody(rnd *rand.Rand, population, round int) (string, map[string]string) {
	var b strings.Builder
	present := map[string]string{}
	order := make([]int, population)
	for i := range order {
		order[i] = i
	}
	if rnd.IntN(4) == 0 {
		rnd.Shuffle(population, func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	share := rnd.IntN(10)
	for _, i := range order {
		if rnd.IntN(10) < share {
			continue
		}
		spelling := []string{`m{s="%d"} %d`, `m{ s="%d" } %d`, `{"m",s="%d"} %d`}[rnd.IntN(60)/28]
		fmt.Fprintf(&b, spelling+"\n", i, round*1000+i)
		present[fmt.Sprint(i)] = fmt.Sprint(round*1000 + i)
	}
	return b.String(), present
}

// TestManyRounds checks that staleness outlives the numbers of rounds, over good scrapes and bad ones.
func TestManyRounds(t *testing.T) {
	c := newCache(&sampleRules{honorTimestamps: true}, exposition.Options{})
	for i := range uint64(4) {
		c.add(exposition.ID{Hash: i << 32, Size: 1}, false)
		c.entries[i].ref = storage.SeriesRef(i + 1)
	}
	seen := func(round, i int) bool { return i == 0 || round%(i+1) != 0 }
	good := false // The scrape before was.
	for round := range 2000 {
		var vanished, all []storage.SeriesRef
		c.begin()
		for i := range c.entries {
			if good && seen(round-1, i) {
				all = append(all, storage.SeriesRef(i+1))
			}
			if seen(round, i) {
				c.touch(i)
			} else if good && seen(round-1, i) {
				vanished = append(vanished, storage.SeriesRef(i+1))
			}
		}
		if got := c.vanished(false, nil); !slices.Equal(got, vanished) {
			t.Fatalf("round %d: %v have vanished, want %v", round, got, vanished)
		}
		if got := c.vanished(true, nil); !slices.Equal(got, all) {
			t.Fatalf("round %d: %v are to be ended, want %v", round, got, all)
		}
		if good = round%97 != 0; good {
			c.endGood()
		} else {
			c.endBad()
		}
	}
}

// checkCache checks that each entry can be found by its hash.
func checkCache(t *testing.T, c *cache) {
	t.Helper()
	if c == nil {
		return
	}
	for i := range c.entries {
		if got := c.find(c.entries[i].hash); got != i {
			t.Fatalf("entry %d is found as %d", i, got)
		}
		if int(c.entries[i].next) > len(c.entries) {
			t.Fatalf("entry %d is followed by %d of %d", i, c.entries[i].next, len(c.entries))
		}
	}
}

func TestMetadataIsForgotten(t *testing.T) {
	var m metadata
	scan := func(body string) {
		m.begin()
		var s exposition.Scanner
		s.Reset([]byte(body), exposition.Options{})
		for {
			kind, err := s.Next(exposition.ID{})
			if err != nil {
				t.Fatal(err)
			}
			if kind == exposition.End {
				break
			}
			if kind != exposition.Series {
				m.set(&s, kind)
			}
		}
		m.end()
	}
	scan("# HELP a Say \\\\ a.\n# TYPE a gauge\n# TYPE b counter\n")
	if got := m.list(); len(got) != 2 || got[0].Help != `Say \ a.` || got[1].Type != "counter" {
		t.Errorf("metadata %+v", got)
	}
	for range 20 {
		scan("# TYPE b counter\n")
	}
	if got := m.list(); len(got) != 1 || got[0].Metric != "b" {
		t.Errorf("metadata %+v", got)
	}
}

// TestCadence reloads once a second for a while and checks that a target never misses its moment.
func TestCadence(t *testing.T) {
	inWorld(t, oneTarget, func(w *world) {
		w.text("h:1", "a 1")
		for i := range 100 {
			changes := fmt.Sprintf("- job_name: other\n  sample_limit: %d\n  static_configs: [{targets: ['h:%d']}]\n", i, 2+i%3)
			if i%2 == 0 {
				changes += strings.Replace(oneTarget, "job_name: j", fmt.Sprintf("job_name: j\n  sample_limit: %d", 100+i), 1)
			} else {
				changes += oneTarget
			}
			w.configure(changes)
			w.wait(time.Second)
		}
		times := w.targets.times("h:1")
		if len(times) != 10 {
			w.Errorf("scraped at %v", times)
		}
		for i := 1; i < len(times); i++ {
			if d := times[i] - times[i-1]; d < 9.999 || d > 10.001 {
				w.Errorf("scraped at %v", times)
			}
		}
		lines := w.dump(func(name string) bool { return name == "a" })
		if len(lines) != 1 || strings.Contains(lines[0], "stale") {
			w.Errorf("series %v", lines)
		}
	})
}

func bodyOf(text string) *body { return &body{bytes: []byte(text)} }
