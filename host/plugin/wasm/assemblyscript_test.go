package wasm_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

// compileAssemblyScript builds the example in docs as its first lines say, or skips the test where npx is missing or the registry is
// out of reach; CI has both.
func compileAssemblyScript(t *testing.T) []byte {
	t.Helper()
	source := read(t, "../../../docs/examples/assemblyscript/discovery.ts")
	command := regexp.MustCompile(`// Build: (npx .*)`).FindSubmatch(source)
	if command == nil {
		t.Fatal("the example does not say how it is built")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "discovery.ts"), source, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	words := strings.Fields(string(command[1]))
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // the example's own line
	cmd.Dir = dir
	if b, err := cmd.CombinedOutput(); err != nil {
		text := string(b)
		if os.Getenv("CI") == "" && !strings.Contains(text, "discovery.ts") {
			t.Skipf("the AssemblyScript compiler is not to be had here, so its guest is not tested: %v %s", err, text)
		}
		t.Fatalf("%v\n%s", err, text)
	}
	return read(t, filepath.Join(dir, "sd-rack.wasm"))
}

// TestAssemblyScript puts a guest that was written from docs/abi.md, in a language without an SDK, through the conformance kit.
func TestAssemblyScript(t *testing.T) {
	code := compileAssemblyScript(t)
	t.Logf("the AssemblyScript guest has %d bytes", len(code))
	r := newRuntime(t)
	open := runtimetest.Opener(t, func(tb testing.TB, stderr io.Writer) session.Transport {
		tb.Helper()
		i, err := r.Start(tb.Context(), code, wasm.StartOptions{Name: "sd-rack", Stderr: stderr})
		if err != nil {
			tb.Fatal(err)
		}
		return i
	})
	sdktest.Run(t, sdktest.Case{
		Open: open,
		Kind: sdk.KindDiscovery,
		Good: sdk.Config(`{"hosts": 3, "port": 80}`),
		Bad:  []sdk.Config{sdk.Config(`{"hots": 3}`), sdk.Config(`{"port": -1}`), sdk.Config(`{"port": "http"}`), sdk.Config(`[]`)},
	})
	g, err := open(t.Context(), sdk.KindDiscovery, sdk.Config(`{"hosts": 3, "port": 80}`))
	if err != nil {
		t.Fatal(err)
	}
	updates, ended := make(chan []sdk.Group), make(chan error, 1)
	go func() { ended <- g.Discovery().Run(t.Context(), updates) }()
	for n := 1; n <= 3; n++ {
		groups := <-updates
		last := groups[len(groups)-1]
		if len(groups) != n || last.Targets[0] != "10.0.0."+string(rune('0'+n))+":80" || last.Labels["__meta_rack"] != "a" {
			t.Errorf("update %d is %+v", n, groups)
		}
	}
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil { // It answers its call when it is stopped.
		t.Error(err)
	}
}
