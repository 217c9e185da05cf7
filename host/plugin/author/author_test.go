package author

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/sdk"
)

func TestMain(m *testing.M) {
	var err error
	if guests, err = runtimetest.NewGuests(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = guests.Close()
		os.Exit(code)
	}))
}

// guests has the host's binary and the cache.
var guests *runtimetest.Guests

// write writes a new plugin into dir, and vets and tests it as its author would.
func write(t *testing.T, name string, kind sdk.Kind, dir string) Scaffold {
	t.Helper()
	s, err := New(t.Context(), name, kind, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"vet", "test"} {
		if err := goCommand(t.Context(), dir, nil, command, "./..."); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// options are those of a command: the host's binary compiles.
func options(t *testing.T, cache string) plugin.Options {
	t.Helper()
	return plugin.Options{CacheDir: cache, Worker: guests.Host(t)}
}

// build builds the plugin in dir to wasm, outside of dir.
func build(t *testing.T, dir, cache string) Built {
	t.Helper()
	built, err := Build(t.Context(), dir, TargetWasm, t.TempDir(), options(t, cache))
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// TestNewDiscovery goes an author's whole way.
func TestNewDiscovery(t *testing.T) {
	ctx, cache := t.Context(), guests.CacheDir()
	dir := filepath.Join(t.TempDir(), "mine")
	s := write(t, "acme", sdk.KindDiscovery, dir)
	if s.Plugin != "sd-acme" || s.Key != "acme_sd_configs" || !slices.Equal(s.Files, []string{"README.md", "go.mod", "go.sum", "main.go", "main_test.go"}) {
		t.Fatalf("%+v", s)
	}
	built, err := Build(ctx, dir, TargetWasm, "", options(t, cache))
	if err != nil {
		t.Fatal(err)
	}
	if built.Path != filepath.Join(dir, "sd-acme.wasm") || built.Name != "sd-acme" || built.Version != "0.1.0" || built.SizeBytes < 1<<20 {
		t.Errorf("%+v", built)
	}
	if !slices.Contains(built.Imports, "nx1.send") || !slices.Contains(built.Imports, "wasi_snapshot_preview1.poll_oneoff") {
		t.Errorf("imports %v", built.Imports)
	}
	var out bytes.Buffer
	err = Run(ctx, built.Path, RunOptions{Config: json.RawMessage(`{"targets": ["x:1", "y:2"]}`), Once: true, CacheDir: cache}, &out)
	if err != nil {
		t.Fatal(err)
	}
	var groups []sdk.Group
	if err := json.Unmarshal(out.Bytes(), &groups); err != nil || len(groups) != 1 || !slices.Equal(groups[0].Targets, []string{"x:1", "y:2"}) {
		t.Errorf("%s, %v", &out, err)
	}
	if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err != nil || bytes.Contains(mod, []byte("aws")) || !bytes.Contains(mod, []byte("go-plugin")) {
		t.Errorf("go.mod has not what the SDK needs alone: %s, %v", mod, err)
	}
	if err := Test(ctx, built.Path, TryOptions{CacheDir: cache, Worker: guests.Host(t)}, &out); err == nil || !strings.Contains(err.Error(), "no config was given") {
		t.Errorf("tried without a config: %v", err)
	}
	tryDiscovery(t, built.Path, cache)
	splits := func(json.RawMessage) (json.RawMessage, *http.Client, error) {
		return json.RawMessage(`{"targets": ["z:3"]}`), nil, nil
	}
	out.Reset()
	whole := RunOptions{Config: json.RawMessage(`{"targets": ["z:3"], "proxy_url": ""}`), Split: splits, Once: true, CacheDir: cache}
	if err := Run(ctx, built.Path, whole, &out); err != nil || !strings.Contains(out.String(), `"z:3"`) {
		t.Errorf("with fields of the HTTP client: %s, %v", &out, err)
	}
	err = Run(ctx, built.Path, RunOptions{Config: json.RawMessage(`{"target": []}`), CacheDir: cache}, &out)
	if err == nil || !strings.Contains(err.Error(), `unknown field "target"`) {
		t.Errorf("a bad config: %v", err)
	}
}

// tryDiscovery has the kit pass, and fail where it has to, in both places.
func tryDiscovery(t *testing.T, path, cache string) {
	t.Helper()
	o := TryOptions{Config: json.RawMessage(`{"targets": ["x:1"]}`), CacheDir: cache, Worker: guests.Host(t), Patience: time.Minute, Duration: time.Millisecond}
	var out bytes.Buffer
	if err := Test(t.Context(), path, o, &out); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
	text := regexp.MustCompile(` +\S+\n`).ReplaceAllString(out.String(), "\n")
	const parts = "  ok    manifest\n  ok    bad-config\n  ok    discovery\n  ok    close\n"
	if !strings.HasPrefix(out.String(), path+": sd-acme 0.1.0, discovery, ") ||
		!strings.Contains(text, "\ninline\n"+parts+"\nworker\n"+parts+"\nsd-acme") || !strings.HasSuffix(out.String(), "\nsd-acme passes\n") {
		t.Errorf("%s", &out)
	}
	out.Reset()
	o.Bad, o.Places = []json.RawMessage{o.Config}, []plugin.Isolation{plugin.IsolationInline}
	if err := Test(t.Context(), path, o, &out); !errors.Is(err, ErrFailed) || !strings.Contains(out.String(), "FAIL  bad-config") ||
		!strings.Contains(out.String(), `        config {"targets": ["x:1"]} is taken`) {
		t.Errorf("%v\n%s", err, &out)
	}
	o.Kind = sdk.KindExporter
	if err := Test(t.Context(), path, o, &out); err == nil || !strings.Contains(err.Error(), "no plugin of kind exporter") {
		t.Error(err)
	}
	o.Kind = ""
	all, err := Bench(t.Context(), path, o)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	if m := all[0]; m.Place != "inline" || m.Cold < m.Cached || m.Warm == 0 || m.FirstUpdate == 0 || m.MemoryBytes < 1<<20 {
		t.Errorf("%+v", m)
	}
	o.Config = json.RawMessage(`{"target": []}`)
	if _, err := Bench(t.Context(), path, o); err == nil || !strings.Contains(err.Error(), `unknown field "target"`) {
		t.Error(err)
	}
}

func TestNewExporter(t *testing.T) {
	ctx, cache := t.Context(), guests.CacheDir()
	dir, plugins := filepath.Join(t.TempDir(), "x"), t.TempDir()
	s := write(t, "exporter-two-words", sdk.KindExporter, dir)
	if s.Plugin != "exporter-two-words" || s.Key != "" {
		t.Fatalf("%+v", s)
	}
	host := options(t, cache) // before the folder changes: it is built in this one
	t.Chdir(plugins)
	for _, target := range []Target{TargetNative, TargetWasm} {
		built, err := Build(ctx, dir, target, plugins, host)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Run(ctx, filepath.Base(built.Path), RunOptions{Once: true, CacheDir: cache}, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), `two_words_uptime_seconds{greeting="hello"} `) {
			t.Errorf("%s", &out)
		}
		if target == TargetWasm { // TestNewDiscovery tries one.
			continue
		}
		o := TryOptions{CacheDir: cache, Patience: time.Minute, Duration: time.Millisecond}
		out.Reset()
		if err := Test(ctx, built.Path, o, &out); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
		all, err := Bench(ctx, built.Path, o)
		if err != nil || len(all) != 1 || all[0].Calls < 10 || all[0].Least == 0 || all[0].Least > all[0].Median || all[0].OutBytes == 0 {
			t.Errorf("%+v, %v", all, err)
		}
		out.Reset()
		if err := WriteBench(&out, all); err != nil || !strings.Contains(out.String(), all[0].Place) || !strings.Contains(out.String(), "call, shortest") {
			t.Errorf("%s, %v", &out, err)
		}
	}
	if err := os.WriteFile(filepath.Join(plugins, "sd-broken.wasm"), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	infos, err := List(ctx, plugin.Options{Directories: []string{plugins}, CacheDir: cache})
	if err != nil || len(infos) != 2 {
		t.Fatalf("%+v, %v", infos, err)
	}
	if i := infos[0]; i.Name != s.Plugin || i.Transport != plugin.TransportWasm || i.State != plugin.StateUnused {
		t.Errorf("%+v", i)
	}
	if i := infos[1]; i.State != plugin.StateFailed || i.LastError == "" {
		t.Errorf("%+v", i)
	}
}

func TestNewParser(t *testing.T) {
	ctx, cache := t.Context(), guests.CacheDir()
	dir := filepath.Join(t.TempDir(), "x")
	s := write(t, "status-page", sdk.KindParser, dir)
	if s.Plugin != "parser-status-page" || s.Key != "" {
		t.Fatalf("%+v", s)
	}
	built := build(t, dir, cache)
	run := func(body string) (string, error) {
		var out bytes.Buffer
		o := RunOptions{Config: json.RawMessage(`{"prefix": "x_"}`), Body: strings.NewReader(body), CacheDir: cache}
		err := Run(ctx, built.Path, o, &out)
		return out.String(), err
	}
	if out, err := run("requests: 17\n\nload: 5e-1\n"); err != nil || out != "x_requests 17\nx_load 0.5\n" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := run("requests: many\n"); err == nil || !strings.Contains(err.Error(), `plugin parser-status-page: line 1: "many" is no number`) {
		t.Errorf("%q, %v", out, err)
	}
	if in, err := Inspect(ctx, built.Path, options(t, cache)); err != nil || len(in.ContentTypes) != 1 || in.ContentTypes[0] != "text/x-status_page" {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestNewNotifier(t *testing.T) {
	ctx, cache := t.Context(), guests.CacheDir()
	dir := filepath.Join(t.TempDir(), "x")
	s := write(t, "pager", sdk.KindNotify, dir)
	if s.Plugin != "notify-pager" || s.Key != "pager_notify_configs" {
		t.Fatalf("%+v", s)
	}
	built := build(t, dir, cache)
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	defer server.Close()
	var out bytes.Buffer
	if err := Run(ctx, built.Path, RunOptions{Config: json.RawMessage(`{"url": "` + server.URL + `"}`), CacheDir: cache}, &out); err != nil {
		t.Fatal(err)
	}
	if text := <-got; !strings.HasPrefix(text, "firing: Example ") || !strings.HasPrefix(out.String(), "delivered:\n{") {
		t.Errorf("posted %q, printed %s", text, &out)
	}
}

func TestNewRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses := func(name string, kind sdk.Kind, dir, want string) {
		t.Helper()
		if _, err := New(t.Context(), name, kind, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %q: error %v, want %q", name, kind, err, want)
		}
	}
	refuses("acme", "poet", t.TempDir(), "kind")
	refuses("Acme", sdk.KindDiscovery, t.TempDir(), "name")
	refuses("../acme", sdk.KindDiscovery, t.TempDir(), "name")
	refuses("", sdk.KindDiscovery, t.TempDir(), "name")
	refuses("acme", sdk.KindDiscovery, full, "not empty")
}

// TestExplainedOnlyWhereAConfigHelps: who interrupts a start is not told to give a config.
func TestExplainedOnlyWhereAConfigHelps(t *testing.T) {
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	refused, config := errors.New("url: missing"), json.RawMessage("{}")
	for _, c := range []struct {
		ctx    context.Context
		config json.RawMessage
		want   bool
	}{{t.Context(), nil, true}, {t.Context(), config, false}, {interrupted, nil, false}} {
		if err := explained(c.ctx, refused, c.config); !errors.Is(err, refused) || strings.Contains(err.Error(), "--config") != c.want {
			t.Errorf("%v with config %q: %v", c.ctx.Err(), c.config, err)
		}
	}
}

func TestBuildReportsTheCompiler(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module x\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { nothing() }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Build(t.Context(), dir, TargetWasm, "", plugin.Options{})
	if err == nil || !strings.Contains(err.Error(), "main.go:3:15") {
		t.Errorf("error %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".build-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := Build(t.Context(), dir, "jar", "", plugin.Options{}); err == nil {
		t.Error("a strange target is taken")
	}
}

// TestBuildAsksNoGit: a checkout that git refuses to look at, as it does where somebody else owns it, is built all the same.
func TestBuildAsksNoGit(t *testing.T) {
	t.Setenv("GOFLAGS", "-buildvcs=auto") // the go command's own default, whatever the machine's is
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module x\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n", ".git/HEAD": "broken"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := goBuild(t.Context(), dir, TargetWasm, filepath.Join(dir, "x.wasm")); err != nil {
		t.Error(err)
	}
}

func TestInspectRefusesWhatIsNoPlugin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.wasm")
	if err := os.WriteFile(path, []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, filepath.Dir(path), filepath.Join(filepath.Dir(path), "missing")} {
		if _, err := Inspect(t.Context(), p, plugin.Options{CacheDir: t.TempDir()}); err == nil {
			t.Errorf("%s is a plugin", p)
		}
	}
}

func TestNewSigner(t *testing.T) {
	ctx, cache := t.Context(), guests.CacheDir()
	dir := filepath.Join(t.TempDir(), "x")
	s := write(t, "acme", "auth", dir)
	if s.Plugin != "auth-acme" || s.Key != "acme_auth" {
		t.Fatalf("%+v", s)
	}
	built := build(t, dir, cache)
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("mellon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(url, config string) (string, error) {
		var out bytes.Buffer
		err := Run(ctx, built.Path, RunOptions{
			Config: json.RawMessage(config), CacheDir: cache, BaseDir: dir, Request: sdk.AuthRequest{Method: "GET", URL: url},
		}, &out)
		return out.String(), err
	}
	out, err := sign("/metrics", `{"user": "bob", "key_file": "key"}`)
	if want := "signed: GET http://localhost:9090/metrics\nAuthorization: HMAC bob:"; err != nil || !strings.HasPrefix(out, want) {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := sign("http://h/", `{"user": "bob", "key_file": "missing"}`); err == nil || !strings.Contains(err.Error(), "plugin auth-acme: read "+dir+"/missing") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestNewAuthenticator(t *testing.T) {
	ctx, cache := t.Context(), guests.CacheDir()
	dir := filepath.Join(t.TempDir(), "x")
	s := write(t, "door", sdk.KindAuthInbound, dir)
	if s.Plugin != "auth-door" || s.Key != "door_auth" || s.Use != "use door_auth below web.auth" {
		t.Fatalf("%+v", s)
	}
	built := build(t, dir, cache)
	ask := func(method, url, key string) (string, error) {
		var out bytes.Buffer
		r := sdk.AuthRequest{Method: method, URL: url, Header: sdk.Header{"X-Api-Key": {key}}, RemoteAddr: "192.0.2.1:1"}
		config := `{"keys": {"bob": "83006a438f94daf3a7dd9c7b27f70c15e443c0ca55d58fcdfa76899ae466b455"}}`
		err := Run(ctx, built.Path, RunOptions{Config: json.RawMessage(config), CacheDir: cache, Request: r}, &out)
		return out.String(), err
	}
	if out, err := ask("GET", "/metrics", "mellon"); err != nil || out != "allowed: GET /metrics of user \"bob\"\n" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := ask("", "", "friend"); err == nil || !strings.Contains(err.Error(), "status 401: the key is wrong (WWW-Authenticate: ApiKey)") {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := ask("POST", "/-/reload", "mellon"); err == nil || !strings.Contains(err.Error(), "status 403: bob may only read") {
		t.Errorf("%q, %v", out, err)
	}
}
