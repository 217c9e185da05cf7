//go:build linux

package node

import (
	"io"
	"log/slog"
	"testing"

	"github.com/narthex-io/narthex/sdk"
)

// BenchmarkCollect is one scrape of the machine it runs on under the default config.
func BenchmarkCollect(b *testing.B) {
	e, err := New(nil, sdk.Host{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Collect(b.Context(), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
