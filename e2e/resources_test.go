//go:build e2e && linux

package e2e

import (
	"os"
	"testing"
	"time"
)

// TestIdleMemory reports what the server takes when nothing happens: itself and this machine scraped every 15 seconds,
// both first-party plugins in use, after half a minute. It asserts nothing that depends on the machine.
func TestIdleMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	address := "127.0.0.1:" + freePort(t)
	write(t, dir+"/targets/self.yml", "- targets: ['"+address+"']\n")
	s := start(t, options{dir: dir, args: []string{"--web.listen-address=" + address}, config: "global: {scrape_interval: 15s}\n" +
		"scrape_configs:\n  - job_name: self\n    file_sd_configs: [{files: ['targets/*.yml']}]\n" +
		"  - job_name: node\n    exporters: [{plugin: exporter-node}]\n"})
	<-time.After(30 * time.Second)
	if got := s.query("up == 1"); len(got) != 2 {
		t.Errorf("up is %v", s.query("up"))
	}
	info, err := os.Stat(narthex)
	if err != nil {
		t.Fatal(err)
	}
	all, own := residentKiB(t, s.cmd.Process.Pid)
	t.Logf("binary %.1f MiB", float64(info.Size())/(1<<20))
	series, _ := s.metric("prometheus_tsdb_head_series", "")
	t.Logf("host: %.1f MiB resident, %.1f MiB of that anonymous; %v series", float64(all)/1024, float64(own)/1024, series)
	for _, c := range children(t, s.cmd.Process.Pid) {
		all, own := residentKiB(t, c.pid)
		t.Logf("%s: %.1f MiB resident, %.1f MiB of that anonymous", c.name, float64(all)/1024, float64(own)/1024)
	}
	for _, name := range []string{"sd-file", "exporter-node"} {
		p := s.plugin(name)
		t.Logf("%s as the server counts it: %.1f MiB, %s", name, float64(p.MemoryBytes)/(1<<20), p.Transport)
	}
}
