//go:build e2e && linux

// Package e2e runs the built binaries (bin/narthex and bin/plugins) as their users do, beside real components: promtool,
// Prometheus and node_exporter as Debian packages them, and newer ones, Consul and Kubernetes as tools/component builds them.
// `just e2e` builds and runs it.
//
// Each file tells one story. Start with harness_test.go, which starts servers and asks them, fixture_test.go, which
// serves what they scrape, and beside_test.go, which compares what our server and Prometheus discover. Nothing here reaches into the server: processes, files, signals and HTTP only.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Where the build put what is tested, and what all tests share.
var (
	root    string // the repository
	narthex string // the server's binary
	cache   string // compiled plugins, empty at the start of a run
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if root, err = filepath.Abs(".."); err != nil {
		return 0, err
	}
	narthex = filepath.Join(root, "bin", "narthex")
	if _, err := os.Stat(narthex); err != nil {
		return 0, fmt.Errorf("%w: run `just build` first", err)
	}
	if cache, err = os.MkdirTemp("", "narthex-e2e-cache-"); err != nil {
		return 0, err
	}
	defer func() {
		if rmErr := os.RemoveAll(cache); err == nil {
			err = rmErr
		}
	}()
	// Compiling the plugins takes longer than a server may take to start when many do so at once.
	warm := exec.Command(narthex, "plugin", "list", "--plugins.cache-directory="+cache)
	warm.Env = environment()
	if out, err := warm.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("narthex plugin list: %w: %s", err, out)
	}
	code = m.Run()
	missed.report(os.Stdout)
	return code, nil
}
