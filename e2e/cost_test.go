//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What is measured: from a reload until a plugin's targets are there, and scrapes of an exporter.
const (
	liveRuns  = 2
	scrapes   = 300
	userTicks = 100 // a second, in which Linux counts CPU time
)

// cpu is the time that a process and its children have computed, with children that have ended, such as one that compiled.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	var ticks int
	for _, c := range append(children(t, pid), child{pid: pid}) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
		if err != nil {
			continue // It has ended.
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		for _, f := range fields[11:15] {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / userTicks
}

// live is what it takes to have a plugin after a reload: to have its targets, if it is a discovery.
type live struct {
	wall, cpu         time.Duration
	guestKiB, hostKiB int // what the server says of the guest; by how much it and its children grew
}

// measureLive starts a server without plugins and reloads it with a configuration that uses one.
func measureLive(t *testing.T, plugin, settings, job, cache string) live {
	t.Helper()
	s := start(t, options{config: "", in: place{env: []string{"NARTHEX_PLUGINS_CACHE_DIRECTORY=" + cache}}})
	defer s.stop()
	pid := s.cmd.Process.Pid
	memory := func() (sum int) {
		for _, c := range append(children(t, pid), child{pid: pid}) {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", c.pid)); err == nil {
				_, own := residentKiB(t, c.pid)
				sum += own
			}
		}
		return sum
	}
	began, computed, small := time.Now(), cpu(t, pid), memory()
	s.wantReload("plugins: {settings: {" + plugin + ": {" + settings + "}}}\n" + job)
	eventually(t, time.Minute, plugin+" is live", func() error {
		if strings.HasPrefix(plugin, "sd-") && len(s.targets("cost")) == 0 {
			return errors.New("it has no targets")
		}
		if state := s.plugin(plugin).State; state != "ready" {
			return fmt.Errorf("it is %s", state)
		}
		return nil
	})
	l := live{wall: time.Since(began), cpu: cpu(t, pid) - computed, hostKiB: memory() - small}
	l.guestKiB = int(s.plugin(plugin).MemoryBytes / 1024)
	return l
}

// TestPluginCosts prints what the plugins that COST names cost, as the tables in docs/plugins.md: `just plugin-costs`. It
// checks nothing.
func TestPluginCosts(t *testing.T) {
	wanted := strings.Fields(os.Getenv("COST"))
	if len(wanted) == 0 {
		t.Skip("COST names no plugins: this measures for minutes and checks nothing")
	}
	if slices.Contains(wanted, "exporter-node") {
		measureScrapes(t)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "sd.json")
	write(t, file, `[{"targets": ["127.0.0.1:1"]}]`)
	srv := httptest.NewServer(&groupsEndpoint{body: `[{"targets": ["127.0.0.1:1"]}]`, contentType: "application/json", status: http.StatusOK})
	t.Cleanup(srv.Close)
	agent := newConsulAgent(t)
	agent.run()
	cluster := startCluster(t)
	issuer := newIssuer(t)
	write(t, filepath.Join(dir, "body.json"), `{"n": 1}`)
	write(t, filepath.Join(dir, "body.influx"), "cpu,host=a usage=1\n")
	sd := func(plugin, section string) costly {
		return costly{config: "scrape_configs:\n" + sdJob("cost", strings.TrimPrefix(plugin, "sd-"), section), section: section}
	}
	job := func(more, section string, args ...string) costly {
		return costly{
			config:  "scrape_configs:\n  - job_name: cost\n    scrape_interval: 1h\n    scrape_timeout: 1s\n    " + more + "\n",
			section: section, args: args,
		}
	}
	const (
		target    = "static_configs: [{targets: ['127.0.0.1:1']}]\n    "
		jsonRules = "{metrics: [{name: n, path: $, value: '@.n'}]}"
		keys      = "{region: eu-west-1, access_key: a, secret_key: b}"
	)
	kubeconfig := filepath.Join(dir, "kubeconfig.yml")
	write(t, kubeconfig, fmt.Sprintf("{current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}], users: [{name: u, user: {token: %s}}], "+
		"clusters: [{name: c, cluster: {server: '%s', certificate-authority: %s}}]}", adminToken, cluster.base, filepath.Join(cluster.dir, "ca.pem")))
	all := map[string]costly{
		"sd-file":       sd("sd-file", "files: ["+file+"]"),
		"sd-http":       sd("sd-http", "url: "+srv.URL),
		"sd-dns":        sd("sd-dns", "{names: [localhost], type: A, port: 1}"),
		"sd-consul":     sd("sd-consul", "server: "+agent.address+"\ntoken: "+rootToken),
		"sd-kubernetes": sd("sd-kubernetes", "role: service\nkubeconfig_file: "+kubeconfig),
		"exporter-node": job("exporters: [{plugin: exporter-node}]", "{}"),
		"parser-json":   job(target+"parser: {plugin: parser-json, config: "+jsonRules+"}", jsonRules, "--body="+filepath.Join(dir, "body.json")),
		"parser-influx": job(target+"parser: {plugin: parser-influx}", "{}", "--body="+filepath.Join(dir, "body.influx")),
		"auth-sigv4":    job(target+"sigv4: "+keys, keys),
		"auth-jwt": {
			config:  issuer.web() + "  public_paths: ['/api/*', '/metrics', '/debug/*', '/-/*']\n",
			section: issuer.section(), args: []string{"--request=GET /metrics", "--header=Authorization: Bearer " + issuer.token("first", "alice", nil)},
		},
		"notify-webhook": {
			config: "alerting: {webhook_notify_configs: [{url: '" + srv.URL + "'}]}\n", section: "url: " + srv.URL, args: []string{"--deliver"},
		},
	}
	measureLives(t, wanted, all)
	fmt.Println("\n| plugin | place | call: shortest, or first update of a discovery | median | 99 % | memory of a guest |\n|---|---|---|---|---|---|")
	for _, plugin := range wanted {
		fmt.Print(measureCalls(t, plugin, all[plugin]))
	}
}

// measureLives prints what it takes to have each plugin, in each place: the least of each quantity in a few runs.
func measureLives(t *testing.T, wanted []string, all map[string]costly) {
	t.Helper()
	fmt.Println("\n| plugin | place | cache | reload to live | CPU | guest | server and children grow by |\n|---|---|---|---|---|---|---|")
	for _, plugin := range wanted {
		places := []string{"inline", "worker"}
		if _, err := os.Stat(filepath.Join(root, "bin", "plugins", plugin)); err == nil {
			places = []string{"native"}
		}
		for _, where := range places {
			settings := "isolation: " + where
			if where == "native" {
				settings = ""
			}
			var cache string
			for _, kind := range []string{"cold", "cached"} {
				var m live
				for i := range liveRuns {
					if kind == "cold" {
						cache = t.TempDir()
					}
					l := measureLive(t, plugin, settings, all[plugin].config, cache)
					if i == 0 {
						m = l
					}
					m = live{wall: min(m.wall, l.wall), cpu: min(m.cpu, l.cpu), guestKiB: min(m.guestKiB, l.guestKiB), hostKiB: min(m.hostKiB, l.hostKiB)}
				}
				fmt.Printf("| %s | %s | %s | %d ms | %d ms | %.1f MiB | %.1f MiB |\n", plugin, where, kind,
					m.wall.Milliseconds(), m.cpu.Milliseconds(), float64(m.guestKiB)/1024, float64(m.hostKiB)/1024)
			}
		}
	}
}

// costly is how a plugin is used to see what it costs: in a configuration, and by plugin bench, with its section and more flags.
type costly struct {
	config, section string
	args            []string
}

// measureCalls returns rows about what a call costs in each place.
func measureCalls(t *testing.T, plugin string, c costly) (rows string) {
	t.Helper()
	section := filepath.Join(t.TempDir(), "section.yml")
	write(t, section, c.section)
	path, err := filepath.Glob(filepath.Join(root, "bin", "plugins", plugin+"*"))
	if err != nil || len(path) != 1 {
		t.Fatal(path, err)
	}
	cmd := exec.CommandContext(t.Context(), narthex, append([]string{"plugin", "bench", path[0], "--json", "--config=" + section}, c.args...)...)
	cmd.Env = environment()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Errorf("bench %s: %v: %s", plugin, err, &stderr)
		return fmt.Sprintf("| %s | %v | – | – | – | – |\n", plugin, strings.TrimSpace(stderr.String()))
	}
	var places []struct {
		Place                                                                       string
		LeastNanoseconds, MedianNanoseconds, P99Nanoseconds, FirstUpdateNanoseconds time.Duration
		MemoryBytes                                                                 uint64
	}
	if err := json.Unmarshal(text, &places); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	ms := func(d time.Duration) string {
		if d == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	}
	for _, p := range places {
		rows += fmt.Sprintf("| %s | %s | %s | %s | %s | %.1f MiB |\n", plugin, p.Place, ms(p.LeastNanoseconds+p.FirstUpdateNanoseconds),
			ms(p.MedianNanoseconds), ms(p.P99Nanoseconds), float64(p.MemoryBytes)/(1<<20))
	}
	return rows
}

// measureScrapes compares scrapes of exporter-node through the server with those of node_exporter.
func measureScrapes(t *testing.T) {
	t.Helper()
	path := built(t, "node_exporter")
	address := "127.0.0.1:" + freePort(t)
	p := launch(t, t.TempDir(), path, "--web.listen-address="+address, "--web.disable-exporter-metrics", "--log.level=error")
	p.killAtEnd()
	theirs := client{t: t, base: "http://" + address}
	theirs.awaitStatus("/metrics", http.StatusOK, p)
	ours := start(t, options{config: "scrape_configs:\n  - {job_name: node, scrape_interval: 1h, scrape_timeout: 1s, exporters: [{plugin: exporter-node}]}\n"})
	fmt.Println("\n| exporter | scrape over HTTP | CPU | resident | answer |\n|---|---|---|---|---|")
	measure := func(name string, c client, url string, pid, exporter int) {
		c.do(http.MethodGet, url, nil)
		var bytes int
		var times []time.Duration
		computed := cpu(t, pid)
		for range scrapes {
			began := time.Now()
			_, text := c.do(http.MethodGet, url, nil)
			times = append(times, time.Since(began))
			bytes = len(text)
		}
		computed = cpu(t, pid) - computed
		slices.Sort(times)
		resident, _ := residentKiB(t, exporter)
		fmt.Printf("| %s | %.1f ms | %.1f ms | %.1f MiB | %d kB |\n", name, float64(times[len(times)/2].Microseconds())/1e3,
			float64(computed.Microseconds())/1e3/scrapes, float64(resident)/1024, bytes/1000)
	}
	guest, err := childNamed(t, ours.cmd.Process.Pid, "exporter-node")
	if err != nil {
		t.Fatal(err)
	}
	measure("exporter-node, through the server", ours.client, "/plugins/exporter-node/metrics", ours.cmd.Process.Pid, guest.pid)
	measure("node_exporter "+filepath.Base(path), theirs, "/metrics", p.cmd.Process.Pid, p.cmd.Process.Pid)
}
