package httpclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answering serves raw answers: handle gets each connection, with its number and a function that reads a request's head.
func answering(t *testing.T, handle func(n int, conn net.Conn, next func() bool)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			handle(n, conn, func() bool {
				req, err := http.ReadRequest(r)
				return err == nil && req.Method == http.MethodGet
			})
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func directClient(t *testing.T) *http.Client {
	t.Helper()
	c, err := New(DefaultConfig(), Options{Name: "j", UserAgent: "Narthex/test", Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Transport.(*direct); !ok {
		t.Fatalf("the transport is a %T", c.Transport)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func fetch(ctx context.Context, c *http.Client, address string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// TestDirectSendsTheSame compares what a server gets with what the standard transport sends.
func TestDirectSendsTheSame(t *testing.T) {
	got := make(chan string, 1)
	address := answering(t, func(_ int, conn net.Conn, _ func() bool) {
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf)
		got <- string(buf[:n])
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	send := func(isDirect bool, path string) string {
		c, err := New(DefaultConfig(), Options{Name: "j", UserAgent: "Narthex/test", Direct: isDirect})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "5")
		req.Header.Set("Accept", "text/plain;q=0.5,*/*;q=0.1")
		req.Header["Accept-Encoding"] = []string{"gzip", "identity"}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return <-got
	}
	for _, path := range []string{"", "/", "/metrics", "/metrics?a=b&c=d%20e", "/a%2Fb/ü?x=%C3%BC", "//x", "/m#part"} {
		if a, b := send(true, path), send(false, path); a != b {
			t.Errorf("%s: sent\n%s\nthe standard transport sends\n%s", path, a, b)
		}
	}
}

func TestDirectKeepsConnections(t *testing.T) {
	var conns, requests atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch r.URL.Path {
		case "/bad":
			http.Error(w, "no", http.StatusInternalServerError)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/moved":
			http.Redirect(w, r, "/long", http.StatusFound)
		case "/last":
			w.Header().Set("Connection", "close")
		case "/long":
			for range 100 {
				_, _ = io.WriteString(w, strings.Repeat("x", 1000))
				_ = http.NewResponseController(w).Flush() // In chunks.
			}
		default:
			_, _ = io.WriteString(w, r.UserAgent())
		}
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := directClient(t)
	check := func(path string, status, size, wantConns int) {
		t.Helper()
		got, body, err := fetch(t.Context(), c, server.URL+path)
		if err != nil || got != status || len(body) != size {
			t.Errorf("%s: status %d, %d bytes, %v", path, got, len(body), err)
		}
		if n := int(conns.Load()); n != wantConns {
			t.Errorf("%s: %d connections were made, want %d", path, n, wantConns)
		}
	}
	check("/", 200, len("Narthex/test"), 1)
	check("/bad", 500, 3, 1)
	check("/none", 204, 0, 1)
	check("/moved", 200, 100_000, 1)
	check("/last", 200, 0, 1)
	check("/", 200, len("Narthex/test"), 2)
	c.CloseIdleConnections()
	check("/", 200, len("Narthex/test"), 3)

	// A body that is not read to its end costs the connection.
	resp, err := c.Get(server.URL + "/long")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.Read(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	_ = resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 10)); !errors.Is(err, errBodyClosed) {
		t.Errorf("read after Close: %v", err)
	}
	check("/", 200, len("Narthex/test"), 4)
}

// TestDirectTriesAgain has the server close the connection between two requests, which nobody can know beforehand.
func TestDirectTriesAgain(t *testing.T) {
	address := answering(t, func(_ int, conn net.Conn, next func() bool) {
		if next() {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		}
	})
	c := directClient(t)
	for range 3 {
		if _, body, err := fetch(t.Context(), c, "http://"+address); err != nil || body != "hi" {
			t.Errorf("%q, %v", body, err)
		}
	}
}

func TestDirectOddAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	check := func(name, answer, wantBody, wantErr string) {
		t.Helper()
		address := answering(t, func(_ int, conn net.Conn, next func() bool) {
			if next() {
				_, _ = io.WriteString(conn, answer)
			}
		})
		_, body, err := fetch(t.Context(), directClient(t), "http://"+address)
		if body != wantBody || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
	check("nothing", "", "", "EOF")
	check("garbage", "hello\r\n\r\n", "", "malformed HTTP")
	check("half a head", "HTTP/1.1 200 OK\r\nContent-", "", "malformed MIME header")
	check("an endless head", "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", maxHead), "", "more than 1048576 bytes")
	check("truncated", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "hi", "unexpected EOF")
	check("truncated chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi", "hi", "unexpected EOF")
	check("no length", "HTTP/1.1 200 OK\r\n\r\nhi", "hi", "")
	check("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhi", "hi", "")
	check("interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+ok, "hi", "")
	check("much interim", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100)+ok, "hi", "")
	check("interim without end", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxHead/20), "", "more than 1048576 bytes")
	check("another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "", "")
	check("two answers", ok+ok, "hi", "")
	check("a status that there is not", "HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nhi", "hi", "")
}

// TestDirectDropsSurplus makes sure that what follows an answer is not taken for the next one.
func TestDirectDropsSurplus(t *testing.T) {
	address := answering(t, func(n int, conn net.Conn, next func() bool) {
		for next() {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%dHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!", n)
		}
	})
	c := directClient(t)
	for n := range 3 {
		if _, body, err := fetch(t.Context(), c, "http://"+address); err != nil || body != fmt.Sprint(n) {
			t.Errorf("request %d: %q, %v", n, body, err)
		}
	}
}

// TestDirectDropsLateSurplus is the same for what comes when the answer has been read: a head that promises less than
// there is, or an answer that nobody asked for.
func TestDirectDropsLateSurplus(t *testing.T) {
	read, late := make(chan struct{}), make(chan struct{})
	address := answering(t, func(n int, conn net.Conn, next func() bool) {
		for next() {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
			<-read
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!")
			late <- struct{}{}
		}
	})
	c := directClient(t)
	for n := range 3 {
		if _, body, err := fetch(t.Context(), c, "http://"+address); err != nil || body != fmt.Sprint(n) {
			t.Errorf("request %d: %q, %v", n, body, err)
		}
		read <- struct{}{}
		<-late
	}
}

// TestDirectKeepsNothingForNobody makes sure that a connection in use is closed, not kept, after all that are idle were.
func TestDirectKeepsNothingForNobody(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hi") }))
	defer server.Close()
	c := directClient(t)
	d := c.Transport.(*direct)
	for _, closing := range []bool{true, false} {
		resp, err := c.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if closing {
			c.CloseIdleConnections()
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if kept := len(d.idle) > 0; kept == closing {
			t.Errorf("closing %v, kept %v", closing, kept)
		}
	}
}

func TestDirectEndsWithContext(t *testing.T) {
	stall := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
		<-stall
	}))
	defer server.Close()
	defer close(stall)
	c := directClient(t)
	for _, path := range []string{"/head", "/body"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, _, err := fetch(ctx, c, server.URL+path)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
			t.Errorf("%s: after the deadline: %v", path, err)
		}
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, _, err := fetch(ctx, c, server.URL+path); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", path, err)
		}
		if _, _, err := fetch(ctx, c, server.URL+path); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled before: %v", path, err)
		}
	}
}

func TestDirectClosesOld(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	c := directClient(t)
	if _, _, err := fetch(t.Context(), c, server.URL); err != nil {
		t.Fatal(err)
	}
	d := c.Transport.(*direct)
	idle := func() (n int) {
		for _, conns := range d.idle {
			n += len(conns)
		}
		return n
	}
	d.closeOld()
	if idle() != 1 || d.sweep == nil {
		t.Errorf("%d idle connections, next sweep %v", idle(), d.sweep)
	}
	d.idle[strings.TrimPrefix(server.URL, "http://")][0].idleSince = time.Now().Add(-idleTimeout)
	d.closeOld()
	if idle() != 0 || d.sweep != nil {
		t.Errorf("%d idle connections, next sweep %v", idle(), d.sweep)
	}
}

// TestDirectLeavesOthers checks which requests go the standard way.
func TestDirectLeavesOthers(t *testing.T) {
	check := func(want bool, method, address string, change func(r *http.Request)) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(r)
		}
		if got := isPlain(r); got != want {
			t.Errorf("%s %s: plain %v", method, r.URL, got)
		}
	}
	check(true, "GET", "http://h", nil)
	check(true, "GET", "http://[::1]:80/?a", nil)
	check(false, "GET", "https://h", nil)
	check(false, "POST", "http://h", nil)
	check(false, "GET", "http://bücher/", nil)
	check(false, "GET", "http://[fe80::1%25eth0]/", nil)
	check(false, "GET", "http://h", func(r *http.Request) { r.Host = "other" })
	check(false, "GET", "http://h", func(r *http.Request) { r.URL.RawQuery = "a b" })
	check(false, "GET", "http://h", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 })
	check(false, "GET", "http://h", func(r *http.Request) { r.Header.Set("Connection", "close") })
	check(false, "GET", "http://h", func(r *http.Request) { r.Header.Set("A", "x\r\nB: y") })
	check(false, "GET", "http://h", func(r *http.Request) { r.Header["A b"] = []string{"x"} })

	for host, want := range map[string]string{"h": "h:80", "h:81": "h:81", "h:": "h:80", "[::1]": "[::1]:80", "[::1]:9": "[::1]:9"} {
		if got := withPort(host); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
	proxied := DefaultConfig()
	proxied.ProxyURL.URL = &url.URL{Scheme: "http", Host: "p"}
	if isDirect(&proxied) {
		t.Error("requests go past the proxy")
	}
}
