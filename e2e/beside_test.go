//go:build e2e && linux

package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// settle is how long both servers may take to see a change: Prometheus passes changes on every five seconds at most, and
// both repeat a question that failed after up to 30 seconds.
const settle = 75 * time.Second

// pair is our server beside Prometheus 3, with the same configuration.
type pair struct {
	t            *testing.T
	ours, theirs *server
}

// startPair starts both servers in a place. Files that the configuration names relative to it are looked for in dir.
func startPair(t *testing.T, dir, config string, in place) *pair {
	t.Helper()
	path := built(t, "prometheus")
	p := &pair{t: t}
	p.ours = start(t, options{dir: dir, config: config, in: in})
	p.theirs = &server{t: t, dir: dir, config: filepath.Join(dir, "narthex.yml")} // where start puts it
	address := "127.0.0.1:" + freePort(t)
	p.theirs.process = in.launch(t, dir, path, "--config.file=narthex.yml", "--storage.tsdb.path="+t.TempDir(),
		"--web.listen-address="+address, "--web.enable-lifecycle", "--scrape.discovery-reload-interval=100ms")
	p.theirs.client = client{t: t, base: "http://" + address}
	p.theirs.awaitStatus("/-/ready", http.StatusOK, p.theirs.process)
	return p
}

// sdJob is a job with one discovery, as an entry of scrape_configs that scrapes hardly ever. Each line of section is a
// field of its entry. What was discovered becomes labels, so that no two targets count as one.
func sdJob(name, key, section string) string {
	return fmt.Sprintf("  - job_name: %s\n    scrape_interval: 1h\n    scrape_timeout: 1s\n"+
		"    relabel_configs: [{action: labelmap, regex: __meta_(.*)}]\n    %s_sd_configs:\n      - %s\n", name, key, strings.ReplaceAll(strings.TrimSpace(section), "\n", "\n        "))
}

// found is what a server discovered for a job: each target as lines, those of its labels before relabeling and those after it.
// The order is that of the labels.
func (c client) found(job string) []string {
	c.t.Helper()
	var all []string
	for _, t := range c.targets(job) {
		all = append(all, lines("", t.DiscoveredLabels)+lines("-> ", t.Labels))
	}
	slices.Sort(all)
	return all
}

// lines is a set of labels in order.
func lines(prefix string, labels map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, "%s%s=%q\n", prefix, k, labels[k])
	}
	return b.String()
}

// want waits until both servers have n targets for a job, each with the given text among its labels at least once, and the
// same labels for each.
func (p *pair) want(step, job string, n int, contains ...string) {
	p.t.Helper()
	eventually(p.t, settle, step+": targets of "+job, func() error {
		ours, theirs := p.ours.found(job), p.theirs.found(job)
		if len(theirs) != n {
			return fmt.Errorf("Prometheus has %d, not %d%s", len(theirs), n, difference(ours, theirs))
		}
		all := strings.Join(theirs, "\n")
		for _, c := range contains {
			if !strings.Contains(all, c) {
				return fmt.Errorf("Prometheus has none with %s:\n%s", c, all)
			}
		}
		if !slices.Equal(ours, theirs) {
			return fmt.Errorf("they differ%s", difference(ours, theirs))
		}
		return nil
	})
}

// wantAll is want for jobs with their number of targets.
func (p *pair) wantAll(step string, jobs map[string]int) {
	p.t.Helper()
	for _, job := range slices.Sorted(maps.Keys(jobs)) {
		p.want(step, job, jobs[job])
	}
}

// difference lists what only one of two has: of targets that are much the same, the labels that differ.
func difference(ours, theirs []string) string {
	gone := func(from, in []string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(one string) bool { return slices.Contains(in, one) })
	}
	ours, theirs = gone(ours, theirs), gone(theirs, ours)
	var b strings.Builder
	for _, one := range ours {
		mine := strings.Split(one, "\n")
		best, missing, extra := -1, mine, []string(nil)
		for i, other := range theirs {
			their := strings.Split(other, "\n")
			m, e := gone(their, mine), gone(mine, their)
			if mine[0] == their[0] && len(m)+len(e) < len(missing)+len(extra) {
				best, missing, extra = i, m, e
			}
		}
		if best < 0 {
			fmt.Fprintf(&b, "\n\nonly ours:\n%s", one)
			continue
		}
		fmt.Fprintf(&b, "\n\n%s\nours:       %q\nPrometheus: %q", mine[0], extra, missing)
		theirs = slices.Delete(theirs, best, best+1)
	}
	for _, one := range theirs {
		fmt.Fprintf(&b, "\n\nonly Prometheus:\n%s", one)
	}
	return b.String()
}
