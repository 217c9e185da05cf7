// Package worker is the process in which a sandboxed guest runs at full speed: the host starts its own binary once more, and
// that runs one wasm module without the checks that make it interruptible. The host's watchdog is the end of the process. And it is
// the process in which a module is compiled before it runs anywhere, where that disturbs nobody: [Compile].
//
// Start with [Main], which a host's main calls when its first argument is [Command]; [Options] travel as the second one. To the
// host, a worker is a child of package process like a native plugin: frames over one stream, a lifeline, a small environment.
// To the guest nothing is different: what it reaches goes over frames, and so through the grants in the host.
package worker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/sdk/wire"
	"github.com/narthex-io/narthex/sdk/wire/framegrpc"
)

// Command is the first argument of a worker's command line.
const Command = "plugin-worker"

// Options say which module to run, and how.
type Options struct {
	// Path is the module's file, and SHA256 what its bytes must have in hexadecimal.
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	// Name is the guest's argv[0].
	Name string `json:"name"`
	// MemoryBytes is the most linear memory that the guest may have; 0 is the default of package wasm.
	MemoryBytes uint64 `json:"memory_bytes,omitempty"`
	// MessageBytes and QueueBytes are as in package wasm.
	MessageBytes uint32 `json:"message_bytes,omitempty"`
	QueueBytes   int    `json:"queue_bytes,omitempty"`
	// Caches are as in package wasm.
	Caches []wasm.Cache `json:"caches,omitempty"`
}

// hostBytes is what a worker may hold besides the guest's memory and messages: the host's binary, compiled code, and
// the guest's call stack, which the runtime lets grow to 84 MB, and copies to grow it.
const hostBytes = 512 << 20

// startTimeout bounds a start that has to compile, because the host has not. Ten megabytes of module take some eight seconds of a core.
const startTimeout = 2 * time.Minute

// Start starts a worker and waits for its handshake. The binary is a host's own. ctx bounds that and not the worker's life; the
// caller closes the Child.
func Start(ctx context.Context, binary string, o Options, stderr io.Writer) (*process.Child, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode the options of a worker: %w", err)
	}
	return process.Start(ctx, binary, process.StartOptions{
		Args: []string{Command, string(text)}, Reasons: true, MessageBytes: o.MessageBytes, StartTimeout: startTimeout,
		Stderr: stderr,
	})
}

// Main runs the worker whose arguments, after [Command], are args. It does not return.
func Main(args []string) {
	if len(args) == 2 && args[0] == compileTask {
		compileMain(args[1])
	}
	if !framegrpc.Started() || len(args) != 1 {
		fmt.Fprintln(os.Stderr, "narthex "+Command+" is how the server runs a plugin in a process of its own; there is no use for it by hand")
		os.Exit(1)
	}
	var o Options
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		fmt.Fprintf(os.Stderr, "decode the worker's options: %v\n", err)
		os.Exit(1)
	}
	stderr := os.Stderr // before go-plugin replaces it
	// Compiling comes before the handshake, whose time limit allows for it.
	m, err := load(context.Background(), o)
	framegrpc.Serve(func(ctx context.Context, s framegrpc.Stream) error {
		if err != nil {
			return process.EncodeEnd(err)
		}
		return process.EncodeEnd(m.run(ctx, s, stderr))
	})
}

// module is what a worker runs.
type module struct {
	options Options
	code    []byte
	runtime *wasm.Runtime
}

// load reads and compiles the module.
func load(ctx context.Context, o Options) (*module, error) {
	code, err := readModule(o.Path, o.SHA256)
	if err != nil {
		return nil, err
	}
	r := wasm.New(wasm.Options{Caches: o.Caches, FullSpeed: true})
	messages := 2*uint64(o.MessageBytes) + uint64(o.QueueBytes) //nolint:gosec // the host's, not negative
	if err := limitMemory(cmp.Or(o.MemoryBytes, wasm.DefaultMemoryBytes) + hostBytes + messages); err != nil {
		return nil, err
	}
	return &module{options: o, code: code, runtime: r}, r.Compile(ctx, code)
}

// readModule reads a file if its digest is the wanted one.
func readModule(path, digest string) ([]byte, error) {
	code, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(code); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("%s changed since the config was loaded: reload the config to use the new file", path)
	}
	return code, nil
}

// run runs the module and moves its frames until it ends.
func (m *module) run(ctx context.Context, s framegrpc.Stream, stderr io.Writer) error {
	i, err := m.runtime.Start(ctx, m.code, wasm.StartOptions{
		Name: m.options.Name, Stderr: stderr,
		MemoryBytes: m.options.MemoryBytes, MessageBytes: m.options.MessageBytes, QueueBytes: m.options.QueueBytes,
	})
	if err != nil {
		return err
	}
	go func() { // ends with the stream, or with the process
		for {
			f, err := framegrpc.Recv(s)
			if err != nil || i.Send(ctx, f) != nil {
				return
			}
		}
	}()
	return forward(ctx, s, i)
}

// forward sends the guest's frames to the host until the guest ends. Nil means that it ended well.
func forward(ctx context.Context, s framegrpc.Stream, from interface {
	Recv(ctx context.Context) (wire.Frame, error)
},
) error {
	for {
		f, err := from.Recv(ctx)
		if end, ok := errors.AsType[*session.EndError](err); ok && end.Reason == session.ReasonExit && end.Code == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if err := framegrpc.Send(s, f); err != nil {
			return err
		}
	}
}
