package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// pipe is a Conn whose other end is a test.
type pipe struct{ toGuest, toHost chan wire.Frame }

// Send implements Conn.
func (p pipe) Send(f wire.Frame) error { p.toHost <- f; return nil }

// Recv implements Conn.
func (p pipe) Recv() (wire.Frame, error) {
	f, ok := <-p.toGuest
	if !ok {
		return f, io.EOF
	}
	return f, nil
}

type collect func(ctx context.Context, w io.Writer) error

// Collect implements sdk.Exporter.
func (c collect) Collect(ctx context.Context, w io.Writer) error { return c(ctx, w) }

// host is a test's end of a guest that was started as an exporter.
type host struct {
	tb    testing.TB
	pipe  pipe
	ended chan error
}

func start(tb testing.TB, build func(sdk.Host) collect) *host {
	tb.Helper()
	h := &host{tb: tb, pipe: pipe{make(chan wire.Frame), make(chan wire.Frame)}, ended: make(chan error, 1)}
	p := sdk.Plugin{
		Manifest:    sdk.Manifest{Name: "x", Kinds: []sdk.Kind{sdk.KindExporter}},
		NewExporter: func(_ sdk.Config, host sdk.Host) (sdk.Exporter, error) { return build(host), nil },
	}
	go func() { h.ended <- Serve(context.Background(), h.pipe, p, func([]byte) {}) }()
	h.expect(wire.Hello, 0)
	h.say(wire.Start, 0, "exporter\nmessage-bytes: 1000\noutput-bytes: 10\nhttp-concurrent: 1\nfiles-concurrent: 1\n\n{}")
	h.expect(wire.Ready, 0)
	return h
}

func (h *host) say(t wire.Type, id uint32, payload string) {
	h.pipe.toGuest <- wire.Frame{Type: t, ID: id, Payload: []byte(payload)}
}

func (h *host) expect(t wire.Type, id uint32) string {
	h.tb.Helper()
	f := <-h.pipe.toHost
	if f.Type != t || f.ID != id {
		h.tb.Fatalf("the guest says %v %d %q; want %v %d", f.Type, f.ID, f.Payload, t, id)
	}
	return string(f.Payload)
}

func (h *host) stop() {
	h.tb.Helper()
	h.say(wire.Stop, 0, "")
	h.expect(wire.Done, 0)
	if err := <-h.ended; err != nil {
		h.tb.Errorf("Serve: %v", err)
	}
}

func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, func(sdk.Host) collect {
			return func(ctx context.Context, w io.Writer) error {
				<-ctx.Done()
				_, err := fmt.Fprint(w, errors.Is(ctx.Err(), context.DeadlineExceeded))
				return err
			}
		})
		h.say(wire.Call, 1, "collect\ntimeout-ms: 1000\n\n")
		h.say(wire.Call, 2, "collect\n\n")
		began := time.Now()
		if out := h.expect(wire.Result, 1); out != "true" || time.Since(began) != time.Second {
			t.Errorf("a call with a deadline says %q after %v", out, time.Since(began))
		}
		h.say(wire.Cancel, 1, "")
		h.say(wire.Cancel, 2, "")
		h.expect(wire.Result, 2)
		h.say(wire.Call, 3, "sing\n\n")
		if msg := h.expect(wire.Error, 3); !strings.Contains(msg, "no method sing") {
			t.Errorf("an unknown method: %s", msg)
		}
		h.say(9999, 1, "from a newer host")
		h.say(wire.Call, 4, "collect\n\n")
		go h.say(wire.Stop, 0, "")
		h.expect(wire.Result, 4)
		h.expect(wire.Done, 0)
		if err := <-h.ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestOutputLimit(t *testing.T) {
	h := start(t, func(sdk.Host) collect {
		return func(_ context.Context, w io.Writer) error {
			_, err := w.Write(make([]byte, 11))
			return err
		}
	})
	h.say(wire.Call, 1, "collect\n\n")
	if msg := h.expect(wire.Error, 1); !strings.Contains(msg, "limit of 10 bytes") {
		t.Error(msg)
	}
	h.stop()
}

// TestHTTPLimit shows that a second request waits until the body of the first is closed.
func TestHTTPLimit(t *testing.T) {
	h := start(t, func(host sdk.Host) collect {
		return func(ctx context.Context, w io.Writer) error {
			resp, err := host.HTTP.Do(ctx, sdk.Request{URL: "http://a/", Header: map[string][]string{"A": {"b"}}, Body: []byte("body")})
			if err != nil {
				return err
			}
			b := make([]byte, 3)
			if _, err := io.ReadFull(resp.Body, b); err != nil {
				return err
			}
			_, err = w.Write(b)
			return errors.Join(err, resp.Body.Close(), resp.Body.Close())
		}
	})
	h.say(wire.Call, 1, "collect\n\n")
	if req := h.expect(wire.HTTPRequest, 1); req != "GET http://a/\nA: b\n\nbody" {
		t.Errorf("request %q", req)
	}
	h.say(wire.Call, 2, "collect\n\n") // sends nothing yet
	h.say(wire.HTTPHead, 1, "200\nX: y\n\n")
	h.expect(wire.HTTPRead, 1)
	h.say(wire.HTTPBody, 1, "abcdef")
	h.expect(wire.HTTPClose, 1)
	for range 2 { // the first call's result and the second's request may come in either order
		if f := <-h.pipe.toHost; (f.Type != wire.Result || string(f.Payload) != "abc") && (f.Type != wire.HTTPRequest || f.ID != 2) {
			t.Errorf("the guest says %v %d %q", f.Type, f.ID, f.Payload)
		}
	}
	h.say(wire.HTTPError, 2, "refused")
	if msg := h.expect(wire.Error, 2); msg != "refused" {
		t.Errorf("error %q", msg)
	}
	h.stop()
}

func TestFileErrors(t *testing.T) {
	for code, want := range map[string]error{
		wire.FileNotExist: fs.ErrNotExist, wire.FilePermission: fs.ErrPermission, wire.FileInvalid: fs.ErrInvalid,
	} {
		err := decodeFileError([]byte(code + "\n\nmessage"))
		if !errors.Is(err, want) || err.Error() != "message" {
			t.Errorf("%s becomes %v", code, err)
		}
	}
}

// TestHostGoes ends the connection while a call waits for the host.
func TestHostGoes(t *testing.T) {
	h := start(t, func(host sdk.Host) collect {
		return func(_ context.Context, w io.Writer) error {
			_, err := host.Files.ReadFile("/a")
			_, _ = io.WriteString(w, "x")
			return err
		}
	})
	h.say(wire.Call, 1, "collect\n\n")
	h.expect(wire.FileRead, 1)
	close(h.pipe.toGuest)
	if msg := h.expect(wire.Error, 1); !strings.Contains(msg, "host is gone") {
		t.Error(msg)
	}
	if err := <-h.ended; !errors.Is(err, io.EOF) {
		t.Errorf("Serve: %v", err)
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(func(line []byte) { _, _ = out.Write(line) })
	log.With("a", 1).WithGroup("g").Warn("it \"is\"", "b c", errors.New("x\ny"), slog.Group("h", "d", time.Second), "", nil)
	want := `level=WARN msg="it \"is\"" a="1" g.b_c="x\ny" g.h.d="1s"` + "\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out.String(), want)
	}
}
