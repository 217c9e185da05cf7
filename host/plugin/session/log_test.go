package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/host/plugin/session"
)

// hanging is a transport whose requests end only by being cancelled.
type hanging struct{}

// RoundTrip implements http.RoundTripper.
func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, errors.New("hung up")
}

func newLog(limits session.LogLimits) (*session.Log, *bytes.Buffer) {
	var out bytes.Buffer
	drop := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return session.NewLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: drop})), limits), &out
}

func TestLogLines(t *testing.T) {
	logs := func(line, want string) {
		t.Helper()
		log, out := newLog(session.LogLimits{})
		if _, err := log.Write([]byte(line)); err != nil {
			t.Error(err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if got := out.String(); got != want {
			t.Errorf("%q is logged as %q, want %q", line, got, want)
		}
	}
	logs("level=WARN msg=\"a b\" k=v q=\"x\\ny\"\n", "level=WARN msg=\"a b\" k=v q=\"x\\ny\"\n")
	logs("level=ERROR msg=short\n", "level=ERROR msg=short\n")
	logs("level=DEBUG msg=hidden\n", "")
	logs("just text\nand more", "level=INFO msg=\"just text\"\nlevel=INFO msg=\"and more\"\n")
	logs("level=LOUD msg=x\n", "level=INFO msg=\"level=LOUD msg=x\"\n")
	logs("level=INFO msg=\"open\n", "level=INFO msg=\"level=INFO msg=\\\"open\"\n")
	logs("", "")
}

func TestLogIsCutAndLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLog(session.LogLimits{LinesPerSecond: 1, Burst: 2, LineBytes: 5})
		write := func(s string) {
			t.Helper()
			if n, err := log.Write([]byte(s)); n != len(s) || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
		}
		for i := range 5 {
			write(fmt.Sprintf("%d%s", i, strings.Repeat("x", 10)))
			write("more\n")
		}
		time.Sleep(time.Second)
		write("late\n")
		want := "level=INFO msg=0xxxx…\nlevel=INFO msg=1xxxx…\n" +
			"level=WARN msg=\"plugin logs too much, lines were dropped\" lines=3\nlevel=INFO msg=late\n"
		if out.String() != want || log.Dropped() != 3 {
			t.Errorf("logged %q, dropped %d", out.String(), log.Dropped())
		}
	})
}

func FuzzLog(f *testing.F) {
	f.Add("level=INFO msg=\"x\" a=\"b\\\"\" c=d\n")
	f.Fuzz(func(_ *testing.T, line string) {
		log, _ := newLog(session.LogLimits{})
		_, _ = log.Write([]byte(line))
		_ = log.Close()
	})
}
