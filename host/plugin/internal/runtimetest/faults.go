package runtimetest

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// faults are what only a guest that can be ended by force may do.
func (s Suite) faults(t *testing.T) {
	ends := func(name string, c kitchen.Config, reason session.Reason, change ...func(*session.Options)) {
		t.Run(name, func(t *testing.T) {
			sess := s.Open(t, sdk.KindExporter, c, change...)
			if out, err := Collect(t, sess); err == nil {
				t.Errorf("Collect = %q without an error", out)
			}
			wantReason(t, sess, reason)
			_, err := Collect(t, sess)
			wantError(t, err, "plugin kitchen", string(reason))
		})
	}
	short := func(o *session.Options) {
		o.Limits.CallTimeout, o.Limits.Grace = 50*time.Millisecond, 50*time.Millisecond
	}
	ends("panic", kitchen.Config{Do: "panic"}, session.ReasonExit)
	ends("exit", kitchen.Config{Do: "exit"}, session.ReasonExit)
	ends("loop", kitchen.Config{Do: "loop"}, session.ReasonDeadline, short)
	ends("ignored-cancel", kitchen.Config{Do: "ignore-cancel"}, session.ReasonDeadline, short)
	t.Run("slow-start", func(t *testing.T) {
		_, err := s.TryOpen(t, sdk.KindExporter, kitchen.Config{Do: "slow-start"}, func(o *session.Options) {
			o.Limits.StartTimeout = 500 * time.Millisecond
		})
		wantError(t, err, "not ready within 500ms")
	})
	t.Run("ignored-stop", func(t *testing.T) {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "ignore-cancel"})
		go func() { _ = sess.Exporter().Collect(t.Context(), io.Discard) }()
		eventually(t, func() bool { return sess.Stats().BytesOut > 0 && sess.Stats().Calls == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_ = sess.Close(ctx)
		wantReason(t, sess, session.ReasonDeadline)
	})
	t.Run("ignored-discovery-cancel", func(t *testing.T) {
		sess := s.Open(t, sdk.KindDiscovery, kitchen.Config{Do: "ignore-cancel"})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		wantError(t, sess.Discovery().Run(ctx, make(chan []sdk.Group)), "deadline exceeded")
		wantReason(t, sess, session.ReasonDeadline)
	})
	t.Run("log-flood", func(t *testing.T) {
		var lines atomic.Int64
		handler := slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
			lines.Add(1)
			return len(p), nil
		}), nil)
		log := session.NewLog(slog.New(handler), session.LogLimits{})
		one := s.withLog(log)
		sess := one.Open(t, sdk.KindExporter, kitchen.Config{Do: "log-flood", Size: 20_000})
		want(t, sess, "")
		if err := sess.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := lines.Load(); n < 100 || n > 2000 || log.Dropped() < 10_000 {
			t.Errorf("%d lines were logged, %d dropped", n, log.Dropped())
		}
	})
}
