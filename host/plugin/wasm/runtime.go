// Package wasm runs guests in a sandbox: WASI preview 1 commands under wazero, in the host's process. A guest sees a
// clock, random bytes, stderr and the two functions of the module nx1; no files, environment, arguments or network.
//
// Start with [New] and [Runtime.Start], whose [Instance] is the transport of a host/plugin/session. Everything that a
// guest reaches beyond that goes over frames, and so through the session's grants: in particular, nothing is mounted
// with wazero's directory mounts, which follow symbolic links out of themselves.
//
// Guests are interruptible unless [Options] say otherwise: code is compiled with checks for the end of a context, which make computing slower (about
// four times in measurements) and an endless loop harmless.
package wasm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/narthex-io/narthex/sdk/wire"
)

// Options configure a [Runtime].
type Options struct {
	// Caches keep compiled code between starts of the host. It is looked for in all of them, and put into the first that takes it:
	// where none does, it is compiled into memory. [none]
	Caches []Cache
	// FullSpeed leaves the checks out that make a guest interruptible. Then Close does not end a guest that computes, which
	// moreover stalls the garbage collector of the process that it runs in: that is for a process of its own alone.
	FullSpeed bool
	// Logger learns what was compiled although there are Caches, in which somebody else may have been meant to put it. [none]
	Logger *slog.Logger
}

// DefaultMemoryBytes is the most linear memory that a guest may have unless its options say otherwise.
const DefaultMemoryBytes = 64 << 20

// Runtime compiles and starts guests. It is safe for concurrent use.
type Runtime struct {
	caches    []Cache
	fullSpeed bool
	log       *slog.Logger

	mu      sync.Mutex
	engines map[string]*engine // by folder; made when they are needed
	modules map[[sha256.Size]byte]*module
	loading map[[sha256.Size]byte]chan struct{} // closed when that is over
	idle    *module                             // the last one that lost its last user: looking at a manifest and then starting loads once
	closed  bool
	running sync.WaitGroup
}

// module is compiled code, shared by the instances that run it.
type module struct {
	key      [sha256.Size]byte
	engine   *engine // that compiled belongs to
	compiled wazero.CompiledModule
	users    int
	spared   sync.Once
}

// New returns a Runtime.
func New(o Options) *Runtime {
	return &Runtime{
		caches:    o.Caches,
		fullSpeed: o.FullSpeed,
		log:       cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		engines:   map[string]*engine{},
		modules:   map[[sha256.Size]byte]*module{},
		loading:   map[[sha256.Size]byte]chan struct{}{},
	}
}

// engine returns the one for a folder, or the one for none.
func (r *Runtime) engine(ctx context.Context, dir string) (*engine, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.engines[dir]; e != nil {
		return e, nil
	}
	e, err := newEngine(context.WithoutCancel(ctx), dir, r.fullSpeed)
	if err == nil {
		r.engines[dir] = e
	}
	return e, err
}

// Compile compiles code into the cache, so that a later Start is fast.
func (r *Runtime) Compile(ctx context.Context, code []byte) error {
	m, err := r.acquire(ctx, code)
	if err != nil {
		return err
	}
	return r.release(ctx, m)
}

// acquire compiles code, or finds it compiled, and counts a user.
func (r *Runtime) acquire(ctx context.Context, code []byte) (*module, error) {
	key := sha256.Sum256(code)
	if m := r.use(key, nil); m != nil {
		return m, nil
	}
	slimmed := slim(code)
	leave, err := r.enter(ctx, sha256.Sum256(slimmed))
	if err != nil {
		return nil, err
	}
	defer leave()
	if m := r.use(key, nil); m != nil { // Somebody else was faster.
		return m, nil
	}
	// Not under the lock: loading takes a tenth of a second, and compiling seconds.
	loaded := &module{key: key}
	if loaded.compiled, loaded.engine, err = r.load(ctx, key, slimmed); err != nil {
		return nil, fmt.Errorf("compile module: %w", err)
	}
	if err := checkImports(loaded.compiled); err != nil {
		return nil, errors.Join(err, loaded.compiled.Close(ctx))
	}
	return r.use(key, loaded), nil
}

// enter waits until nobody else loads the module with that sum: wazero hands out a module that it is still loading. The caller calls
// leave.
func (r *Runtime) enter(ctx context.Context, sum [sha256.Size]byte) (leave func(), err error) {
	for {
		r.mu.Lock()
		busy := r.loading[sum]
		if busy == nil {
			done := make(chan struct{})
			r.loading[sum] = done
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				delete(r.loading, sum)
				close(done)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// load loads a module from a cache or, if none has it, compiles it: into the first that takes it, or else into memory.
func (r *Runtime) load(ctx context.Context, key [sha256.Size]byte, code []byte) (wazero.CompiledModule, *engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	digest := hex.EncodeToString(key[:])
	for _, c := range r.caches {
		if !c.Has(digest, r.fullSpeed) {
			continue
		}
		if compiled, e, err := r.loadFrom(ctx, c, code); !isNotHere(err) {
			return compiled, e, err
		}
	}
	for _, c := range r.caches {
		r.log.DebugContext(ctx, "compiling a module here, and not ahead", "sha256", digest, "mode", mode(r.fullSpeed), "path", c.Dir)
		err := c.Fill(digest, r.fullSpeed, func(dir string) error { return compileInto(ctx, dir, code, r.fullSpeed) })
		var compiled wazero.CompiledModule
		var e *engine
		if err == nil {
			compiled, e, err = r.loadFrom(ctx, c, code)
		}
		if !isNotHere(err) {
			return compiled, e, err
		}
		r.log.DebugContext(ctx, "a compiled module cannot be kept", "sha256", digest, "err", err)
	}
	e, err := r.engine(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	compiled, err := e.compile(ctx, code)
	return compiled, e, err
}

// loadFrom loads a module that is in a cache.
func (r *Runtime) loadFrom(ctx context.Context, c Cache, code []byte) (wazero.CompiledModule, *engine, error) {
	e, err := r.engine(ctx, c.Dir)
	if err != nil {
		return nil, nil, err
	}
	compiled, err := e.load(ctx, code)
	return compiled, e, err
}

// isNotHere reports whether an error is about one cache, so that there is a point in trying another way.
func isNotHere(err error) bool {
	folder := (*FolderError)(nil)
	return errors.Is(err, errNotCached) || errors.As(err, &folder)
}

// compileInto compiles a module into an empty folder.
func compileInto(ctx context.Context, dir string, code []byte, fullSpeed bool) (err error) {
	e, err := newEngine(ctx, dir, fullSpeed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close(context.WithoutCancel(ctx))) }()
	if _, err = e.compile(ctx, code); err != nil && isFolders(err) { // what is compiled is closed with e
		return &FolderError{dir, err}
	}
	return err
}

// CompileInto compiles code into an empty folder, for [Cache.Fill]. A [FolderError] says that it cannot be written there.
func CompileInto(ctx context.Context, dir string, code []byte, fullSpeed bool) error {
	if err := inspect(code, math.MaxUint64); err != nil {
		return err
	}
	if err := compileInto(ctx, dir, slim(code), fullSpeed); err != nil {
		return fmt.Errorf("compile module: %w", err)
	}
	return nil
}

// checkImports names what was built for another host.
func checkImports(m wazero.CompiledModule) error {
	for _, f := range m.ImportedFunctions() {
		if module, name, _ := f.Import(); module != wire.Module && module != wasi_snapshot_preview1.ModuleName {
			return fmt.Errorf("the module imports %s.%s, which this host does not have: build it with narthex plugin build, or with GOOS=wasip1 GOARCH=wasm",
				module, name)
		}
	}
	return nil
}

// use counts a user of the module with key, which loaded becomes when there is none.
func (r *Runtime) use(key [sha256.Size]byte, loaded *module) *module {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.modules[key]
	if m == nil {
		if loaded == nil {
			return nil
		}
		m = loaded
		r.modules[key] = m
	}
	if r.idle == m {
		r.idle = nil
	}
	m.users++
	return m
}

// release drops a user. Code that lost its last one stays until the next code does.
func (r *Runtime) release(ctx context.Context, m *module) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.users--
	if m.users > 0 {
		return nil
	}
	old := r.idle
	r.idle = m
	if old == nil {
		return nil
	}
	delete(r.modules, old.key)
	return old.compiled.Close(ctx)
}

// Close waits for the running instances, which their owners close, and frees everything.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, e := range r.engines {
		errs = append(errs, e.close(ctx))
	}
	clear(r.engines)
	return errors.Join(errs...)
}

// StartOptions configure one guest. Zero fields mean the default in brackets.
type StartOptions struct {
	// Name is the guest's argv[0] and names it in errors.
	Name string
	// MemoryBytes is the most linear memory that the guest may have. [64 MiB]
	MemoryBytes uint64
	// MessageBytes is the largest payload in either direction. [64 MiB]
	MessageBytes uint32
	// QueueBytes is how much may wait for the guest before Send blocks; a single larger frame passes alone. [1 MiB]
	QueueBytes int
	// Stderr gets what the guest writes to stderr and stdout; nil discards it. It must bound the rate itself, as
	// session.Log does.
	Stderr interface{ Write(p []byte) (int, error) }
}

func (o StartOptions) withDefaults() StartOptions {
	o.MemoryBytes = cmp.Or(o.MemoryBytes, DefaultMemoryBytes)
	o.MessageBytes = cmp.Or(o.MessageBytes, 64<<20)
	o.QueueBytes = cmp.Or(o.QueueBytes, 1<<20)
	return o
}
