package worker_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/host/plugin/worker"
)

func compile(t *testing.T, cache wasm.Cache, o worker.Options, fullSpeed bool) error {
	t.Helper()
	return cache.Fill(o.SHA256, fullSpeed, func(dir string) error {
		return worker.Compile(t.Context(), guests.Host(t), worker.CompileOptions{Path: o.Path, SHA256: o.SHA256, Dir: dir, FullSpeed: fullSpeed})
	})
}

// TestCompile: what another process compiled is loaded, in either mode, and nothing is compiled here.
func TestCompile(t *testing.T) {
	o, cache := options(t), wasm.Cache{Dir: t.TempDir()}
	code, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	load := func(fullSpeed bool) (log string) {
		t.Helper()
		var text bytes.Buffer
		r := wasm.New(wasm.Options{
			Caches: []wasm.Cache{cache}, FullSpeed: fullSpeed, Logger: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err := errors.Join(r.Compile(t.Context(), code), r.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	for _, fullSpeed := range []bool{false, true} {
		if cache.Has(o.SHA256, fullSpeed) {
			t.Error("there is something already")
		}
		if err := compile(t, cache, o, fullSpeed); err != nil {
			t.Fatal(err)
		}
		if log := load(fullSpeed); log != "" || !cache.Has(o.SHA256, fullSpeed) {
			t.Errorf("after compiling for full speed %v, loading says %s", fullSpeed, log)
		}
	}
}

// bomb is a module of 150 kB that takes gigabytes to compile: each of thousands of variables may have another value after each of
// thousands of loops.
func bomb() []byte {
	const variables, loops = 5000, 5000
	const get, set, constant, add, isZero = 0x20, 0x21, 0x42, 0x7c, 0x50
	body := append(append([]byte{1}, uvarint(variables)...), 0x7e) // of 64 bits
	index := func(op byte, i int) { body = append(append(body, op), uvarint(i)...) }
	for i := range variables {
		index(get, 0)
		index(set, 1+i)
	}
	for i := range loops {
		body = append(body, 0x03, 0x40) // loop
		index(get, 1+i%variables)
		body = append(body, constant, 1, add)
		index(set, 1+i%variables)
		index(get, 1+i%variables)
		body = append(body, isZero, 0x0d, 0, 0x0b) // back to its begin if so
	}
	index(get, 0)
	for i := range variables {
		index(get, 1+i)
		body = append(body, add)
	}
	body = append(body, 0x0b)
	section := func(id byte, content []byte) []byte {
		return append(append([]byte{id}, uvarint(len(content))...), content...)
	}
	module := append([]byte("\x00asm\x01\x00\x00\x00"), section(1, []byte{1, 0x60, 1, 0x7e, 1, 0x7e})...)
	module = append(module, section(3, []byte{1, 0})...)
	return append(module, section(10, append(append([]byte{1}, uvarint(len(body))...), body...))...)
}

func uvarint(n int) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// TestCompileFails: whatever is wrong ends the process that compiles, with a reason, and leaves nothing behind.
func TestCompileFails(t *testing.T) {
	write := func(content []byte) (o worker.Options) {
		t.Helper()
		o.Path = filepath.Join(t.TempDir(), "guest.wasm")
		if err := os.WriteFile(o.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		o.SHA256 = hex.EncodeToString(sum[:])
		return o
	}
	changed := options(t)
	changed.SHA256 = strings.Repeat("0", 64)
	cases := map[string]worker.Options{
		"no wasm module":                      write([]byte("#!/bin/sh")),
		"truncated":                           write([]byte("\x00asm\x01\x00\x00\x00\x01\x7f")),
		"compile module: ":                    write([]byte("\x00asm\x01\x00\x00\x00\x01\x01\x7f")),
		"changed since the config was loaded": changed,
	}
	if runtime.GOOS == "linux" && !raceDetector {
		cases["more than the "] = write(bomb())
	}
	for want, o := range cases {
		cache := wasm.Cache{Dir: t.TempDir()}
		err := compile(t, cache, o, false)
		if failed := (*process.TaskError)(nil); !errors.As(err, &failed) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, want)
		}
		if left, err := os.ReadDir(cache.Dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	// What is wrong with the folder is told apart.
	o := options(t)
	o2 := worker.CompileOptions{Path: o.Path, SHA256: o.SHA256, Dir: filepath.Join(o.Path, "below a file")}
	if folder := (*wasm.FolderError)(nil); !errors.As(worker.Compile(t.Context(), own(t), o2), &folder) || !strings.Contains(folder.Error(), "is not dir") &&
		!strings.Contains(folder.Error(), "not a directory") {
		t.Errorf("with a file for a folder: %v", folder)
	}
	err := worker.Compile(t.Context(), filepath.Join(t.TempDir(), "gone"), worker.CompileOptions{Path: changed.Path})
	if !errors.Is(err, process.ErrNotStarted) {
		t.Errorf("without a binary: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := worker.Compile(ctx, os.Args[0], worker.CompileOptions{Path: changed.Path}); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}
