//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// watches counts the watches that are open at the API server, its own included.
func (c *kubeCluster) watches() int {
	c.t.Helper()
	n := 0
	for line := range strings.Lines(c.do(http.MethodGet, "/metrics", "", "")) {
		if !strings.HasPrefix(line, "apiserver_longrunning_requests{") || !strings.Contains(line, `verb="WATCH"`) {
			continue
		}
		fields := strings.Fields(line)
		v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			c.t.Fatalf("%q: %v", line, err)
		}
		n += int(v)
	}
	return n
}

// plain is how many watches there are when nobody looks: that number has to stay the same for a while.
func (c *kubeCluster) plain() int {
	c.t.Helper()
	n, since := c.watches(), time.Now()
	eventually(c.t, time.Minute, "the API server settles", func() error {
		if now := c.watches(); now != n {
			n, since = now, time.Now()
		}
		if time.Since(since) < 3*time.Second {
			return fmt.Errorf("%d watches", n)
		}
		return nil
	})
	return n
}

// kubeRoles are the sections of the test, for as many jobs as there have to be.
var kubeRoles = []string{"node", "pod", "service", "endpoints", "endpointslice", "ingress"}

// sharedJobs returns n jobs of different sections, the roles in turn, each with everything attached.
func sharedJobs(n int, api string) (config string) {
	for i := range n {
		config += sdJob(fmt.Sprintf("job-%d", i), "kubernetes", fmt.Sprintf(
			"%srole: %s\nattach_metadata: {node: true, namespace: true, deployment: true, job: true, cronjob: true}\nselectors: [{role: %[2]s, label: 'absent-%d!=x'}]",
			api, kubeRoles[i%len(kubeRoles)], i/len(kubeRoles)/2))
	}
	return config
}

// TestKubernetesShared: many sections cost one process, and one watch for each thing that they want to know, and they come and go
// without a word to each other.
func TestKubernetesShared(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.apply(documents(t, "cluster.yaml"))
	api := fmt.Sprintf("api_server: %s\ntls_config: {ca_file: %s}\nauthorization: {credentials: %s}\n", c.base, filepath.Join(c.dir, "ca.pem"), adminToken)
	plain := c.plain()
	kubelets := newRecorder(t)
	const interval = 500 * time.Millisecond
	steady := "scrape_configs:\n" + strings.Replace(strings.Replace(sdJob("steady", "kubernetes", api+"role: node"), "1h", interval.String(), 1),
		"[{action: labelmap, regex: __meta_(.*)}]",
		"[{source_labels: [__meta_kubernetes_node_name], regex: n1, action: keep}, {target_label: __address__, replacement: '"+kubelets.address+"'}]", 1)
	steady = strings.Replace(steady, "scrape_timeout: 1s", "scrape_timeout: 500ms", 1)
	s := start(t, options{config: steady})
	pid := s.cmd.Process.Pid
	kubelets.awaitMore(t, 2)
	first := s.plugin("sd-kubernetes").Uses[0].Process

	// The first six kinds are read whole, once for all; each role reads its own objects with a selector besides, the same one in
	// the first twelve jobs and another one in those after them.
	for _, step := range []struct{ jobs, watches int }{
		{1, 2}, {5, 11}, {20, 18}, {5, 11}, {20, 18},
	} {
		s.wantReload(steady + strings.TrimPrefix(sharedJobs(step.jobs, api), "scrape_configs:\n"))
		for i := range step.jobs {
			s.awaitSome(fmt.Sprintf("job-%d", i))
		}
		eventually(t, time.Minute, fmt.Sprintf("%d jobs keep %d watches open", step.jobs, step.watches), func() error {
			if n := c.watches() - plain; n != step.watches {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		})
		processes, resident := 0, 0
		for _, child := range children(t, pid) {
			if strings.HasPrefix(child.name, "sd-kubernetes") {
				processes++
				all, _ := residentKiB(t, child.pid)
				resident += all
			}
		}
		t.Logf("%2d sections: %d processes, %.1f MiB, %d watches", step.jobs+1, processes, float64(resident)/1024, c.watches()-plain)
		p := s.plugin("sd-kubernetes")
		if processes != 1 || p.Restarts != 0 {
			t.Errorf("%d processes for %d jobs, %d restarts", processes, step.jobs, p.Restarts)
		}
		for _, u := range p.Uses {
			if u.Process != first {
				t.Errorf("a section is in the process %d, the first one in %d", u.Process, first)
			}
		}
	}
	s.wantReload(steady)
	eventually(t, time.Minute, "one watch is left", func() error {
		if n := c.watches() - plain; n != 1 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	kubelets.wantCadence(t, interval)
	if strings.Contains(s.output(), "reading from the Kubernetes API failed") {
		t.Error("handing a watch over looks like a failure")
	}
}

// awaitSome waits until a job has a target.
func (s *server) awaitSome(job string) {
	s.t.Helper()
	eventually(s.t, time.Minute, "targets of "+job, func() error {
		if len(s.targets(job)) == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
}
