package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/sdk"
)

// compileC builds testdata/discovery.c, or skips the test where clang or the WASI C library is missing; CI has them.
func compileC(t *testing.T, more ...string) []byte {
	t.Helper()
	clang, err := exec.LookPath("clang")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("clang is not installed: what CI needs is missing")
		}
		t.Skip("clang is not installed, so the C guest is not tested")
	}
	out := filepath.Join(t.TempDir(), "sd-c.wasm")
	args := append([]string{"--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-o", out, "testdata/discovery.c"}, more...)
	if b, err := exec.CommandContext(t.Context(), clang, args...).CombinedOutput(); err != nil {
		incomplete := bytes.Contains(b, []byte("not found")) || bytes.Contains(b, []byte("cannot open")) || bytes.Contains(b, []byte("unable to"))
		if incomplete && os.Getenv("CI") == "" {
			t.Skipf("clang cannot build for WASI here, so the C guest is not tested: %s", b)
		}
		t.Fatalf("%v\n%s", err, b)
	}
	code, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestC(t *testing.T) {
	code := compileC(t)
	t.Logf("the C guest has %d bytes", len(code))
	i, err := newRuntime(t).Start(t.Context(), code, wasm.StartOptions{Name: "sd-c"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.Open(t.Context(), i, session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	updates := make(chan []sdk.Group)
	ended := make(chan error, 1)
	go func() { ended <- s.Discovery().Run(ctx, updates) }()
	for _, want := range []string{"10.0.0.1:9100", "10.0.0.2:9100"} {
		if g := <-updates; len(g) != 1 || g[0].Targets[0] != want {
			t.Errorf("update %+v, want %s", g, want)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestABIDocument keeps the example in the documentation equal to the one that is tested.
func TestABIDocument(t *testing.T) {
	source, err := os.ReadFile("testdata/discovery.c")
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../../../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(document), string(source)) {
		t.Error("docs/abi.md does not hold testdata/discovery.c as it is")
	}
}
