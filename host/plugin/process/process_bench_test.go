package process_test

import (
	"io"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/sdk"
)

// The same benchmarks exist for wasm, so that benchstat can compare them.

func BenchmarkCall(b *testing.B) {
	for name, c := range map[string]kitchen.Config{
		"body=0":   {Do: "echo"},
		"body=1MB": {Do: "giant", Size: 1 << 20},
	} {
		b.Run(name, func(b *testing.B) {
			s := suite(b, process.StartOptions{}).Open(b, sdk.KindExporter, c)
			b.SetBytes(int64(c.Size))
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Exporter().Collect(b.Context(), io.Discard); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(s.Stats().MemoryBytes), "resident-B")
		})
	}
}

func BenchmarkStart(b *testing.B) {
	s := suite(b, process.StartOptions{})
	b.ReportAllocs()
	for b.Loop() {
		sess := s.Open(b, sdk.KindExporter, kitchen.Config{Do: "echo"})
		if err := sess.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
