package netadapter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/narthex-io/narthex/sdk/guest/netadapter"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestDial(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	defer func() { <-served }()
	defer func() { _ = l.Close() }()
	dial := netadapter.Dial(sdktest.NewHost(t).SDK().Dial)
	if _, err := dial(t.Context(), "udp", l.Addr().String()); err == nil {
		t.Error("a datagram connection was made")
	}
	refused, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dial(refused, "tcp", l.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("dial after the end: %v", err)
	}
	c, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if c.RemoteAddr().String() != l.Addr().String() || c.RemoteAddr().Network() != "tcp" || c.LocalAddr().String() != "host" {
		t.Errorf("%v, %v", c.RemoteAddr(), c.LocalAddr())
	}
	b := make([]byte, 5)
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	if err := c.SetDeadline(time.Now()); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the deadline: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
