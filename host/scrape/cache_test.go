package scrape

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/storage/storagetest"
)

// TestCacheChangesNothing scrapes the same bodies with a cache and with one that knows no series before each scrape, and
// compares what is stored. There are enough rounds for them to be numbered anew, several times.
func TestCacheChangesNothing(t *testing.T) {
	const rounds, seeds = 600, 2
	for seed := range uint64(seeds) {
		kept, fresh := newCacheRun(t, seed), newCacheRun(t, seed)
		bodies := rand.New(rand.NewPCG(seed, 2))
		for round := range rounds {
			body, full := churningBody(bodies, round), round > 0 && bodies.IntN(20) == 0
			if bodies.IntN(12) == 0 {
				body += "m{broken"
			}
			if bodies.IntN(40) == 0 { // As a reload with other rules does.
				kept.reload()
				fresh.reload()
			}
			fresh.l.lostBatch()
			a, b := kept.scrape(body, round, full), fresh.scrape(body, round, full)
			if a != b {
				t.Fatalf("seed %d, round %d: %s with a cache, %s without", seed, round, a, b)
			}
			checkCache(t, kept.l.cache)
		}
		a, b := kept.stored(), fresh.stored()
		if len(a) < 50 || len(a) != len(b) {
			t.Fatalf("seed %d: %d series with a cache, %d without", seed, len(a), len(b))
		}
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("seed %d: with a cache\n%.5000s\nwithout\n%.5000s", seed, a[i], b[i])
			}
		}
	}
}

// cacheRun is a target that is scraped without a network.
type cacheRun struct {
	w *world
	l *loop
	s *settings
	a *appender
}

func newCacheRun(t *testing.T, seed uint64) *cacheRun {
	t.Helper()
	w := newWorld(t, storagetest.NewStore(), nil)
	config := oneTarget + "  metric_relabel_configs: [{source_labels: [s], regex: '.*7', action: drop}]\n"
	if seed%2 == 1 {
		config += "  track_timestamps_staleness: true\n"
	}
	w.configure(config)
	l := w.m.pools["j"].active[0]
	return &cacheRun{w: w, l: l, s: l.pool.settings.Load(), a: newAppender()}
}

func (c *cacheRun) reload() {
	changed, rules := *c.s, *c.s.rules
	changed.rules = &rules
	c.s = &changed
}

// scrape takes a body in and returns what is reported about it.
func (c *cacheRun) scrape(body string, round int, full bool) string {
	c.w.full.Store(full)
	c.a.body = bodyOf(body)
	defer c.a.release()
	tg, _ := c.l.current()
	var r report
	err := c.l.store(c.w.Context(), c.a, c.s, tg, "text/plain", nil, &r, int64(round)*1000)
	return fmt.Sprintf("%d samples, %d kept, error %v", r.scraped, r.kept, err)
}

func (c *cacheRun) stored() []string {
	lines := c.w.dump(func(name string) bool { return strings.HasPrefix(name, "m") })
	slices.Sort(lines)
	return lines
}

// churningBody is a body in which lines come, go, come twice, change places, spelling and length, and have timestamps.
func churningBody(rnd *rand.Rand, round int) string {
	var lines []string
	first, n := rnd.IntN(40), rnd.IntN(60)
	if rnd.IntN(3) > 0 {
		first, n = 10, 40
	}
	for i := first; i < first+n; i++ {
		name := fmt.Sprintf([]string{"m%d", "m{s=\"%d\"}", "{\"m\",s=\"%d\"}", "mm{ s=\"%d\" }", "m{s=\"%d\",}", "m{s=\"}%d\"}"}[i%6], i/2)
		if rnd.IntN(50) == 0 {
			name = fmt.Sprintf("m{ s=\"%d\" }", i/2)
		}
		line := fmt.Sprintf("%s %d", name, rnd.IntN(1000))
		if rnd.IntN(15) == 0 {
			line += fmt.Sprintf(" %d", rnd.IntN((round+1)*1000+500))
		}
		lines = append(lines, line)
		if rnd.IntN(20) == 0 {
			lines = append(lines, fmt.Sprintf("%s %d", name, rnd.IntN(1000)))
		}
	}
	if rnd.IntN(6) == 0 {
		rnd.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	}
	return strings.Join(lines, "\n") + "\n"
}
