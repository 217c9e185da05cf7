package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// residue is what a test binary holds that guests might leave behind.
type residue struct {
	goroutines, descriptors, processes, files int
	heap                                      uint64
}

// residueOf counts, on Linux, what there is, temp being the folder for temporary files.
func residueOf(t *testing.T, temp string) residue {
	t.Helper()
	r := residue{goroutines: runtime.NumGoroutine(), files: len(list(t, temp)), descriptors: len(list(t, "/proc/self/fd"))}
	for _, path := range list(t, "/proc") {
		if pid, err := strconv.Atoi(path); err == nil && parent(pid) == os.Getpid() {
			r.processes++
		}
	}
	runtime.GC()
	runtime.GC() // what has a finalizer is free only now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.heap = m.HeapAlloc
	return r
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func parent(pid int) int {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(fields[1]) // 0 is nobody's
	return n
}

// wantNoMore waits until there is not more than before, but for a few things that a runtime keeps and for slack bytes of heap.
func (r residue) wantNoMore(t *testing.T, temp string, slack uint64) {
	t.Helper()
	const few = 5
	var now residue
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		now = residueOf(t, temp)
		if now.goroutines <= r.goroutines+few && now.descriptors <= r.descriptors+few && now.processes <= r.processes &&
			now.files <= r.files && now.heap <= r.heap+slack {
			t.Logf("before %v; after %v", r, now)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("something stayed behind: before %v; after %v", r, now)
		}
	}
}

func (r residue) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d processes, %d temporary files, %.1f MiB of heap",
		r.goroutines, r.descriptors, r.processes, r.files, float64(r.heap)/(1<<20))
}
