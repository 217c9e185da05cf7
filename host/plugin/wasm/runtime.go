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
	"runtime"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/narthex-io/narthex/sdk/wire"
)

// Options configure a [Runtime].
type Options struct {
	// CacheDir keeps compiled code between starts of the host; it is created when missing. Empty means in memory only.
	CacheDir string
	// FullSpeed leaves the checks out that make a guest interruptible. Then Close does not end a guest that computes, which
	// moreover stalls the garbage collector of the process that it runs in: that is for a process of its own alone.
	FullSpeed bool
	// Logger learns what was compiled although there is a CacheDir, in which somebody else may have been meant to put it. [none]
	Logger *slog.Logger
}

// DefaultMemoryBytes is the most linear memory that a guest may have unless its options say otherwise.
const DefaultMemoryBytes = 64 << 20

// Runtime compiles and starts guests. It is safe for concurrent use.
type Runtime struct {
	runtime   wazero.Runtime
	cache     wazero.CompilationCache
	cacheDir  string
	fullSpeed bool
	log       *slog.Logger

	mu      sync.Mutex
	modules map[[sha256.Size]byte]*module
	loading map[[sha256.Size]byte]chan struct{} // closed when that is over
	idle    *module                             // the last one that lost its last user: looking at a manifest and then starting loads once
	closed  bool
	running sync.WaitGroup
}

// module is compiled code, shared by the instances that run it.
type module struct {
	key      [sha256.Size]byte
	compiled wazero.CompiledModule
	users    int
	spared   sync.Once
}

// New returns a Runtime. ctx bounds the set-up only.
func New(ctx context.Context, o Options) (*Runtime, error) {
	cache := wazero.NewCompilationCache()
	if o.CacheDir != "" {
		var err error
		if cache, err = wazero.NewCompilationCacheWithDir(o.CacheDir); err != nil {
			return nil, fmt.Errorf("open compilation cache %s: %w", o.CacheDir, err)
		}
	}
	config := wazero.NewRuntimeConfig().
		WithCloseOnContextDone(!o.FullSpeed).
		WithCompilationCache(cache).
		// Without reference types a guest has no table.grow, whose memory is the host's and has no limit.
		WithCoreFeatures(api.CoreFeaturesV2.SetEnabled(api.CoreFeatureReferenceTypes, false))
	r := &Runtime{
		runtime:   wazero.NewRuntimeWithConfig(ctx, config),
		cache:     cache,
		cacheDir:  o.CacheDir,
		fullSpeed: o.FullSpeed,
		log:       cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		modules:   map[[sha256.Size]byte]*module{},
		loading:   map[[sha256.Size]byte]chan struct{}{},
	}
	if err := r.exportHost(ctx); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return r, nil
}

// exportHost builds the two modules that a guest can import.
func (r *Runtime) exportHost(ctx context.Context) error {
	wasi := r.runtime.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(wasi)
	wasi.NewFunctionBuilder().WithFunc(pollOneoff).Export("poll_oneoff")
	if _, err := wasi.Instantiate(ctx); err != nil {
		return fmt.Errorf("build module %s: %w", wasi_snapshot_preview1.ModuleName, err)
	}
	nx := r.runtime.NewHostModuleBuilder(wire.Module)
	nx.NewFunctionBuilder().WithFunc(nxSend).Export("send")
	nx.NewFunctionBuilder().WithFunc(nxRecv).Export("recv")
	if _, err := nx.Instantiate(ctx); err != nil {
		return fmt.Errorf("build module %s: %w", wire.Module, err)
	}
	return nil
}

// Compile compiles code into the cache, so that a later Start is fast.
func (r *Runtime) Compile(ctx context.Context, code []byte) error {
	key, _, err := r.acquire(ctx, code)
	if err != nil {
		return err
	}
	return r.release(ctx, key)
}

// acquire compiles code, or finds it compiled, and counts a user.
func (r *Runtime) acquire(ctx context.Context, code []byte) ([sha256.Size]byte, wazero.CompiledModule, error) {
	key := sha256.Sum256(code)
	if m := r.use(key, nil); m != nil {
		return key, m, nil
	}
	slimmed := slim(code)
	leave, err := r.enter(ctx, sha256.Sum256(slimmed))
	if err != nil {
		return key, nil, err
	}
	defer leave()
	if m := r.use(key, nil); m != nil { // Somebody else was faster.
		return key, m, nil
	}
	// Not under the lock: loading takes a tenth of a second, and compiling seconds.
	compiled, err := r.load(ctx, key, slimmed)
	if err != nil {
		return key, nil, fmt.Errorf("compile module: %w", err)
	}
	if err := checkImports(compiled); err != nil {
		return key, nil, errors.Join(err, compiled.Close(ctx))
	}
	return key, r.use(key, compiled), nil
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

// errNotCached is the cause with which a context ends that lets wazero load and not compile.
var errNotCached = errors.New("the module is not in the cache")

// load loads a module from the cache, where it is put if it is not there, or is damaged.
func (r *Runtime) load(ctx context.Context, key [sha256.Size]byte, code []byte) (wazero.CompiledModule, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.cacheDir == "" {
		return r.compileModule(ctx, code)
	}
	loading, cancel := context.WithCancelCause(ctx)
	cancel(errNotCached)
	compiled, err := r.compileModule(loading, code)
	// wazero's error for a damaged file has no type of its own.
	if !errors.Is(err, errNotCached) && (err == nil || !strings.HasPrefix(err.Error(), "compilationcache: ")) {
		return compiled, err
	}
	digest := hex.EncodeToString(key[:])
	r.log.DebugContext(ctx, "compiling a module here, and not ahead", "sha256", digest, "mode", mode(r.fullSpeed), "err", err)
	err = Cache{r.cacheDir}.Fill(digest, r.fullSpeed, func(dir string) error { return compileInto(ctx, dir, code, r.fullSpeed) })
	if err != nil {
		return nil, err
	}
	return r.compileModule(ctx, code)
}

// compileModule has several workers, which look at the context before each function; a single one would not.
func (r *Runtime) compileModule(ctx context.Context, code []byte) (wazero.CompiledModule, error) {
	return r.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, max(runtime.GOMAXPROCS(0), 2)), code)
}

// compileInto compiles a module into an empty folder.
func compileInto(ctx context.Context, dir string, code []byte, fullSpeed bool) (err error) {
	r, err := New(ctx, Options{CacheDir: dir, FullSpeed: fullSpeed})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(context.WithoutCancel(ctx))) }()
	_, err = r.compileModule(ctx, code) // closed by r
	return err
}

// CompileInto compiles code into an empty folder, for [Cache.Fill].
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

// use counts a user of the module with key, which compiled becomes when there is none.
func (r *Runtime) use(key [sha256.Size]byte, compiled wazero.CompiledModule) wazero.CompiledModule {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.modules[key]
	if m == nil {
		if compiled == nil {
			return nil
		}
		m = &module{key: key, compiled: compiled}
		r.modules[key] = m
	}
	if r.idle == m {
		r.idle = nil
	}
	m.users++
	return m.compiled
}

// release drops a user. Code that lost its last one stays until the next code does.
func (r *Runtime) release(ctx context.Context, key [sha256.Size]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.modules[key]
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
	return errors.Join(r.runtime.Close(ctx), r.cache.Close(ctx))
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
