package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/wasm"
)

// compileTask is the second argument of a process that compiles one module and ends; then come its options.
const compileTask = "compile"

// CompileOptions say which module to compile, and for what.
type CompileOptions struct {
	// Path is the module's file, and SHA256 what its bytes must have in hexadecimal.
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	// Dir is an empty folder for what is compiled: see [wasm.Cache.Fill].
	Dir string `json:"dir"`
	// FullSpeed is as in package wasm.
	FullSpeed bool `json:"full_speed,omitempty"`
	// MemoryBytes is the most memory that the process may use; set by Compile from the module's size.
	MemoryBytes uint64 `json:"memory_bytes"`
}

// What compiling may cost. Go guests of 5 and 10 MB need 150 and 250 MB and up to eight seconds of a core.
const (
	compileBytes        = 256 << 20
	compileBytesPerByte = 48
	// compileTimeout allows for a machine that has nearly no time to spare for a process of low priority.
	compileTimeout = 5 * time.Minute
)

// ErrCompileTimeout is the error of a compilation that took too long.
var ErrCompileTimeout = fmt.Errorf("compiling took more than %v", compileTimeout)

// Compile compiles a module in a process of its own, at low priority, on half of the cores that this process uses. The binary is
// a host's own. That the module could not be compiled is a [process.TaskError], and that the folder takes nothing a
// [wasm.FolderError]; it ends with ctx.
func Compile(ctx context.Context, binary string, o CompileOptions) error {
	info, err := os.Stat(o.Path)
	if err != nil {
		return err
	}
	o.MemoryBytes = compileBytes + compileBytesPerByte*uint64(info.Size()) //nolint:gosec // not negative
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode the options of a compilation: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, compileTimeout, ErrCompileTimeout)
	defer cancel()
	err = process.Run(ctx, binary, []string{Command, compileTask, string(text)}, []string{
		"GOMAXPROCS=" + strconv.Itoa(max(runtime.GOMAXPROCS(0)/2, 1)),
		"GOMEMLIMIT=" + strconv.FormatUint(o.MemoryBytes/4*3, 10),
	})
	if failed, ok := errors.AsType[*process.TaskError](err); ok {
		return explain(failed, o)
	}
	return err
}

// folderStatus is the exit status of a compilation that could not write to its folder.
const folderStatus = 3

// explain makes one line of how a compilation failed.
func explain(e *process.TaskError, o CompileOptions) error {
	first, _, _ := strings.Cut(strings.TrimSpace(e.Stderr), "\n")
	if e.Code == folderStatus {
		return &wasm.FolderError{Dir: o.Dir, Err: errors.New(first)}
	}
	if strings.Contains(e.Stderr, "out of memory") || strings.Contains(e.Stderr, "cannot allocate memory") {
		first = fmt.Sprintf("compiling takes more than the %d bytes of memory that a module of its size may use", o.MemoryBytes)
	}
	return &process.TaskError{Status: e.Status, Code: e.Code, Stderr: first}
}

// compileMain compiles what the options say. It does not return.
func compileMain(text string) {
	process.Hold()
	err := compile(context.Background(), text)
	if folder, ok := errors.AsType[*wasm.FolderError](err); ok {
		fmt.Fprintln(os.Stderr, folder.Err)
		os.Exit(folderStatus)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func compile(ctx context.Context, text string) error {
	var o CompileOptions
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("decode the options of a compilation: %w", err)
	}
	lowerPriority()
	if err := limitMemory(o.MemoryBytes); err != nil {
		return err
	}
	code, err := readModule(o.Path, o.SHA256)
	if err != nil {
		return err
	}
	return wasm.CompileInto(ctx, o.Dir, code, o.FullSpeed)
}
