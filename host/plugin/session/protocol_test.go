package session_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest"
	"github.com/narthex-io/narthex/sdk/wire"
)

const hello = `{"abi":1,"name":"x","kinds":["discovery"],"asks":{"http":["url"],"dial":["target"]}}`

// script is a guest that sends frames, waiting for one of the host's wherever a frame has type 0, and then reads on
// until the host closes it.
func script(frames ...wire.Frame) func(guest.Conn) error {
	return func(c guest.Conn) error {
		for _, f := range frames {
			var err error
			if f.Type == 0 {
				_, err = c.Recv()
			} else {
				err = c.Send(f)
			}
			if err != nil {
				return err
			}
		}
		for {
			if _, err := c.Recv(); err != nil {
				return err
			}
		}
	}
}

func frame(t wire.Type, id uint32, payload string) wire.Frame {
	return wire.Frame{Type: t, ID: id, Payload: []byte(payload)}
}

func TestBadStarts(t *testing.T) {
	fails := func(want string, frames ...wire.Frame) {
		t.Helper()
		_, err := session.Open(t.Context(), runtimetest.NewScripted(script(frames...)), session.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	read := wire.Frame{}
	fails("first frame is READY instead of HELLO", frame(wire.Ready, 0, ""))
	fails("HELLO of 65537 bytes, the limit is 65536", frame(wire.Hello, 0, strings.Repeat("x", 64<<10+1)))
	fails("HELLO: the manifest is no JSON as it should be: invalid character", frame(wire.Hello, 0, "x"))
	fails("speaks ABI 2, this server 1: update the server, or build", frame(wire.Hello, 0, `{"abi":2}`))
	fails(`plugin name "../x"`, frame(wire.Hello, 0, `{"abi":1,"name":"../x","kinds":["exporter"]}`))
	fails("no kind", frame(wire.Hello, 0, `{"abi":1,"name":"x"}`))
	fails(`unknown kind "poet"`, frame(wire.Hello, 0, `{"abi":1,"name":"x","kinds":["poet"]}`))
	fails("RESULT instead of READY", frame(wire.Hello, 0, hello), read, frame(wire.Result, 1, ""))
	fails("plugin x: field y: unknown", frame(wire.Hello, 0, hello), read, frame(wire.Error, 0, "field y: unknown"))
	_, err := session.Open(t.Context(), runtimetest.NewScripted(func(guest.Conn) error { return nil }), session.Options{})
	if session.ReasonOf(err) != session.ReasonExit {
		t.Errorf("a guest that ends without a word: %v", err)
	}
}

func TestGarbage(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	silent := l.Addr().String()
	ends := func(reason session.Reason, want string, frames ...wire.Frame) {
		t.Helper()
		all := append([]wire.Frame{frame(wire.Hello, 0, hello), {}, frame(wire.Ready, 0, "")}, frames...)
		s, err := session.Open(t.Context(), runtimetest.NewScripted(script(all...)), session.Options{
			Config: sdk.Config(`{"url":"http://127.0.0.1:1","target":"` + silent + `"}`),
			Limits: session.Limits{HTTPConcurrent: 2, FilesConcurrent: 1, DialConcurrent: 1, MessageBytes: 1000},
			Grants: grant.Options{Plain: hanging{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.Done():
		case <-time.After(10 * time.Second):
			t.Fatalf("want %q, but the session goes on", want)
		}
		if session.ReasonOf(s.Err()) != reason || !strings.Contains(s.Err().Error(), want) {
			t.Errorf("got %v, want %s: %q", s.Err(), reason, want)
		}
	}
	request := frame(wire.HTTPRequest, 1, "GET http://127.0.0.1:1/\n\n")
	second, third := request, request
	second.ID, third.ID = 2, 3
	ends(session.ReasonProtocol, "unexpected frame type 77", frame(77, 0, ""))
	ends(session.ReasonProtocol, "unexpected START", frame(wire.Start, 0, ""))
	ends(session.ReasonProtocol, "unexpected READY", frame(wire.Ready, 0, ""))
	ends(session.ReasonProtocol, "RESULT for call 9", frame(wire.Result, 9, ""))
	ends(session.ReasonProtocol, "ERROR for call 9", frame(wire.Error, 9, ""))
	ends(session.ReasonProtocol, "GROUPS for call 9", frame(wire.Groups, 9, "[]"))
	ends(session.ReasonProtocol, "DONE without STOP", frame(wire.Done, 0, ""))
	ends(session.ReasonError, "the sky falls", frame(wire.Error, 0, "the sky falls"))
	ends(session.ReasonMessage, "RESULT of 1001 bytes", frame(wire.Result, 1, strings.Repeat("x", 1001)))
	ends(session.ReasonProtocol, "request id 1 is in use", request, request)
	ends(session.ReasonRequests, "more than 2 HTTP requests open at once", request, second, third)
	ends(session.ReasonConnections, "more than 1 connections open at once", frame(wire.Dial, 1, silent), frame(wire.Dial, 2, silent))
	ends(session.ReasonProtocol, "DIAL_READ for connection 1 before", frame(wire.Dial, 1, silent), frame(wire.DialRead, 1, ""),
		frame(wire.DialRead, 1, ""), frame(wire.DialRead, 1, ""))
	ends(session.ReasonFiles, "more than 1 watches open at once", frame(wire.FileWatch, 1, ""), frame(wire.FileWatch, 2, ""))
	ends(session.ReasonProtocol, "before the last one was answered", request, frame(wire.HTTPRead, 1, ""), frame(wire.HTTPRead, 1, ""))
}

// TestBrokenUpdate needs a running discovery.
func TestBrokenUpdate(t *testing.T) {
	s, err := session.Open(t.Context(), runtimetest.NewScripted(script(
		frame(wire.Hello, 0, hello), wire.Frame{}, frame(wire.Ready, 0, ""), wire.Frame{}, frame(wire.Groups, 1, `[{"targets":5}]`),
	)), session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Discovery().Run(t.Context(), make(chan []sdk.Group))
	if session.ReasonOf(err) != session.ReasonProtocol || !strings.Contains(err.Error(), "plugin x") {
		t.Errorf("got %v", err)
	}
}

// TestExcess: what a guest says and finds does not grow in the host's hands.
func TestExcess(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	run := func(more ...wire.Frame) error {
		t.Helper()
		all := append([]wire.Frame{frame(wire.Hello, 0, hello), {}, frame(wire.Ready, 0, ""), {}}, more...)
		s, err := session.Open(t.Context(), runtimetest.NewScripted(script(all...)), session.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Discovery().Run(t.Context(), make(chan []sdk.Group))
		_ = s.Close(canceled)
		return err
	}
	if err := run(frame(wire.Groups, 1, "[{}"+strings.Repeat(",{}", 5<<20)+"]")); session.ReasonOf(err) != session.ReasonTargets {
		t.Errorf("an update of millions of groups: %v", err)
	}
	for _, id := range []uint32{0, 1} {
		if err := run(frame(wire.Error, id, strings.Repeat("é", 1<<20))); len(err.Error()) > 5000 || !strings.HasSuffix(err.Error(), "éé…") {
			t.Errorf("a message of 2 MiB became an error of %d bytes", len(err.Error()))
		}
	}
}

// TestDeafGuest does not read what the host sends.
func TestDeafGuest(t *testing.T) {
	s, err := session.Open(t.Context(), runtimetest.NewScripted(func(c guest.Conn) error {
		_ = c.Send(frame(wire.Hello, 0, strings.Replace(hello, "discovery", "exporter", 1)))
		_, _ = c.Recv()
		_ = c.Send(frame(wire.Ready, 0, ""))
		return c.Send(frame(wire.FileClose, 1, strings.Repeat("x", 100)))
	}), session.Options{Limits: session.Limits{Grace: time.Millisecond, CallTimeout: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Exporter().Collect(t.Context(), io.Discard); err == nil {
		t.Error("a call was answered")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_ = s.Close(ctx)
	<-s.Done()
}

func TestStartIsBounded(t *testing.T) {
	_, err := session.Open(t.Context(), runtimetest.NewScripted(script()), session.Options{
		Limits: session.Limits{StartTimeout: 10 * time.Millisecond},
	})
	if session.ReasonOf(err) != session.ReasonDeadline {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = session.Open(ctx, runtimetest.NewScripted(script()), session.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// FuzzGuest lets a guest say anything after its start: the session ends or goes on, and nothing panics or hangs.
func FuzzGuest(f *testing.F) {
	f.Add(wire.AppendFrame(nil, frame(wire.HTTPRequest, 1, "GET http://127.0.0.1:1/\n\n")))
	f.Add(wire.AppendFrame(wire.AppendFrame(nil, frame(wire.FileWatch, 1, "")), frame(wire.FileGlob, 2, "/tmp/*")))
	f.Add(wire.AppendFrame(nil, frame(wire.Groups, 1, `[{"targets":["a"]}]`)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		frames := []wire.Frame{frame(wire.Hello, 0, hello), {}, frame(wire.Ready, 0, "")}
		for r := wire.NewReader(strings.NewReader(string(stream)), 1<<16); ; {
			f, err := r.Read()
			if err != nil {
				break
			}
			if f.Type != 0 {
				frames = append(frames, f)
			}
		}
		s, err := session.Open(t.Context(), runtimetest.NewScripted(script(frames...)), session.Options{
			Grants: grant.Options{Plain: hanging{}}, Limits: session.Limits{Grace: time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_ = s.Discovery().Run(ctx, make(chan []sdk.Group))
		_ = s.Close(ctx)
		<-s.Done()
	})
}
