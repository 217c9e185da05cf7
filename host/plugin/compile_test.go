package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/host/plugin/kept"
	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/host/plugin/worker"
)

// compiled leaves behind what a compilation does.
func compiled(o worker.CompileOptions) error {
	path := filepath.Join(o.Dir, "wazero-v0-any", fmt.Sprint(o.SHA256, o.FullSpeed))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte("code"), 0o600)
}

// compilerIn returns a compiler with a cache and nobody to hear about it.
func compilerIn(dirs ...string) *compiler {
	var caches []wasm.Cache
	for _, dir := range dirs {
		caches = append(caches, wasm.Cache{Dir: dir})
	}
	return newCompiler(caches, "narthex", &unkept{dir: dirs[0], log: slog.New(slog.DiscardHandler)}, slog.New(slog.DiscardHandler))
}

// TestCompileOnce: whoever needs a module waits for the one compilation of it, and none follows when it is kept.
func TestCompileOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := compilerIn(t.TempDir())
		var count atomic.Int64
		c.run = func(_ context.Context, _ string, o worker.CompileOptions) error {
			count.Add(1)
			time.Sleep(time.Second)
			return compiled(o)
		}
		all := func() {
			var wait sync.WaitGroup
			for i := range 30 {
				f := &file{name: "sd-a", digest: digest(fmt.Sprint(i % 3))}
				wait.Go(func() {
					if err := c.ensure(t.Context(), f, "sd-a.wasm", []Isolation{IsolationInline, IsolationWorker}[i%2]); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
		}
		begin := time.Now()
		all()
		all()
		if n := count.Load(); n != 6 {
			t.Errorf("%d compilations of three modules in two modes", n)
		}
		if took := time.Since(begin); took != 6*time.Second/compilersAtOnce {
			t.Errorf("took %v", took)
		}
	})
}

// TestCompileCut: when whoever compiles gives up, somebody else who needs the module goes on.
func TestCompileCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := compilerIn(t.TempDir())
		c.run = func(ctx context.Context, _ string, o worker.CompileOptions) error {
			if !sleep(ctx, time.Second) {
				return ctx.Err()
			}
			return compiled(o)
		}
		f := &file{name: "sd-a", digest: digest("a")}
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var wait sync.WaitGroup
		wait.Go(func() {
			if err := c.ensure(impatient, f, "sd-a.wasm", IsolationInline); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("ended with %v", err)
			}
		})
		synctest.Wait()
		for range 2 {
			wait.Go(func() {
				if err := c.ensure(t.Context(), f, "sd-a.wasm", IsolationInline); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
	})
}

// TestCompileFails: what is wrong with a module is said; what is wrong with the machine leaves compiling to whoever loads.
func TestCompileFails(t *testing.T) {
	for _, c := range []struct {
		err   error
		fatal bool
	}{
		{&process.TaskError{Status: "exit status 1", Stderr: "invalid magic number"}, true},
		{worker.ErrCompileTimeout, true},
		{fmt.Errorf("%w: no such file", process.ErrNotStarted), false},
	} {
		compiler := compilerIn(t.TempDir())
		compiler.run = func(context.Context, string, worker.CompileOptions) error { return c.err }
		err := compiler.ensure(t.Context(), &file{digest: digest("a")}, "sd-a.wasm", IsolationInline)
		if c.fatal != errors.Is(err, c.err) || c.fatal != (err != nil) {
			t.Errorf("%v becomes %v", c.err, err)
		}
		if left, err := os.ReadDir(compiler.caches[0].Dir); err != nil || len(left) > 0 {
			t.Errorf("%v is left behind, %v", left, err)
		}
	}
}

// TestFullCache: what one folder does not take goes into the next one, and the operator hears of it once.
func TestFullCache(t *testing.T) {
	var log strings.Builder
	plain := filepath.Join(t.TempDir(), "file") // where the folder should be
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full, last := t.TempDir(), t.TempDir()
	c := compilerIn(plain, full, last)
	c.unkept.log = slog.New(slog.NewTextHandler(&log, nil))
	c.run = func(_ context.Context, _ string, o worker.CompileOptions) error {
		if strings.HasPrefix(o.Dir, full) {
			return &wasm.FolderError{Dir: o.Dir, Err: syscall.ENOSPC}
		}
		return compiled(o)
	}
	for range 2 {
		for _, name := range []string{"a", "b"} {
			if err := c.ensure(t.Context(), &file{name: "sd-a", digest: digest(name)}, "sd-a.wasm", IsolationInline); err != nil {
				t.Error(err)
			}
			if !c.caches[2].Has(digest(name), false) {
				t.Error("the last folder has nothing")
			}
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "--plugins.cache-directory") ||
		!strings.Contains(log.String(), "path="+plain) || !strings.Contains(log.String(), "not a directory") {
		t.Errorf("the log has %d warnings:\n%s", n, &log)
	}
	// Where there is no place at all, compiling is up to whoever loads.
	c = compilerIn(plain, full)
	c.run = func(context.Context, string, worker.CompileOptions) error {
		return &wasm.FolderError{Err: syscall.ENOSPC}
	}
	if err := c.ensure(t.Context(), &file{digest: digest("a")}, "sd-a.wasm", IsolationInline); err != nil {
		t.Error(err)
	}
}

// TestPrune: of everything that is kept, what was not used for long goes, unless it is in use.
func TestPrune(t *testing.T) {
	cache := t.TempDir()
	tr := newTransports(Options{CacheDir: cache, KeepCopies: true, Logger: slog.New(slog.DiscardHandler)})
	old := time.Now().Add(-2 * kept.Life)
	lists := map[string][]string{}
	for _, name := range []string{"unused", "used", "new"} {
		d := digest(name)
		for _, full := range []bool{false, true} {
			err := tr.compiler.caches[0].Fill(d, full, func(dir string) error { return compiled(worker.CompileOptions{SHA256: d, FullSpeed: full, Dir: dir}) })
			if err != nil {
				t.Fatal(err)
			}
		}
		write := func(path ...string) {
			full := filepath.Join(append([]string{cache}, path...)...)
			if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		write(manifestsDir, d+".json")
		write(copiesDir, d, "sd-a.wasm")
		write("compiled", "code-v1", d+"-full")
		write("compiled", ".tmp-"+d, "half")
		for _, pattern := range []string{manifestsDir + "/*", copiesDir + "/*", "compiled/[^.]*/*", "compiled/.tmp-*"} {
			found, err := filepath.Glob(filepath.Join(cache, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range found {
				if !strings.Contains(path, d) {
					continue
				}
				lists[name] = append(lists[name], path)
				if name == "new" {
					continue
				}
				if err := os.Chtimes(path, old, old); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	tr.prune([]string{digest("used")})
	for name, paths := range lists {
		if len(paths) != 8 {
			t.Errorf("%d paths of %s: %v", len(paths), name, paths)
		}
		for _, path := range paths {
			_, err := os.Stat(path)
			unfinished := filepath.Base(path) == ".tmp-"+digest("used")
			if there, want := err == nil, name != "unused" && !unfinished; there != want {
				t.Errorf("%s, %s: there is %v", name, path, there)
			}
		}
	}
}
