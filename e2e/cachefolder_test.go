//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const cacheWarning = `msg="the folder for compiled plugins cannot be written to`

// folder is a cache folder that takes nothing.
type folder struct {
	name string
	// script runs in a mount namespace of its own, before the server, with the cache folder as $0 and the server's own as $1.
	script string
	// said is what the warning has to contain.
	said string
	// inline says that there is no place for sockets either, so that only guests within the server run.
	inline bool
	// temporary says that compiled code ends up in the folder for temporary files.
	temporary bool
}

// TestCacheFolder: whatever is wrong with the folder for compiled plugins, those that were never compiled run, and the server says once
// what to do.
func TestCacheFolder(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		missed.lack(t, "mounts", fmt.Sprintf("nothing can be mounted: %v: %s", err, out))
	}
	// Only the server's own folder can be written to, as in a container whose file system is read-only.
	const readOnly = `mount --bind "$1" "$1" && cd "$1" && mount -o remount,ro,bind / && if mountpoint -q /tmp; then mount -o remount,ro,bind /tmp; fi`
	for _, f := range []folder{
		{name: "read-only", script: `mount -t tmpfs -o ro none "$0"`, said: "read-only file system", temporary: true},
		{name: "full", script: `mount -t tmpfs -o size=1m none "$0"`, said: "no space left on device", temporary: true},
		{name: "nearly full", script: `mount -t tmpfs -o size=12m none "$0"`, said: "no space left on device", temporary: true},
		{name: "a file", script: `{ test -f "$0" || rmdir "$0" && touch "$0"; }`, said: "not a directory", temporary: true},
		{name: "container", script: readOnly, said: "read-only file system"},
		{name: "no place at all", script: readOnly + ` && mount -t tmpfs -o ro none /dev/shm`, said: "read-only file system", inline: true},
	} {
		t.Run(f.name, func(t *testing.T) {
			testCacheFolder(t, f)
		})
	}
}

func testCacheFolder(t *testing.T, f folder) {
	t.Helper()
	found := httptest.NewServer(&groupsEndpoint{body: `[{"targets": ["127.0.0.1:2"]}]`, contentType: "application/json", status: http.StatusOK})
	t.Cleanup(found.Close)
	dir, kept, temporary := t.TempDir(), filepath.Join(t.TempDir(), "cache"), t.TempDir()
	write(t, filepath.Join(dir, "targets.json"), `[{"targets": ["127.0.0.1:1"]}]`)
	if err := os.Mkdir(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	config := "scrape_configs:\n" + sdJob("files", "file", "files: [targets.json]") + sdJob("http", "http", "url: "+found.URL)
	if !f.inline {
		config = "plugins: {settings: {sd-http: {isolation: worker}}}\n" + config +
			"  - {job_name: node, scrape_interval: 1s, scrape_timeout: 1s, exporters: [{plugin: exporter-node}]}\n"
	}
	o := options{dir: dir, config: config, in: place{
		env:  []string{"NARTHEX_PLUGINS_CACHE_DIRECTORY=" + kept, "TMPDIR=" + temporary},
		wrap: []string{"unshare", "--mount", "sh", "-c", "mount -t tmpfs none /dev/shm && " + f.script + ` && shift && exec "$@"`, kept, dir},
	}}
	for n := range 2 {
		s := start(t, o)
		eventually(t, startTimeout, "both discoveries have found a target", func() error {
			if files, http := len(s.targets("files")), len(s.targets("http")); files != 1 || http != 1 {
				return fmt.Errorf("%d and %d", files, http)
			}
			return nil
		})
		if !f.inline {
			s.await(startTimeout, `up{job="node"} == 1`)
		}
		s.wantReload(config)
		// Later there may be nothing to say: what is compiled is elsewhere, and all else is small.
		log := s.output()
		warned := strings.Count(log, cacheWarning)
		silent := n > 0 && f.temporary && warned == 0
		if strings.Count(log, "level=WARN") != warned || !silent && (warned != 1 || !strings.Contains(log, f.said) || !strings.Contains(log, "path="+kept)) {
			t.Errorf("the log does not say once what is wrong: %s", lastLines(log, 20))
		}
		s.stop()
	}
	receipts, err := filepath.Glob(filepath.Join(temporary, fmt.Sprintf("narthex-%d", os.Geteuid()), "compiled", "receipts-*", "*"))
	if err != nil || f.temporary != (len(receipts) > 0) {
		t.Errorf("among the temporary files is %v, %v", receipts, err)
	}
}

// TestSharedCache: servers that start at the same time fill one folder, and what is damaged in it is made anew.
func TestSharedCache(t *testing.T) {
	t.Parallel()
	dir, kept := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "targets.json"), `[{"targets": ["127.0.0.1:1"]}]`)
	run := func(settings string) {
		t.Helper()
		var servers sync.WaitGroup
		for range 3 {
			servers.Go(func() {
				s := start(t, options{
					config: settings + "scrape_configs:\n" + sdJob("files", "file", "files: ["+filepath.Join(dir, "targets.json")+"]"),
					in:     place{env: []string{"NARTHEX_PLUGINS_CACHE_DIRECTORY=" + kept}},
				})
				eventually(t, startTimeout, "the target is found", func() error {
					if n := len(s.targets("files")); n != 1 {
						return fmt.Errorf("%d are", n)
					}
					return nil
				})
				if strings.Contains(s.output(), "level=WARN") {
					t.Errorf("the log has warnings: %s", lastLines(s.output(), 20))
				}
				s.stop()
			})
		}
		servers.Wait()
	}
	run("")
	run("plugins: {settings: {sd-file: {isolation: worker}}}\n")
	damaged, err := filepath.Glob(filepath.Join(kept, "compiled", "*", "*"))
	if err != nil || len(damaged) < 4 {
		t.Fatal(damaged, err)
	}
	for i, path := range damaged {
		text := read(t, path)
		if err := os.Remove(path); err != nil { // what is executed of it goes on
			t.Fatal(err)
		}
		write(t, path, text[:len(text)*(i%2)/2]+strings.Repeat("x", 100*(i%3)))
	}
	run("")
	run("plugins: {settings: {sd-file: {isolation: worker}}}\n")
	if left, err := filepath.Glob(filepath.Join(kept, "compiled", ".tmp-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
