package wasm_test

import (
	"context"
	"io"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/sdk"
)

// The same benchmarks exist for processes, so that benchstat can compare them.

func BenchmarkCall(b *testing.B) {
	for name, c := range map[string]kitchen.Config{
		"body=0":   {Do: "echo"},
		"body=1MB": {Do: "giant", Size: 1 << 20},
	} {
		b.Run(name, func(b *testing.B) {
			s := suite(b).Open(b, sdk.KindExporter, c)
			b.SetBytes(int64(c.Size))
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Exporter().Collect(b.Context(), io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStart(b *testing.B) {
	s := suite(b)
	b.ReportAllocs()
	for b.Loop() {
		sess := s.Open(b, sdk.KindExporter, kitchen.Config{Do: "echo"})
		if err := sess.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, pkg := range []string{runtimetest.Minimal, runtimetest.Kitchen} {
		code := read(b, guests.Wasm(b, pkg))
		name := "guest=" + filepath.Base(filepath.Dir(pkg))
		if pkg == runtimetest.Minimal {
			name = "guest=minimal"
		}
		run := func(b *testing.B, dir func() string) {
			b.Helper()
			once := func() {
				r := wasm.New(wasm.Options{Caches: []wasm.Cache{{Dir: dir()}}})
				if err := r.Compile(b.Context(), code); err != nil {
					b.Fatal(err)
				}
				if err := r.Close(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			once() // fills a cache that stays
			for b.Loop() {
				once()
			}
			b.ReportMetric(float64(len(code)), "wasm-bytes")
		}
		b.Run(name+"/cache=cold", func(b *testing.B) { run(b, b.TempDir) })
		b.Run(name+"/cache=disk", func(b *testing.B) {
			dir := b.TempDir()
			run(b, func() string { return dir })
		})
	}
}

// BenchmarkMemory reports what one more instance of a compiled guest costs.
func BenchmarkMemory(b *testing.B) {
	s := suite(b)
	s.Open(b, sdk.KindExporter, kitchen.Config{Do: "echo"})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, n, linear := heap(), 0, uint64(0)
	for b.Loop() {
		sess := s.Open(b, sdk.KindExporter, kitchen.Config{Do: "echo"})
		linear = sess.Stats().MemoryBytes
		n++
	}
	b.ReportMetric(float64(heap()-before)/float64(n), "heap-B/instance")
	b.ReportMetric(float64(linear), "linear-B/instance")
}
