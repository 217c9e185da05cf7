package runtimetest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

// patience is how long a test waits for what should take milliseconds.
const patience = 30 * time.Second

// Suite is one transport under test.
type Suite struct {
	// Start starts the kitchen guest; its log lines go to stderr.
	Start func(tb testing.TB, stderr io.Writer) session.Transport
	// Killable says that the guest can be ended by force.
	Killable bool
}

// Run runs everything that every transport must show.
func Run(t *testing.T, s Suite) {
	t.Helper()
	t.Run("calls", s.calls)
	t.Run("parser", s.parser)
	t.Run("signer", s.signer)
	t.Run("authenticator", s.authenticator)
	t.Run("http", s.http)
	t.Run("files", s.files)
	t.Run("dial", s.dial)
	t.Run("discovery", s.discovery)
	t.Run("lifecycle", s.lifecycle)
	t.Run("conformance", s.conformance)
	if s.Killable {
		t.Run("faults", s.faults)
	}
}

// withLog returns s with guests that log to w.
func (s Suite) withLog(w io.Writer) Suite {
	start := s.Start
	s.Start = func(tb testing.TB, _ io.Writer) session.Transport {
		tb.Helper()
		return start(tb, w)
	}
	return s
}

// Open opens a session with a guest that does what c says. The test's end closes it.
func (s Suite) Open(tb testing.TB, kind sdk.Kind, c kitchen.Config, change ...func(*session.Options)) *session.Session {
	tb.Helper()
	out, err := s.TryOpen(tb, kind, c, change...)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// TryOpen is Open for a test that expects an error.
func (s Suite) TryOpen(tb testing.TB, kind sdk.Kind, c kitchen.Config, change ...func(*session.Options)) (*session.Session, error) {
	tb.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	log := session.NewLog(slog.New(slog.NewTextHandler(tb.Output(), nil)), session.LogLimits{})
	o := session.Options{Kind: kind, Config: raw, Limits: session.Limits{Grace: 500 * time.Millisecond}}
	for _, f := range change {
		f(&o)
	}
	out, err := session.Open(tb.Context(), s.Start(tb, log), o)
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = out.Close(ctx) // a test that cares closes by itself
		select {
		case <-out.Done():
		default:
			tb.Error("the session is not done after Close")
		}
	})
	return out, nil
}

// Collect calls the session's exporter.
func Collect(tb testing.TB, s *session.Session) (string, error) {
	tb.Helper()
	var out bytes.Buffer
	err := s.Exporter().Collect(tb.Context(), &out)
	return out.String(), err
}

func want(tb testing.TB, s *session.Session, text string) {
	tb.Helper()
	got, err := Collect(tb, s)
	if err != nil || got != text {
		tb.Errorf("Collect = %q, %v; want %q", got, err, text)
	}
}

func wantError(tb testing.TB, err error, parts ...string) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("no error; want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			tb.Errorf("error %q lacks %q", err, p)
		}
	}
}

func wantReason(tb testing.TB, s *session.Session, reason session.Reason) {
	tb.Helper()
	select {
	case <-s.Done():
	case <-time.After(patience):
		tb.Fatal("the session does not end")
	}
	if got := session.ReasonOf(s.Err()); got != reason {
		tb.Errorf("ended with reason %q (%v), want %q", got, s.Err(), reason)
	}
}

func (s Suite) calls(t *testing.T) {
	t.Run("echo", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "echo", Text: "up 1\n"})
		want(t, sess, "up 1\n")
		want(t, sess, "up 1\n")
		if m := sess.Manifest(); m.Name != "kitchen" || m.Version != "1.2.3" || m.Asks.Files[0] != "path" {
			t.Errorf("manifest %+v", m)
		}
		if st := sess.Stats(); st.Calls != 2 || st.CallsFailed != 0 || st.BytesIn == 0 || st.BytesOut == 0 {
			t.Errorf("stats %+v", st)
		}
		if sess.Discovery() != nil {
			t.Error("an exporter's session hands out a discovery")
		}
	})
	t.Run("error", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "fail", Text: "no sensor"})
		_, err := Collect(t, sess)
		wantError(t, err, "plugin kitchen", "no sensor")
		_, err = Collect(t, sess)
		wantError(t, err, "no sensor")
	})
	t.Run("notify", func(t *testing.T) {
		batch := sdktest.Batches(t)[2]
		notify := func(c kitchen.Config) error {
			return s.Open(t, sdk.KindNotify, c).Notifier().Notify(t.Context(), batch)
		}
		if err := notify(kitchen.Config{Do: "match", Text: "3"}); err != nil {
			t.Error(err)
		}
		err := notify(kitchen.Config{Do: "match", Text: "4"})
		if wantError(t, err, "this is batch 3"); !sdk.IsRejected(err) {
			t.Errorf("%v is no rejection", err)
		}
		err = notify(kitchen.Config{Do: "reject", Text: strings.Repeat("x\n", 1000)})
		if wantError(t, err, "wrapped: x\nx\n"); !sdk.IsRejected(err) {
			t.Errorf("%v is no rejection", err)
		}
		err = notify(kitchen.Config{Do: "fail", Text: "try again"})
		if wantError(t, err, "plugin kitchen", "try again"); sdk.IsRejected(err) {
			t.Errorf("%v is a rejection", err)
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "together", Size: 8})
		var g sync.WaitGroup
		for range 8 {
			g.Go(func() { want(t, sess, "all here\n") })
		}
		g.Wait()
	})
	t.Run("cancel", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "wait"})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		wantError(t, sess.Exporter().Collect(ctx, io.Discard), "context deadline exceeded")
		select {
		case <-sess.Done():
			t.Errorf("a cancelled call ended the guest: %v", sess.Err())
		default:
		}
	})
	t.Run("timeout", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "wait"}, func(o *session.Options) {
			o.Limits.CallTimeout = 20 * time.Millisecond
		})
		_, err := Collect(t, sess)
		wantError(t, err, "deadline exceeded")
	})
	t.Run("output-limit", func(t *testing.T) {
		limit := func(o *session.Options) { o.Limits.OutputBytes = 1000 }
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "giant", Size: 1001}, limit)
		_, err := Collect(t, sess)
		wantError(t, err, "limit of 1000")
		sess = s.Open(t, sdk.KindExporter, kitchen.Config{Do: "giant", Size: 1000}, limit)
		if out, err := Collect(t, sess); len(out) != 1000 || err != nil {
			t.Errorf("got %d bytes, %v", len(out), err)
		}
	})
	t.Run("large", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "giant", Size: 8 << 20})
		if out, err := Collect(t, sess); len(out) != 8<<20 || err != nil {
			t.Errorf("got %d bytes, %v", len(out), err)
		}
	})
	t.Run("log", func(t *testing.T) {
		var mu sync.Mutex
		var lines bytes.Buffer
		record := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return lines.Write(p)
		}), nil)).With("plugin", "kitchen")
		log := session.NewLog(record, session.LogLimits{})
		one := s.withLog(log)
		sess := one.Open(t, sdk.KindExporter, kitchen.Config{Do: "log"})
		want(t, sess, "")
		eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(lines.String(), `level=WARN msg="hello host" plugin=kitchen path="a b" n=3`)
		})
	})
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// eventually waits for a condition that another process or the file system brings about.
func eventually(tb testing.TB, cond func() bool) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatal("the condition does not come true")
		}
	}
}

func (s Suite) discovery(t *testing.T) {
	t.Run("updates", func(t *testing.T) {
		sess := s.Open(t, sdk.KindDiscovery, kitchen.Config{Do: "once", Text: "host:1"})
		ctx, cancel := context.WithCancel(t.Context())
		updates := make(chan []sdk.Group)
		ended := make(chan error, 1)
		go func() { ended <- sess.Discovery().Run(ctx, updates) }()
		g := receive(t, updates)
		if len(g) != 1 || g[0].Source != "kitchen" || g[0].Targets[0] != "host:1" || g[0].Labels["quote"] != "\"\\\n\x01é\ufffd" {
			t.Errorf("groups %+v", g)
		}
		cancel()
		wantError(t, <-ended, "context canceled")
		if st := sess.Stats(); st.Updates != 1 || st.LastUpdate.IsZero() {
			t.Errorf("stats %+v", st)
		}
		// A discovery can be run again, and starts afresh.
		ctx, cancel = context.WithCancel(t.Context())
		go func() { ended <- sess.Discovery().Run(ctx, updates) }()
		receive(t, updates)
		cancel()
		wantError(t, <-ended, "context canceled")
	})
	t.Run("back-pressure", func(t *testing.T) {
		sess := s.Open(t, sdk.KindDiscovery, kitchen.Config{Do: "flood"})
		ctx, cancel := context.WithCancel(t.Context())
		updates := make(chan []sdk.Group)
		ended := make(chan error, 1)
		go func() { ended <- sess.Discovery().Run(ctx, updates) }()
		for range 10 {
			receive(t, updates)
		}
		if n := sess.Stats().Updates; n > 12 {
			t.Errorf("the host took %d updates while its consumer took 10", n)
		}
		cancel()
		wantError(t, <-ended, "context canceled")
	})
	t.Run("fails", func(t *testing.T) {
		sess := s.Open(t, sdk.KindDiscovery, kitchen.Config{Do: "give-up", Text: "api is gone"})
		err := sess.Discovery().Run(t.Context(), make(chan []sdk.Group))
		wantError(t, err, "plugin kitchen", "cannot discover: api is gone")
	})
}

func receive(tb testing.TB, updates <-chan []sdk.Group) []sdk.Group {
	tb.Helper()
	select {
	case g := <-updates:
		return g
	case <-time.After(patience):
		tb.Fatal("no update comes")
		return nil
	}
}

func (s Suite) lifecycle(t *testing.T) {
	t.Run("bad-config", func(t *testing.T) {
		_, err := s.TryOpen(t, sdk.KindExporter, kitchen.Config{})
		wantError(t, err, "start plugin kitchen", "field do: missing")
	})
	t.Run("wrong-kind", func(t *testing.T) {
		_, err := s.TryOpen(t, "poet", kitchen.Config{Do: "echo"})
		wantError(t, err, "plugin kitchen", "not poet")
	})
	t.Run("probe", func(t *testing.T) {
		m, err := session.Probe(t.Context(), s.Start(t, io.Discard), session.Limits{})
		if err != nil || m.Name != "kitchen" || !slices.Equal(m.ContentTypes, []string{"application/x-kitchen"}) {
			t.Errorf("Probe = %+v, %v", m, err)
		}
	})
	t.Run("stop", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "wait"})
		failed := make(chan error, 1)
		go func() { failed <- sess.Exporter().Collect(t.Context(), io.Discard) }()
		eventually(t, func() bool { return sess.Stats().Calls == 1 })
		for range 2 {
			if err := sess.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if err := <-failed; err == nil {
			t.Error("a call survived the end of the session")
		}
		_, err := Collect(t, sess)
		wantError(t, err, "plugin kitchen", "stopped")
	})
	t.Run("stop-during-updates", func(t *testing.T) {
		sess := s.Open(t, sdk.KindDiscovery, kitchen.Config{Do: "flood"})
		ended := make(chan error, 1)
		go func() { ended <- sess.Discovery().Run(t.Context(), make(chan []sdk.Group)) }()
		eventually(t, func() bool { return sess.Stats().Updates > 0 })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- sess.Close(ctx) }()
		if err := <-done; err != nil {
			t.Errorf("Close: %v", err)
		}
		<-sess.Done()
	})
}
