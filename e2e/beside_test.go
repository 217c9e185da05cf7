//go:build e2e && linux

package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
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
	file := filepath.Join(dir, "narthex.yml") // where start puts it
	p.ours = start(t, options{dir: dir, config: config, in: in})
	p.theirs = &server{t: t, dir: dir, config: file}
	address := "127.0.0.1:" + freePort(t)
	p.theirs.process = in.launch(t, dir, path, "--config.file="+file, "--storage.tsdb.path="+t.TempDir(),
		"--web.listen-address="+address, "--web.enable-lifecycle", "--scrape.discovery-reload-interval=100ms")
	p.theirs.client = client{t: t, base: "http://" + address}
	p.theirs.awaitStatus("/-/ready", http.StatusOK, p.theirs.process)
	return p
}

// sdJob is a job with one discovery, as an entry of scrape_configs that scrapes hardly ever. Each line of section is a
// field of its entry.
func sdJob(name, key, section string) string {
	return fmt.Sprintf("  - job_name: %s\n    scrape_interval: 1h\n    scrape_timeout: 1s\n    %s_sd_configs:\n      - %s\n",
		name, key, strings.ReplaceAll(strings.TrimSpace(section), "\n", "\n        "))
}

// found is what a server discovered for a job: each target, kept or dropped, as its labels before relabeling, and those after
// it if it was kept. The order is that of the labels.
func (c client) found(job string) []string {
	c.t.Helper()
	var data struct {
		ActiveTargets, DroppedTargets []target
	}
	c.get("/targets", url.Values{"scrapePool": {job}}, &data)
	var all []string
	for _, t := range data.ActiveTargets {
		all = append(all, text(t.DiscoveredLabels)+" -> "+text(t.Labels))
	}
	for _, t := range data.DroppedTargets {
		if pool := cmpPool(t, job); pool == job {
			all = append(all, text(t.DiscoveredLabels)+" dropped")
		}
	}
	slices.Sort(all)
	return all
}

// cmpPool is the job of a dropped target, of which Prometheus says only the labels.
func cmpPool(t target, job string) string {
	if t.ScrapePool != "" {
		return t.ScrapePool
	}
	if t.DiscoveredLabels["job"] != "" {
		return t.DiscoveredLabels["job"]
	}
	return job
}

// text is a set of labels in order.
func text(labels map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, " %s=%q", k, labels[k])
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

// difference lists what only one of two has. Where both have a target at the same address, it says which labels differ.
func difference(ours, theirs []string) string {
	var b strings.Builder
	list := func(who string, all, others []string) {
		for _, one := range all {
			if !slices.Contains(others, one) {
				fmt.Fprintf(&b, "\n%s: %s", who, one)
			}
		}
	}
	list("ours only", ours, theirs)
	list("Prometheus only", theirs, ours)
	return b.String()
}
