//go:build e2e && linux

package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestOrphans ends a server in every way there is, with guests in processes of their own, running or stopped. None of them
// outlives it.
func TestOrphans(t *testing.T) {
	built := buildAttacker(t)
	config := func(do, isolation string) string {
		return fmt.Sprintf("scrape_configs:\n  - job_name: a\n    scrape_interval: 200ms\n    scrape_timeout: 200ms\n"+
			"    exporters: [{plugin: exporter-attacker, config: {do: %s}}, {plugin: exporter-attacker, config: {do: %[1]s, size: 2}, labels: {n: '2'}}]\n"+
			"    attacker_sd_configs: [{do: peace, size: 3}]\nplugins: {settings: {exporter-attacker: {%s}}}\n", do, isolation)
	}
	for _, place := range []struct{ name, plugins, isolation string }{
		{"worker", built.wasm, "isolation: worker"}, {"process", built.native, ""},
	} {
		begin := func(t *testing.T, do string, stopped bool) (*server, []child) {
			t.Helper()
			s := start(t, options{config: config(do, place.isolation), plugins: place.plugins})
			var family []child
			eventually(t, 10*time.Second, "there are three guests", func() error {
				if family = children(t, s.cmd.Process.Pid); len(family) != 3 {
					return fmt.Errorf("there are %v", family)
				}
				return nil
			})
			for _, c := range family {
				if stopped {
					if err := syscall.Kill(c.pid, syscall.SIGSTOP); err != nil {
						t.Fatal(err)
					}
				}
			}
			return s, family
		}
		die := func(name, do string, stopped bool, signals ...syscall.Signal) {
			t.Run(place.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				s, family := begin(t, do, stopped)
				family = append(family, children(t, s.cmd.Process.Pid)...) // Those that loop are replaced.
				for _, sig := range signals {
					s.signal(sig)
				}
				select {
				case <-s.done:
				case <-time.After(stopTimeout):
					t.Fatal("the server does not end")
				}
				s.wantGone(family)
			})
		}
		die("killed", "peace", false, syscall.SIGKILL)
		die("killed with stopped guests", "peace", true, syscall.SIGKILL)
		die("killed with guests that loop", "loop", false, syscall.SIGKILL)
		die("killed while it is stopped", "peace", false, syscall.SIGSTOP, syscall.SIGKILL)
		die("killed while all are stopped", "peace", true, syscall.SIGSTOP, syscall.SIGKILL)
		die("aborted", "peace", false, syscall.SIGABRT)
		die("terminated with stopped guests", "peace", true, syscall.SIGTERM)
		die("terminated with guests that hang", "hang", false, syscall.SIGTERM)
		die("terminated twice", "hang", false, syscall.SIGTERM, syscall.SIGTERM)
	}
}

// TestStoppedServer stops a server for a while, as a debugger or a virtual machine does: it goes on, with the same guests.
func TestStoppedServer(t *testing.T) {
	t.Parallel()
	built := buildAttacker(t)
	target := newRecorder(t)
	s := start(t, options{plugins: built.native, config: "scrape_configs:\n" + staticJob("control", "200ms", target.address) +
		"  - job_name: a\n    scrape_interval: 200ms\n    scrape_timeout: 200ms\n    exporters: [{plugin: exporter-attacker, config: {do: peace}}]\n"})
	s.await(10*time.Second, "attacker_up")
	guest, err := childNamed(t, s.cmd.Process.Pid, "exporter-attack") // the kernel cuts names
	if err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGSTOP)
	<-time.After(3 * time.Second)
	s.signal(syscall.SIGCONT)
	target.awaitMore(t, 3)
	s.await(10*time.Second, "time() - timestamp(attacker_up) < 1")
	if !guest.runs() {
		t.Error("the guest was ended because its server stood still")
	}
}
