package plugin

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/host/plugin/worker"
)

// compilersAtOnce is how many modules are compiled side by side, each in a process of its own with half of the cores.
const compilersAtOnce = 2

// compiler sees to it that modules are in the cache before they are loaded, since compiling takes seconds of all cores and a
// hundred megabytes: it happens in a process of low priority, where scrapes do not notice. Without a binary or a cache, whoever
// loads a module compiles it.
type compiler struct {
	caches []wasm.Cache // the first one that takes a module gets it
	binary string
	log    *slog.Logger
	unkept *unkept
	slots  chan struct{}
	run    func(ctx context.Context, binary string, o worker.CompileOptions) error

	mu   sync.Mutex
	busy map[compilation]*flight
}

// compilation is one module for one isolation.
type compilation struct {
	digest    string
	fullSpeed bool
}

// flight is a compilation under way, for all who need it.
type flight struct {
	done chan struct{}
	err  error // of done
	cut  bool  // whoever compiled had no more time; of done
}

func newCompiler(caches []wasm.Cache, binary string, u *unkept, log *slog.Logger) *compiler {
	return &compiler{
		caches: caches, binary: binary, unkept: u, log: log,
		run:   worker.Compile,
		slots: make(chan struct{}, compilersAtOnce), busy: map[compilation]*flight{},
	}
}

// ensure returns when the file's module, at path, is compiled for a place or when that is up to whoever loads it. An error is the
// module's fault, or that ctx ended.
func (c *compiler) ensure(ctx context.Context, f *file, path string, i Isolation) error {
	if c.binary == "" || len(c.caches) == 0 {
		return nil
	}
	what := compilation{f.digest, i == IsolationWorker}
	for {
		c.mu.Lock()
		fl := c.busy[what]
		if fl == nil {
			fl = &flight{done: make(chan struct{})}
			c.busy[what] = fl
			c.mu.Unlock()
			return c.fly(ctx, fl, what, f, path)
		}
		c.mu.Unlock()
		select {
		case <-fl.done:
			if !fl.cut {
				return fl.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *compiler) has(what compilation) bool {
	return slices.ContainsFunc(c.caches, func(cache wasm.Cache) bool { return cache.Has(what.digest, what.fullSpeed) })
}

// fly compiles for all who wait for a flight.
func (c *compiler) fly(ctx context.Context, fl *flight, what compilation, f *file, path string) error {
	fl.err = c.compile(ctx, what, f, path)
	fl.cut = ctx.Err() != nil
	c.mu.Lock()
	delete(c.busy, what)
	c.mu.Unlock()
	close(fl.done)
	return fl.err
}

func (c *compiler) compile(ctx context.Context, what compilation, f *file, path string) error {
	if c.has(what) {
		return nil
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var err error
	for _, cache := range c.caches {
		err = cache.Fill(what.digest, what.fullSpeed, func(dir string) error {
			return c.run(ctx, c.binary, worker.CompileOptions{
				Path: path, SHA256: what.digest, Dir: dir, FullSpeed: what.fullSpeed,
			})
		})
		if folder, ok := errors.AsType[*wasm.FolderError](err); ok {
			c.unkept.warn(folder.Dir, folder.Err)
			continue
		}
		break
	}
	task := (*process.TaskError)(nil)
	switch {
	case err == nil, ctx.Err() != nil, errors.As(err, &task), errors.Is(err, worker.ErrCompileTimeout):
		return err
	}
	// The machine's fault and not the module's: loading compiles it, or says what is wrong.
	c.log.DebugContext(ctx, "a plugin was not compiled ahead", "plugin", f.name, "path", f.path, "err", err)
	return nil
}
