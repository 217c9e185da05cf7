// Package runtimetest holds what every transport of the plugin runtime must show: the same guest, package kitchen, put
// through the same sessions. Start with [Run]; [Wasm] and [Native] build a guest once for a test binary.
//
// Test results are cached by what a test binary links. This package links the guest's code, so that a change in it
// invalidates results even though the guest itself is built by a command.
package runtimetest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/kept"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/host/plugin/worker"
)

// Packages of guests, relative to the module.
const (
	Kitchen = "./host/plugin/internal/kitchen/cmd"
	// Shared is the kitchen, with a manifest that lets sections share a process.
	Shared  = "./host/plugin/internal/kitchen/shared"
	Minimal = "./host/plugin/internal/minimal"
)

// plainHost is a package whose test binary runs workers. Unlike a command it says of itself, as other test binaries do, that it has no
// version of wazero, and so finds what they have compiled.
const plainHost = "./host/plugin/worker"

// cacheDir returns the folder for compiled modules, by their content, that tests share over all their runs; those of compiling have
// one of their own. What nobody has used for long leaves it.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "narthex-test"), nil
}

// Guests builds guests into a folder, each at most once.
type Guests struct {
	dir   string
	cache string

	mu    sync.Mutex
	built map[string]error
}

// NewGuests returns a Guests with a folder of its own, to be removed by Close in TestMain.
func NewGuests() (*Guests, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "narthex-guests")
	return &Guests{dir: dir, cache: cache, built: map[string]error{}}, err
}

// CacheDir returns the folder for compiled modules of all runs, for a catalogue.
func (g *Guests) CacheDir() string { return g.cache }

// Cache returns what a catalogue has in that folder for compiled modules.
func (g *Guests) Cache() wasm.Cache { return wasm.Cache{Dir: filepath.Join(g.cache, "compiled")} }

// Compiled returns the path of pkg's module, and sees to it that it is in the cache, compiled by [Guests.Host] for both speeds.
func (g *Guests) Compiled(tb testing.TB, pkg string) string {
	tb.Helper()
	path, host := g.Wasm(tb, pkg), g.Host(tb)
	code, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	sum := sha256.Sum256(code)
	digest := hex.EncodeToString(sum[:])
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, full := range []bool{false, true} {
		if g.Cache().Has(digest, full) {
			continue
		}
		if err := g.Cache().Fill(digest, full, func(dir string) error {
			return worker.Compile(tb.Context(), host, worker.CompileOptions{Path: path, SHA256: digest, Dir: dir, FullSpeed: full})
		}); err != nil {
			tb.Fatal(err)
		}
	}
	return path
}

// Dir returns the folder.
func (g *Guests) Dir() string { return g.dir }

// Host returns the path of a host's binary, built without the race detector: a module is compiled and run by it in a tenth of the
// time that the test binary takes.
func (g *Guests) Host(tb testing.TB) string {
	tb.Helper()
	return g.once(tb, filepath.Join(g.dir, "host"), func(out string) error { return command(nil, "test", "-c", "-o", out, plainHost) })
}

// Close removes the folder, and from the cache what is old.
func (g *Guests) Close() error {
	return errors.Join(os.RemoveAll(g.dir), g.Cache().Prune(time.Now().Add(-kept.Life)))
}

// Wasm returns the path of pkg's module.
func (g *Guests) Wasm(tb testing.TB, pkg string) string {
	tb.Helper()
	return g.build(tb, pkg, ".wasm", "GOOS=wasip1", "GOARCH=wasm")
}

// Native returns the path of pkg's executable.
func (g *Guests) Native(tb testing.TB, pkg string) string {
	tb.Helper()
	return g.build(tb, pkg, ".bin")
}

func (g *Guests) build(tb testing.TB, pkg, extension string, env ...string) string {
	tb.Helper()
	out := filepath.Join(g.dir, filepath.Base(filepath.Dir(pkg))+"-"+filepath.Base(pkg)+extension)
	return g.once(tb, out, func(out string) error { return command(env, "build", "-o", out, pkg) })
}

// once makes a file unless that was done before.
func (g *Guests) once(tb testing.TB, out string, make func(out string) error) string {
	tb.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	err, done := g.built[out]
	if !done {
		err = make(out)
		g.built[out] = err
	}
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// command runs the go command for what is the same in each run: no commit gets into it.
func command(env []string, verb string, args ...string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", append([]string{verb, "-trimpath", "-buildvcs=false", "-ldflags=-s -w"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s %s: %w\n%s", verb, args[len(args)-1], err, b)
	}
	return nil
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
}
