package wasm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/narthex-io/narthex/sdk/wire"
)

// engine is wazero with one folder for compiled code, or none. Instances of a module run in the engine that loaded it.
type engine struct {
	dir     string // empty: compiled code is in memory only
	runtime wazero.Runtime
	cache   wazero.CompilationCache
}

// newEngine returns an engine, which the caller closes. ctx bounds the set-up only.
func newEngine(ctx context.Context, dir string, fullSpeed bool) (*engine, error) {
	cache := wazero.NewCompilationCache()
	if dir != "" {
		var err error
		if cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return nil, &FolderError{dir, err}
		}
	}
	config := wazero.NewRuntimeConfig().
		WithCloseOnContextDone(!fullSpeed).
		WithCompilationCache(cache).
		// Without reference types a guest has no table.grow, whose memory is the host's and has no limit.
		WithCoreFeatures(api.CoreFeaturesV2.SetEnabled(api.CoreFeatureReferenceTypes, false))
	e := &engine{dir: dir, runtime: wazero.NewRuntimeWithConfig(ctx, config), cache: cache}
	if err := e.exportHost(ctx); err != nil {
		return nil, errors.Join(err, e.close(ctx))
	}
	return e, nil
}

// exportHost builds the two modules that a guest can import.
func (e *engine) exportHost(ctx context.Context) error {
	wasi := e.runtime.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(wasi)
	wasi.NewFunctionBuilder().WithFunc(pollOneoff).Export("poll_oneoff")
	if _, err := wasi.Instantiate(ctx); err != nil {
		return fmt.Errorf("build module %s: %w", wasi_snapshot_preview1.ModuleName, err)
	}
	nx := e.runtime.NewHostModuleBuilder(wire.Module)
	nx.NewFunctionBuilder().WithFunc(nxSend).Export("send")
	nx.NewFunctionBuilder().WithFunc(nxRecv).Export("recv")
	if _, err := nx.Instantiate(ctx); err != nil {
		return fmt.Errorf("build module %s: %w", wire.Module, err)
	}
	return nil
}

// compile has several workers, which look at the context before each function; a single one would not.
func (e *engine) compile(ctx context.Context, code []byte) (wazero.CompiledModule, error) {
	return e.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, max(runtime.GOMAXPROCS(0), 2)), code)
}

// errNotCached is the cause with which a context ends that lets wazero load and not compile.
var errNotCached = errors.New("the module is not in the cache")

// load loads a module that is compiled already, or returns an errNotCached.
func (e *engine) load(ctx context.Context, code []byte) (wazero.CompiledModule, error) {
	loading, cancel := context.WithCancelCause(ctx)
	cancel(errNotCached)
	compiled, err := e.compile(loading, code)
	// wazero's error for a damaged file has no type of its own.
	if err != nil && (isFolders(err) || strings.HasPrefix(err.Error(), "compilationcache: ")) {
		err = fmt.Errorf("%w: %w", errNotCached, err)
	}
	return compiled, err
}

func (e *engine) close(ctx context.Context) error {
	return errors.Join(e.runtime.Close(ctx), e.cache.Close(ctx))
}
