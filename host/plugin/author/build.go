package author

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/plugin"
)

// Target says what a plugin is built for.
type Target string

// Targets.
const (
	// TargetWasm is a sandboxed module.
	TargetWasm Target = "wasm"
	// TargetNative is an executable for this machine.
	TargetNative Target = "native"
)

// Built is the result of [Build].
type Built struct {
	Inspection
	Took time.Duration `json:"-"`
}

// Build builds the Go package in dir and checks that the result is a plugin that loads. out is the file to write; when
// it is empty or a folder, the file gets the plugin's name there, or in dir. Nothing is written when the build fails. A
// file in use is replaced whole, so that a server never sees half of one. Of o, the cache and the binary for workers count. The go
// command has to be installed.
func Build(ctx context.Context, dir string, target Target, out string, o plugin.Options) (built Built, err error) {
	begin := time.Now()
	if target != TargetWasm && target != TargetNative {
		return Built{}, fmt.Errorf("target %q is neither %s nor %s", target, TargetWasm, TargetNative)
	}
	folder, file := dir, ""
	if stat, err := os.Stat(out); err == nil && stat.IsDir() {
		folder = out
	} else if out != "" {
		folder, file = filepath.Split(out)
	}
	if folder == "" {
		folder = "."
	}
	tmp, err := os.MkdirTemp(folder, ".build-")
	if err != nil {
		return Built{}, fmt.Errorf("build plugin: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	first := filepath.Join(tmp, "plugin"+extension(target))
	if err := goBuild(ctx, dir, target, first); err != nil {
		return Built{}, err
	}
	if file == "" {
		if file, err = ownName(ctx, first, target, o); err != nil {
			return Built{}, err
		}
	}
	named := filepath.Join(tmp, file)
	if err := os.Rename(first, named); err != nil {
		return Built{}, fmt.Errorf("build plugin: %w", err)
	}
	in, err := Inspect(ctx, named, o)
	if err != nil {
		return Built{}, err
	}
	in.Path = filepath.Join(folder, file)
	if err := os.Rename(named, in.Path); err != nil {
		return Built{}, fmt.Errorf("build plugin: %w", err)
	}
	return Built{Inspection: in, Took: time.Since(begin)}, nil
}

func extension(t Target) string {
	switch {
	case t == TargetWasm:
		return ".wasm"
	case runtime.GOOS == "windows":
		return ".exe"
	}
	return ""
}

func goBuild(ctx context.Context, dir string, t Target, out string) error {
	abs, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	env := []string{"CGO_ENABLED=0"}
	if t == TargetWasm {
		env = append(env, "GOOS=wasip1", "GOARCH=wasm")
	}
	// The same source makes the same file, whatever was committed around it and whoever owns the folder.
	return goCommand(ctx, dir, env, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", abs, ".")
}

// goCommand runs the go command in dir. Its output becomes the error.
func goCommand(ctx context.Context, dir string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s", args[0], dir, err, strings.TrimSpace(output.String()))
	}
	return nil
}

// ownName returns the file name that the manifest asks for.
func ownName(ctx context.Context, path string, t Target, o plugin.Options) (name string, err error) {
	c, err := plugin.New(plugin.Options{CacheDir: o.CacheDir, Worker: o.Worker})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	m, err := c.Manifest(ctx, path)
	return m.Name + extension(t), err
}
