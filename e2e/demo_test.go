//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo is the first five minutes with the server: start the demo, ask the first query, edit the targets, pull the
// plug, start again.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	address := "127.0.0.1:" + freePort(t) // The demo scrapes itself, so it has to know its port before.
	demo := startDemo(t, dir, address)

	demo.await(30*time.Second, "rate(node_cpu_seconds_total[1m])")
	for _, job := range []string{"narthex", "node", "files"} {
		demo.await(10*time.Second, fmt.Sprintf(`up{job=%q} == 1`, job))
	}

	// A change of the targets takes effect within 5 seconds, however the file is written.
	file := filepath.Join(dir, ".narthex", "demo", "targets", "example.yml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for team, edit := range map[string]func(*testing.T, string, string){"written": write, "renamed": replace} {
		edit(t, file, strings.Replace(string(text), "team: demo", "team: "+team, 1))
		eventually(t, 6*time.Second, "the target has the label team="+team, func() error {
			if got := demo.targets("files"); len(got) != 1 || got[0].Labels["team"] != team {
				return fmt.Errorf("the targets are %v", got)
			}
			return nil
		})
	}

	// What a query has returned survives the sudden end of the process.
	now := time.Now()
	before := demo.everything(now)
	demo.kill()
	demo = startDemo(t, dir, address)
	if n := wantKept(t, before, demo.everything(now)); n < 1000 {
		t.Errorf("only %d samples were compared", n)
	}
	demo.stopBy(syscall.SIGINT) // Ctrl-C
}

func startDemo(t *testing.T, dir, address string) *server {
	t.Helper()
	s := &server{t: t, process: launch(t, dir, narthex, "demo", "--web.listen-address="+address, "--log.level=info"), dir: dir}
	s.awaitReady()
	return s
}

// everything is all samples of the ten minutes before a time, by series.
func (c client) everything(at time.Time) map[string][]point {
	c.t.Helper()
	all := map[string][]point{}
	for _, s := range c.query(`{__name__=~".+"}[10m]`, at) {
		if _, twice := all[s.name()]; twice {
			c.t.Errorf("%s is there twice", s.name())
		}
		all[s.name()] = s.Values
	}
	return all
}

// wantKept checks that each sample of before is in after, once and with the same value, and counts them. There can be more: samples that
// were stored between the query and the end.
func wantKept(t *testing.T, before, after map[string][]point) (samples int) {
	t.Helper()
	for name, points := range before {
		kept := map[int64]point{}
		for i, p := range after[name] {
			if i > 0 && p.t <= after[name][i-1].t {
				t.Fatalf("%s: sample at %d after the one at %d", name, p.t, after[name][i-1].t)
			}
			kept[p.t] = p
		}
		for _, p := range points {
			if got, ok := kept[p.t]; !ok || !got.equals(p) {
				t.Fatalf("%s: sample %v has become %v, %v", name, p, got, ok)
			}
		}
		samples += len(points)
	}
	return samples
}
