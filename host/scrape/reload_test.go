package scrape

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/model/labels"
)

func TestReload(t *testing.T) {
	t.Run("unchanged job is not touched", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1")
			w.firstScrapes(1)
			before := w.m.pools["j"].settings.Load()
			w.wait(5 * time.Second)
			w.configure("- job_name: new\n\n" + oneTarget)
			w.firstScrapes(2)
			w.expect("a", `a{instance="h:1", job="j"} 0=1 10=1 20=1`)
			w.expect("scrape_series_added", `scrape_series_added{instance="h:1", job="j"} 0=1 10=0 20=0`)
			if w.m.pools["j"].settings.Load() != before {
				w.Error("the settings were replaced")
			}
		})
	})
	t.Run("changed job keeps its cadence", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1;b 1;c 1")
			w.firstScrapes(1)
			w.wait(5 * time.Second)
			w.configure(oneTarget + "  metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}, {source_labels: [__name__], regex: c, target_label: x, replacement: '1'}]\n")
			w.firstScrapes(1)
			w.expect("a", `a{instance="h:1", job="j"} 0=1 10=1`)
			w.expect("b", `b{instance="h:1", job="j"} 0=1 10=stale`)
			w.expect("c", `c{instance="h:1", job="j"} 0=1 10=stale`, `c{instance="h:1", job="j", x="1"} 10=1`)
			w.configure(oneTarget)
			w.firstScrapes(1)
			w.expect("c", `c{instance="h:1", job="j"} 0=1 10=stale 20=1`, `c{instance="h:1", job="j", x="1"} 10=1 20=stale`)
		})
	})
	t.Run("other interval", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1")
			w.firstScrapes(1)
			w.configure(strings.Replace(oneTarget, "job_name: j", "job_name: j\n  scrape_interval: 5s", 1))
			w.wait(10 * time.Second)
			lines := w.dump(func(name string) bool { return name == "a" })
			if len(lines) != 1 || strings.Contains(lines[0], "stale") || strings.Count(lines[0], "=1 ")+strings.Count(lines[0], "=1") < 3 {
				w.Errorf("series %v", lines)
			}
			times := w.targets.times("h:1")
			if last := len(times) - 1; math.Abs(times[last]-times[last-1]-5) > 1e-6 {
				w.Errorf("scraped at %v", times)
			}
		})
	})
	t.Run("scrape under way is finished", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			release := make(chan struct{})
			w.serve("h:1", func(r *http.Request) (*http.Response, error) {
				select {
				case <-release:
					return answer("text/plain", "a 1\n"), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})
			w.firstScrapes(1)
			w.configure("- job_name: other\n")
			w.wait(time.Second)
			close(release)
			synctest.Wait()
			w.expect("a", `a{instance="h:1", job="j"} 0=1`)
		})
	})
	t.Run("bad change changes nothing", func(t *testing.T) {
		inWorld(t, oneTarget, func(w *world) {
			w.text("h:1", "a 1")
			w.firstScrapes(1)
			cfgs := parseConfigs(w.T, oneTarget+"- job_name: k\n")
			cfgs[1].JobName = "j"
			if _, err := w.m.Prepare(cfgs, w.onlyTarget().Labels, nil); err == nil || err.Error() != `job "j": given twice` {
				w.Errorf("error %v", err)
			}
			w.firstScrapes(1)
			w.expect("a", `a{instance="h:1", job="j"} 0=1 10=1`)
		})
	})
}

func TestAlignment(t *testing.T) {
	base := time.UnixMilli(1_000_000)
	same := func(late, interval time.Duration, want time.Time) {
		t.Helper()
		if got := alignedTime(base, base.Add(late), interval, 2*time.Millisecond); !got.Equal(want) {
			t.Errorf("late by %s: got %v, want %v", late, got, want)
		}
	}
	same(0, time.Second, base)
	same(2*time.Millisecond, time.Second, base)
	same(-2*time.Millisecond, time.Second, base)
	same(3*time.Millisecond, time.Second, base.Add(3*time.Millisecond))
	same(2*time.Millisecond, 100*time.Millisecond, base.Add(2*time.Millisecond)) // At most 1 % of the interval.
}

// TestOffset checks the moment in the interval, which must not depend on when the server starts.
func TestOffset(t *testing.T) {
	tg := &target{interval: 15 * time.Second, hash: 0xdeadbeef12345678}
	at := func(now time.Time, seed uint64) time.Duration {
		return time.Duration(now.Add(tg.offset(now, seed)).UnixNano() % int64(tg.interval))
	}
	want := time.Duration(tg.hash % uint64(tg.interval))
	for _, now := range []time.Time{time.Unix(0, 0), time.Unix(1_700_000_000, 12345), time.Unix(1_800_000_007, 999)} {
		if got := at(now, 0); got != want {
			t.Errorf("at %v: %s into the interval, want %s", now, got, want)
		}
		if d := tg.offset(now, 0); d < 0 || d >= tg.interval {
			t.Errorf("at %v: offset %s", now, d)
		}
	}
	if at(time.Unix(0, 0), 1) == want {
		t.Error("the seed makes no difference")
	}
}

// TestOffsetIsUpstreams checks the seed and the moment against those of Prometheus 3.14 for the same target, external
// labels and host name: it was seen to scrape 1.137 s into each interval of 2 s.
func TestOffsetIsUpstreams(t *testing.T) {
	cfg := parseConfigs(t, "- job_name: j\n  scrape_interval: 2s\n  static_configs: [{targets: ['127.0.0.1:18123']}]\n")[0]
	tg := makeTargets(cfg, cfg.Discovery.Groups()).active[0]
	seed := offsetSeed("localhost", labels.FromStrings("a", "b"))
	if seed != 1005488410276533468 {
		t.Errorf("seed %d", seed)
	}
	if got := tg.offset(time.Unix(0, 0), seed).Truncate(time.Millisecond); got != 1137*time.Millisecond {
		t.Errorf("%s into the interval", got)
	}
}
