package runtimetest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// serve starts an HTTP server that keeps no connection, so that nothing of it outlives the test.
func serve(tb testing.TB, h http.HandlerFunc) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s
}

func (s Suite) http(t *testing.T) {
	forbidden := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a forbidden host was reached") })
	allowed := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			_, _ = w.Write(make([]byte, 1<<20))
		case "/leave":
			http.Redirect(w, r, forbidden.URL, http.StatusFound)
		case "/around":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "short")
		case "/endless":
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 1<<16))
			}
		case "/post":
			b, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %s %v", r.Method, b, r.Header["X-A"])
		default:
			w.Header().Set("Content-Type", "text/x-test")
			_, _ = fmt.Fprintf(w, "hello %s", r.Header.Get("Authorization"))
		}
	})
	client := &http.Client{Transport: credentials{}}
	withClient := func(o *session.Options) { o.Grants.Client = client }
	do := func(t *testing.T, c kitchen.Config) (*session.Session, string, error) {
		t.Helper()
		sess := s.Open(t, sdk.KindExporter, c, withClient)
		out, err := Collect(t, sess)
		return sess, out, err
	}
	t.Run("get", func(t *testing.T) {
		_, out, err := do(t, kitchen.Config{Do: "get", URL: allowed.URL})
		if err != nil || out != "hello secret\nstatus 200 length 12 type [text/x-test]\n" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("dns", func(t *testing.T) {
		sess, out, err := do(t, kitchen.Config{Do: "dns", Text: "A", Name: "localhost"})
		if err != nil || out != "[{127.0.0.1 0}]\n" {
			t.Errorf("got %q, %v", out, err)
		}
		if stats := sess.Stats(); stats.DNSRequests != 2 || stats.Refused != 1 {
			t.Errorf("%+v", stats)
		}
	})
	t.Run("environment", func(t *testing.T) {
		vars := map[string]string{"KITCHEN_OPEN": "a=b c", "KITCHEN_SHUT": "x", "PATH": "/bin", "KITCHEN_UNASKED": "y"}
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "env"}, func(o *session.Options) {
			o.Grants.Env = []string{"KITCHEN_OPEN", "KITCHEN_UNASKED"}
			o.Grants.Getenv = func(name string) string { return vars[name] }
		})
		out, err := Collect(t, sess)
		if err != nil || out != "KITCHEN_OPEN=\"a=b c\"\nKITCHEN_SHUT=\"\"\nPATH=\"\"\nKITCHEN_UNASKED=\"\"\n" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("post", func(t *testing.T) {
		_, out, err := do(t, kitchen.Config{Do: "post", URL: allowed.URL + "/post", Text: "body"})
		if err != nil || !strings.HasPrefix(out, "POST body [1 2]\n") {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("big", func(t *testing.T) {
		_, out, err := do(t, kitchen.Config{Do: "get", URL: allowed.URL + "/big"})
		if err != nil || !strings.Contains(out, "length 1048576") {
			t.Errorf("got %d bytes, %v", len(out), err)
		}
	})
	t.Run("redirect", func(t *testing.T) {
		_, out, err := do(t, kitchen.Config{Do: "get", URL: allowed.URL + "/around"})
		if err != nil || !strings.HasPrefix(out, "hello secret") {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("redirect-away", func(t *testing.T) {
		sess, _, err := do(t, kitchen.Config{Do: "get", URL: allowed.URL + "/leave"})
		wantError(t, err, "not granted", forbidden.Listener.Addr().String())
		if st := sess.Stats(); st.Refused != 1 || st.HTTPRequests != 1 {
			t.Errorf("stats %+v", st)
		}
	})
	t.Run("forbidden", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "get", Text: forbidden.URL}, withClient)
		_, err := Collect(t, sess)
		wantError(t, err, "not granted")
	})
	t.Run("explicit-grant-without-credentials", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "get", Text: allowed.URL}, withClient, func(o *session.Options) {
			o.Grants.HTTP = []string{allowed.URL}
		})
		want(t, sess, "hello \nstatus 200 length 6 type [text/x-test]\n")
	})
	t.Run("cut-off", func(t *testing.T) {
		_, _, err := do(t, kitchen.Config{Do: "get", URL: allowed.URL + "/cut"})
		wantError(t, err, "unexpected EOF")
	})
	t.Run("pulled", func(t *testing.T) {
		sess, out, err := do(t, kitchen.Config{Do: "get-first", URL: allowed.URL + "/endless", Size: 100_000})
		if err != nil || out != "read 100000\n" {
			t.Errorf("got %q, %v", out, err)
		}
		if n := sess.Stats().BytesOut; n > 1<<20 {
			t.Errorf("the host pushed %d bytes of a body of which the guest pulled 100000", n)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "get", URL: allowed.URL + "/endless"}, withClient,
			func(o *session.Options) { o.Limits.OutputBytes = 1 << 30 })
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for sess.Stats().BytesOut < 1<<18 && ctx.Err() == nil {
			}
			cancel()
		}()
		wantError(t, sess.Exporter().Collect(ctx, io.Discard), "context canceled")
	})
}

// credentials stands for the host's configured client.
type credentials struct{}

// RoundTrip implements http.RoundTripper.
func (credentials) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "secret")
	r.Close = true
	return http.DefaultTransport.RoundTrip(r)
}

func (s Suite) files(t *testing.T) {
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	write(t, filepath.Join(inside, "a.json"), "[1]")
	write(t, filepath.Join(inside, "b.json"), "[2]")
	write(t, filepath.Join(inside, "secret.key"), "key")
	write(t, filepath.Join(outside, "passwd"), "root")
	link(t, filepath.Join(outside, "passwd"), filepath.Join(inside, "absolute.json"))
	link(t, "../out/passwd", filepath.Join(inside, "relative.json"))
	link(t, "a.json", filepath.Join(inside, "within.json"))
	pattern := filepath.Join(inside, "*.json")
	base := func(o *session.Options) { o.Grants.BaseDir = dir }

	read := func(t *testing.T, name string) (string, error) {
		t.Helper()
		return Collect(t, s.Open(t, sdk.KindExporter, kitchen.Config{Do: "read", Path: "in/*.json", Text: name}, base))
	}
	t.Run("granted", func(t *testing.T) {
		for name, content := range map[string]string{"a.json": "[1]", "within.json": "[1]"} {
			if out, err := read(t, filepath.Join(inside, name)); err != nil || out != content {
				t.Errorf("%s: %q, %v", name, out, err)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		for _, name := range []string{
			filepath.Join(inside, "secret.key"), filepath.Join(outside, "passwd"), "/etc/passwd",
			inside + "/x/../../out/passwd", inside + "/../out/passwd",
		} {
			_, err := read(t, name)
			wantError(t, err, "not granted")
		}
	})
	t.Run("escapes", func(t *testing.T) {
		for _, name := range []string{"absolute.json", "relative.json"} {
			out, err := read(t, filepath.Join(inside, name))
			wantError(t, err, "escapes")
			if out != "" {
				t.Errorf("%s leaks %q", name, out)
			}
		}
	})
	t.Run("glob", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "glob", Path: "in/*.json"}, base)
		var names []string
		for _, n := range []string{"a.json", "b.json", "within.json"} {
			names = append(names, filepath.Join(inside, n))
		}
		want(t, sess, strings.Join(names, "\n")+"\n")
		sess = s.Open(t, sdk.KindExporter, kitchen.Config{Do: "glob", Path: pattern, Text: filepath.Join(outside, "*")})
		_, err := Collect(t, sess)
		wantError(t, err, "not granted")
	})
	t.Run("stat", func(t *testing.T) {
		info, err := os.Stat(filepath.Join(inside, "a.json"))
		if err != nil {
			t.Fatal(err)
		}
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "stat", Path: filepath.Join(inside, "a.json")})
		want(t, sess, fmt.Sprintf("a.json 3 %v %d\n", info.Mode(), info.ModTime().Unix()))
	})
	t.Run("missing", func(t *testing.T) {
		_, err := read(t, filepath.Join(inside, "none.json"))
		wantError(t, err, "no such file")
	})
	t.Run("watch", func(t *testing.T) { s.watch(t, filepath.Join(dir, "later", "targets.json")) })
}

// watch changes a file in every way, beginning with the appearance of its folder.
func (s Suite) watch(t *testing.T, path string) {
	t.Helper()
	sess := s.Open(t, sdk.KindDiscovery, kitchen.Config{Do: "watch", Path: path})
	ctx, cancel := context.WithCancel(t.Context())
	updates := make(chan []sdk.Group)
	ended := make(chan error, 1)
	go func() { ended <- sess.Discovery().Run(ctx, updates) }()
	expect := func(content string) {
		t.Helper()
		for {
			// A content may be seen half written; the last one counts.
			if g := receive(t, updates); g[0].Targets[0] == content {
				return
			}
		}
	}
	expect("absent")
	write(t, path, "one")
	expect("one")
	write(t, path+".tmp", "two")
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
	expect("two")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("absent")
	cancel()
	wantError(t, <-ended, "context canceled")
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

func link(tb testing.TB, target, name string) {
	tb.Helper()
	if err := os.Symlink(target, name); err != nil {
		tb.Skip("no symbolic links here:", err)
	}
}
