// Package runtimetest holds what every transport of the plugin runtime must show: the same guest, package kitchen, put
// through the same sessions. Start with [Run]; [Wasm] and [Native] build a guest once for a test binary.
//
// Test results are cached by what a test binary links. This package links the guest's code, so that a change in it
// invalidates results even though the guest itself is built by a command.
package runtimetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Packages of guests, relative to the module.
const (
	Kitchen = "./host/plugin/internal/kitchen/cmd"
	// Shared is the kitchen, with a manifest that lets sections share a process.
	Shared  = "./host/plugin/internal/kitchen/shared"
	Minimal = "./host/plugin/internal/minimal"
)

// Guests builds guests into a folder, each at most once.
type Guests struct {
	dir string

	mu    sync.Mutex
	built map[string]error
}

// NewGuests returns a Guests with a folder of its own, to be removed by Close in TestMain.
func NewGuests() (*Guests, error) {
	dir, err := os.MkdirTemp("", "narthex-guests")
	return &Guests{dir: dir, built: map[string]error{}}, err
}

// Dir returns the folder.
func (g *Guests) Dir() string { return g.dir }

// Close removes the folder.
func (g *Guests) Close() error { return os.RemoveAll(g.dir) }

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
	g.mu.Lock()
	defer g.mu.Unlock()
	err, done := g.built[out]
	if !done {
		err = compile(out, pkg, env)
		g.built[out] = err
	}
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func compile(out, pkg string, env []string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, b)
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
