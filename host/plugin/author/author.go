// Package author holds the tools for those who write plugins: a folder to start from, building, looking into a plugin,
// running one alone, trying whether it does what a host relies on, and measuring it.
//
// Start with [New], [Build], [Inspect], [List], [Run], [Test] and [Bench]; each is one subcommand of narthex plugin. They run plugins the
// way the server does, through the catalogue in host/plugin, with the same sandbox, limits and grants.
package author

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/host/plugin/wasm"
)

// List describes the plugins in the directories of o, as a server with these options would find them, sorted by name. A plugin
// that cannot be loaded is listed with the reason.
func List(ctx context.Context, o plugin.Options) ([]plugin.Info, error) { return describe(ctx, o) }

func describe(ctx context.Context, o plugin.Options) (infos []plugin.Info, err error) {
	c, err := plugin.New(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	ch, err := c.Prepare(ctx, plugin.Config{}, nil)
	if err != nil {
		return nil, err
	}
	ch.Apply()
	return c.Plugins(), nil
}

// Inspection is what can be known about a plugin without using it.
type Inspection struct {
	plugin.Info
	SizeBytes int64 `json:"sizeBytes"`
	// Imports are the host's functions that a wasm module uses, as module.name, sorted.
	Imports []string `json:"imports,omitempty"`
	// Implied is what the claimed keys grant by themselves, with the environment of this process, because Prometheus defines
	// what they read. Of the variables it has those that are set.
	Implied *plugin.Given `json:"implied,omitempty"`
}

// Inspect describes the plugin in a file; of o, the cache, the binary for workers and what is said about signatures count. That the file is no plugin, or
// cannot be loaded, is an error.
func Inspect(ctx context.Context, path string, o plugin.Options) (Inspection, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return Inspection{}, err
	}
	infos, err := describe(ctx, plugin.Options{
		Files: []string{path}, CacheDir: o.CacheDir, Worker: o.Worker, TrustedKeys: o.TrustedKeys, RequireSignature: o.RequireSignature,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return Inspection{}, err
	}
	in := Inspection{Info: infos[0], SizeBytes: stat.Size(), Implied: implied(infos[0])}
	if in.State == plugin.StateFailed {
		return Inspection{}, fmt.Errorf("inspect %s: %s", path, in.LastError)
	}
	if in.Transport == plugin.TransportWasm {
		if in.Imports, err = imports(path); err != nil {
			return Inspection{}, fmt.Errorf("inspect %s: %w", path, err)
		}
	}
	return in, nil
}

// implied returns what the claimed keys of a plugin grant to it; nil if nothing.
func implied(info plugin.Info) *plugin.Given {
	var given *plugin.Given
	for _, key := range info.Keys {
		by := grant.ImpliedBy(key, nil, os.Getenv)
		if len(by.Env) == 0 {
			continue
		}
		given = &plugin.Given{HTTP: slices.Concat(by.HTTP, by.Local), Files: by.Files, DNS: []string{}, Env: []string{}}
		for _, name := range by.Env {
			if os.Getenv(name) != "" && slices.Contains(info.Asks.Env, name) {
				given.Env = append(given.Env, name)
			}
		}
	}
	return given
}

// imports returns what a module imports, which was loaded before.
func imports(path string) (names []string, err error) {
	code, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	names, err = wasm.Imports(code)
	slices.Sort(names)
	return slices.Compact(names), err
}
