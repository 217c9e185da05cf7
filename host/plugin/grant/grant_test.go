package grant_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDerive(t *testing.T) {
	m := sdk.Manifest{Name: "sd-x", Asks: sdk.Asks{
		HTTP:  []string{"server", "clusters[*].api.url", "absent.url"},
		Files: []string{"files[*]", "token_file"},
	}}
	config := sdk.Config(`{"server":"https://CMDB.internal","clusters":[{"api":{"url":"http://a:8080/x"}},{"api":null}],` +
		`"files":["targets/*.json","/abs/b.yml",""],"n":12345678901234567890}`)
	set, seen, err := grant.Derive(m, config, grant.Options{BaseDir: "/etc/narthex", HTTP: []string{"http://extra"}, Files: []string{"certs"}})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, set.HTTP.Origins(), "http://a:8080", "http://extra:80", "https://cmdb.internal:443")
	equal(t, set.Files.Patterns(), "/abs/b.yml", "/etc/narthex/certs", "/etc/narthex/targets/*.json")
	want := `{"clusters":[{"api":{"url":"http://a:8080/x"}},{"api":null}],"files":["/etc/narthex/targets/*.json","/abs/b.yml",""],` +
		`"n":12345678901234567890,"server":"https://CMDB.internal"}`
	if string(seen) != want {
		t.Errorf("the guest sees %s", seen)
	}
}

func equal(tb testing.TB, got []string, want ...string) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Errorf("got %q, want %q", got, want)
	}
}

func TestDeriveErrors(t *testing.T) {
	fails := func(asks sdk.Asks, config, want string) {
		t.Helper()
		_, _, err := grant.Derive(sdk.Manifest{Name: "x", Asks: asks}, sdk.Config(config), grant.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
	fails(sdk.Asks{HTTP: []string{"server"}}, `{"server":5}`, "config field server: a string is needed here, not 5")
	fails(sdk.Asks{HTTP: []string{"server[*]"}}, `{"server":"x"}`, "want a list")
	fails(sdk.Asks{HTTP: []string{"a.b"}}, `{"a":"x"}`, "want a section with b")
	fails(sdk.Asks{HTTP: []string{"a[0]"}}, `{"a":["x"]}`, `field path "a[0]"`)
	fails(sdk.Asks{HTTP: []string{"server"}}, `{"server":"ftp://x"}`, `scheme "ftp"`)
	fails(sdk.Asks{HTTP: []string{"server"}}, `{"server":"http://"}`, "no host")
	fails(sdk.Asks{Files: []string{"files[*]"}}, `{"files":["/a*/b"]}`, "only the last element")
	fails(sdk.Asks{Files: []string{"files[*]"}}, `{"files":["/a/["]}`, "syntax error")
	fails(sdk.Asks{}, `{`, "decode config of plugin x")
}

func TestZeroSetRefuses(t *testing.T) {
	var s grant.Set
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
	_, err := s.HTTP.Do(r)
	refused(t, err)
	_, err = s.Files.ReadFile("/etc/passwd")
	refused(t, err)
	_, err = s.Files.Glob("/etc/*")
	refused(t, err)
	_, err = s.Files.Stat("/etc/passwd")
	refused(t, err)
}

func refused(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, grant.ErrNotGranted) {
		tb.Errorf("got %v, want a refusal", err)
	}
}

func TestHTTPOrigins(t *testing.T) {
	h, err := grant.NewHTTP([]string{"consul:8500", "https://[::1]:1/path", "http://Dot.Example./"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(raw string, granted bool) {
		t.Helper()
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Check(u); (err == nil) != granted {
			t.Errorf("%s: %v", raw, err)
		}
	}
	check("http://consul:8500/v1", true)
	check("https://CONSUL:8500", true)
	check("http://consul", false)
	check("http://consul:8501", false)
	check("http://user@consul:8500", true)
	check("http://consul:8500@evil/", false)
	check("https://[::1]:1", true)
	check("http://[::1]:1", false)
	check("http://dot.example:80/x", true)
	check("https://dot.example", false)
	check("file:///etc/passwd", false)
	check("unix:///x", false)
}

func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "large"), strings.Repeat("x", 101))
	write(t, filepath.Join(dir, "folder", "deep"), "deep")
	files, err := grant.NewFiles([]string{dir + "/*"}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pipe", "folder", "folder/deep"} {
		_, err := files.ReadFile(filepath.Join(dir, name))
		refused(t, err)
	}
	if _, err := files.ReadFile(filepath.Join(dir, "large")); err == nil || !strings.Contains(err.Error(), "limit of 100") {
		t.Errorf("a large file: %v", err)
	}
	names, err := files.Glob(dir + "/*")
	if err != nil {
		t.Error(err)
	}
	equal(t, names, filepath.Join(dir, "large"))
	if _, err := files.ReadFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "acme", "a", "b"), "deep")
	write(t, filepath.Join(dir, "other"), "no")
	files, err := grant.NewFiles(nil, []string{filepath.Join(dir, "acme")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := files.ReadFile(filepath.Join(dir, "acme/a/b")); err != nil || string(b) != "deep" {
		t.Errorf("%q, %v", b, err)
	}
	_, err = files.ReadFile(filepath.Join(dir, "other"))
	refused(t, err)
	_, err = files.ReadFile(filepath.Join(dir, "acme2"))
	refused(t, err)
	names, err := files.Glob(filepath.Join(dir, "acme/a/*"))
	if err != nil {
		t.Error(err)
	}
	equal(t, names, filepath.Join(dir, "acme/a/b"))
}

// TestProc: processes, the server among them, are not part of a granted folder because they are mounted there.
func TestProc(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here:", err)
	}
	root, err := grant.NewFiles(nil, []string{"/"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/proc/self/environ", "/proc/version", "/etc/../proc/1/status"} {
		_, err := root.ReadFile(name)
		refused(t, err)
		_, err = root.Stat(name)
		refused(t, err)
	}
	dir := t.TempDir()
	symlink(t, "/proc/self/environ", filepath.Join(dir, "link"))
	within, err := grant.NewFiles(nil, []string{dir}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := within.ReadFile(filepath.Join(dir, "link")); err == nil {
		t.Errorf("a link leads to the environment, %d bytes", len(b))
	}
	named, err := grant.NewFiles([]string{"/proc/version"}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := named.ReadFile("/proc/version"); err != nil || len(b) == 0 {
		t.Errorf("granted by name: %v", err)
	}
	_, err = named.ReadFile("/proc/self/status")
	refused(t, err)
}

// TestDescriptors: nothing stays open, whatever becomes of a request.
func TestDescriptors(t *testing.T) {
	count := func() int {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("descriptors cannot be counted here:", err)
		}
		return len(entries)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "a")
	symlink(t, "/etc/passwd", filepath.Join(dir, "out"))
	files, err := grant.NewFiles(nil, []string{dir}, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := count()
	for range 100 {
		for _, name := range []string{"a", "out", "none", "../x"} {
			_, _ = files.ReadFile(filepath.Join(dir, name)) // some are refused
			_, _ = files.Stat(filepath.Join(dir, name))
		}
		_, _ = files.Glob(filepath.Join(dir, "*"))
	}
	if after := count(); after > before+2 { // the network's poller may have come
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func write(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func rename(tb testing.TB, from, to string) {
	tb.Helper()
	if err := os.Rename(from, to); err != nil {
		tb.Fatal(err)
	}
}

// TestWatch follows one granted path through everything that may happen to it.
func TestWatch(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "a", "b")
	files, err := grant.NewFiles([]string{filepath.Join(dir, "*.json")}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan struct{}, 1)
	ended := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		ended <- files.Watch(ctx, func() {
			select {
			case changes <- struct{}{}:
			default:
			}
		})
	}()
	<-started
	// until waits for changes until what they announce can be seen.
	until := func(step, name, content string) {
		t.Helper()
		late := time.After(10 * time.Second)
		for {
			b, _ := files.ReadFile(filepath.Join(dir, name))
			if string(b) == content {
				return
			}
			select {
			case <-changes:
			case <-late:
				t.Fatalf("%s: no change was announced; %s holds %q", step, name, b)
			}
		}
	}
	// settle makes the next change be announced by itself: bursts are folded.
	settle := func() {
		t.Helper()
		for {
			select {
			case <-changes:
			case <-time.After(150 * time.Millisecond):
				return
			}
		}
	}
	announced := func(step string) {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: no change was announced", step)
		}
		settle()
	}
	settle()
	write(t, filepath.Join(dir, "x.json"), "1")
	announced("the folder appears")
	until("the folder appears", "x.json", "1")
	write(t, filepath.Join(dir, "x.json"), "2")
	announced("written in place")
	write(t, filepath.Join(dir, ".tmp"), "3")
	rename(t, filepath.Join(dir, ".tmp"), filepath.Join(dir, "x.json"))
	announced("replaced by a rename")

	rename(t, dir, filepath.Join(base, "a", "old"))
	announced("the folder moves away")
	write(t, filepath.Join(base, "a", "new", "x.json"), "4")
	settle()
	rename(t, filepath.Join(base, "a", "new"), dir)
	announced("another folder takes its place")
	write(t, filepath.Join(dir, "x.json"), "5")
	announced("written in the new folder")

	// How Kubernetes updates a mounted ConfigMap: x.json -> ..data/x.json, ..data -> ..v1.
	write(t, filepath.Join(dir, "..v1", "k.json"), "v1")
	write(t, filepath.Join(dir, "..v2", "k.json"), "v2")
	symlink(t, "..v1", filepath.Join(dir, "..data"))
	symlink(t, "..data/k.json", filepath.Join(dir, "k.json"))
	announced("a ConfigMap appears")
	until("a ConfigMap appears", "k.json", "v1")
	symlink(t, "..v2", filepath.Join(dir, "..data_tmp"))
	rename(t, filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))
	announced("a ConfigMap is swapped")
	until("a ConfigMap is swapped", "k.json", "v2")

	if err := os.RemoveAll(filepath.Join(base, "a")); err != nil {
		t.Fatal(err)
	}
	announced("everything is removed")
	write(t, filepath.Join(dir, "x.json"), "6")
	announced("everything comes back")
	until("everything comes back", "x.json", "6")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func symlink(tb testing.TB, target, name string) {
	tb.Helper()
	if err := os.Symlink(target, name); err != nil {
		tb.Fatal(err)
	}
}

// TestCredentials: what the operator wrote for the host to send reaches the origin, and not the guest.
func TestCredentials(t *testing.T) {
	var seen http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() }))
	defer server.Close()
	m := sdk.Manifest{Name: "sd-x", Asks: sdk.Asks{
		HTTP: []string{"server"}, Defaults: map[string]string{"server": strings.TrimPrefix(server.URL, "http://")},
		Headers: map[string]string{"token": "X-Token"}, BasicAuth: sdk.BasicAuth{Username: "user", Password: "pass"},
	}}
	set, config, err := grant.Derive(m, sdk.Config(`{"token": "t0k3n", "user": "u", "pass": "p", "kept": 1}`), grant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"kept":1,"server":"` + strings.TrimPrefix(server.URL, "http://") + `"}`; string(config) != want {
		t.Errorf("the guest sees %s, want %s", config, want)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := set.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	set.HTTP.CloseIdle()
	if seen.Get("X-Token") != "t0k3n" || seen.Get("Authorization") != "Basic dTpw" {
		t.Errorf("the server sees %v", seen)
	}
	_, _, err = grant.Derive(m, sdk.Config(`{"token": ["t0k3n"]}`), grant.Options{})
	if err == nil || !strings.Contains(err.Error(), "config field token: a string is needed here") || strings.Contains(err.Error(), "t0k3n") {
		t.Errorf("a token of another type: %v", err)
	}
}

// TestWatchBegins: whoever looked at a file while the watch was being set up hears that it may have changed since.
func TestWatchBegins(t *testing.T) {
	f, err := grant.NewFiles([]string{filepath.Join(t.TempDir(), "*")}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Watch(ctx, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v before it called", err)
	}
}
