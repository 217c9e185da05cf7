package plugin

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestWatcher(t *testing.T) {
	top := t.TempDir()
	dir, lock := filepath.Join(top, "plugins"), filepath.Join(top, "etc", LockName)
	var mu sync.Mutex
	dirs := []string{dir}
	calls := make(chan struct{}, 100)
	w := NewWatcher(WatchOptions{
		Directories: func() []string {
			mu.Lock()
			defer mu.Unlock()
			return dirs
		},
		Files: func() []string { return []string{lock} },
		Quiet: 20 * time.Millisecond, Poll: 50 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, func(context.Context) { calls <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	await := func(what string) {
		t.Helper()
		select {
		case <-calls:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is not noticed", what)
		}
	}
	write(filepath.Join(dir, "sd-a.wasm"), "1")
	await("a folder that appears with a plugin")
	write(filepath.Join(dir, "sd-a.wasm"), "22")
	await("a file that was overwritten")
	write(filepath.Join(dir, ".sd-a.tmp"), "333")
	if err := os.Rename(filepath.Join(dir, ".sd-a.tmp"), filepath.Join(dir, "sd-a.wasm")); err != nil {
		t.Fatal(err)
	}
	await("a file that was replaced")
	write(lock, "x")
	await("the lock")
	if err := os.Remove(filepath.Join(dir, "sd-a.wasm")); err != nil {
		t.Fatal(err)
	}
	await("a file that was removed")
	other := filepath.Join(top, "other")
	write(filepath.Join(other, "sd-b"), "1")
	mu.Lock()
	dirs = []string{other}
	mu.Unlock()
	await("another folder")

	// A file that is being written counts once, when it is complete.
	for range 10 {
		f, err := os.OpenFile(filepath.Join(other, "sd-b"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("more"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	await("a file that grew")
	select {
	case <-calls:
		t.Log("the machine was slow: a file that grew counted twice")
	default:
	}
}
