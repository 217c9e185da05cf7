package runtimetest

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// listen serves each connection with handle until the test ends, and returns the address.
func listen(tb testing.TB, handle func(net.Conn)) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			all.Go(func() {
				handle(c)
				_ = c.Close()
			})
		}
	})
	tb.Cleanup(func() {
		_ = l.Close() // ends the loop
		all.Wait()
	})
	return l.Addr().String()
}

// dial has guests connect over TCP.
func (s Suite) dial(t *testing.T) {
	echo := listen(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
	endless := listen(t, func(c net.Conn) {
		for _, err := c.Write(make([]byte, 1<<16)); err == nil; {
			_, err = c.Write(make([]byte, 1<<16))
		}
	})
	gone := listen(t, func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) })
	do := func(t *testing.T, c kitchen.Config, change ...func(*session.Options)) (*session.Session, string, error) {
		t.Helper()
		sess := s.Open(t, sdk.KindExporter, c, change...)
		out, err := Collect(t, sess)
		return sess, out, err
	}
	t.Run("there-and-back", func(t *testing.T) {
		sess, out, err := do(t, kitchen.Config{Do: "dial", Target: echo, Text: "hello"})
		if err != nil || out != "hello" {
			t.Errorf("%q, %v", out, err)
		}
		used := sess.Grants().Usage.Used()
		if st := sess.Stats(); st.Connections != 1 || st.Refused != 0 || used.Dial[echo] != 1 || used.Refused.Count != 0 {
			t.Errorf("%+v, %+v", st, used)
		}
	})
	t.Run("much", func(t *testing.T) {
		_, out, err := do(t, kitchen.Config{Do: "dial", Target: echo, Text: "0123456789abcdef", Size: 20_000})
		if err != nil || out != strings.Repeat("0123456789abcdef", 20_000) {
			t.Errorf("%d bytes, %v", len(out), err)
		}
	})
	t.Run("pulled", func(t *testing.T) {
		sess, out, err := do(t, kitchen.Config{Do: "dial-first", Target: endless, Size: 100_000})
		if err != nil || out != "read 100000\n" {
			t.Errorf("%q, %v", out, err)
		}
		if n := sess.Stats().BytesOut; n > 1<<20 {
			t.Errorf("the host pushed %d bytes of which the guest pulled 100000", n)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		if _, out, err := do(t, kitchen.Config{Do: "dial-hold", Target: echo}); err != nil || out != "true\nEOF\n" {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		_, _, err := do(t, kitchen.Config{Do: "dial-first", Target: gone, Size: 10})
		wantError(t, err, "reset by peer")
	})
	t.Run("forbidden", func(t *testing.T) {
		sess, _, err := do(t, kitchen.Config{Do: "dial", Target: echo, Text: "x " + endless})
		wantError(t, err, "connection to "+endless+": not granted")
		used := sess.Grants().Usage.Used()
		if st := sess.Stats(); st.Refused != 1 || used.Refused.Count != 1 || !strings.Contains(used.Refused.Last, endless) || len(used.Dial) != 0 {
			t.Errorf("%+v, %+v", st, used)
		}
	})
	t.Run("explicit-grant", func(t *testing.T) {
		_, out, err := do(t, kitchen.Config{Do: "dial", Text: "x " + echo}, func(o *session.Options) { o.Grants.Dial = []string{echo} })
		if err != nil || out != "x" {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("bad-target", func(t *testing.T) {
		for _, target := range []string{"host", "host:http", "host:0", ":80", "host:70000"} {
			_, err := s.TryOpen(t, sdk.KindExporter, kitchen.Config{Do: "dial", Target: target})
			wantError(t, err, "grant connections", target)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "dial-first", Target: endless, Size: 1 << 30})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- sess.Exporter().Collect(ctx, io.Discard) }()
		eventually(t, func() bool { return sess.Stats().BytesOut > 1<<18 })
		cancel()
		wantError(t, <-ended, "context canceled")
		if err := sess.Close(t.Context()); err != nil { // the guest is blocked in no read
			t.Error(err)
		}
	})
}
