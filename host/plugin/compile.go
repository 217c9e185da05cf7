package plugin

import (
	"context"
	"errors"
	"log/slog"
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
	cache  wasm.Cache
	binary string
	log    *slog.Logger
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

func newCompiler(dir, binary string, log *slog.Logger) *compiler {
	return &compiler{
		cache: wasm.Cache{Dir: dir}, binary: binary, log: log,
		run:   worker.Compile,
		slots: make(chan struct{}, compilersAtOnce), busy: map[compilation]*flight{},
	}
}

// ensure returns when the file's module, at path, is compiled for a place or when that is up to whoever loads it. An error is the
// module's fault, or that ctx ended.
func (c *compiler) ensure(ctx context.Context, f *file, path string, i Isolation) error {
	if c.binary == "" || c.cache.Dir == "" {
		return nil
	}
	what := compilation{f.digest, i == IsolationWorker}
	for {
		c.mu.Lock()
		if c.cache.Has(what.digest, what.fullSpeed) {
			c.mu.Unlock()
			return nil
		}
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
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := c.cache.Fill(what.digest, what.fullSpeed, func(dir string) error {
		return c.run(ctx, c.binary, worker.CompileOptions{
			Path: path, SHA256: what.digest, Dir: dir, FullSpeed: what.fullSpeed,
		})
	})
	task := (*process.TaskError)(nil)
	switch {
	case err == nil, ctx.Err() != nil, errors.As(err, &task), errors.Is(err, worker.ErrCompileTimeout):
		return err
	}
	// The machine's fault and not the module's: loading compiles it, or says what is wrong.
	c.log.DebugContext(ctx, "a plugin was not compiled ahead", "plugin", f.name, "path", f.path, "err", err)
	return nil
}
