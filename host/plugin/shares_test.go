package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/session"
)

// TestFailedShare: a process that does not start is tried once, whatever its error looks like, and what it wrote is in the log.
func TestFailedShare(t *testing.T) {
	var text bytes.Buffer
	log := session.NewLog(slog.New(slog.NewTextHandler(&text, nil)), session.LogLimits{})
	s, starts := shares{}, 0
	_, err := s.enter(t.Context(), "key", log, func() (*process.Shared, error) {
		starts++
		_, _ = log.Write([]byte("a line without an end"))
		return nil, fmt.Errorf("shake hands: %w", context.DeadlineExceeded)
	})
	if !errors.Is(err, context.DeadlineExceeded) || starts != 1 || len(s.running) != 0 {
		t.Errorf("%v after %d starts; %d are left", err, starts, len(s.running))
	}
	if !strings.Contains(text.String(), "a line without an end") {
		t.Errorf("the log says %q", &text)
	}
}

// TestGivenUpShare: who waits for a process that another one has given up starts it, and gets what came of that.
func TestGivenUpShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := session.NewLog(slog.New(slog.DiscardHandler), session.LogLimits{})
		var s shares
		var wait sync.WaitGroup
		first, giveUp := context.WithCancel(t.Context())
		wait.Go(func() {
			_, err := s.enter(first, "key", log, func() (*process.Shared, error) {
				<-first.Done()
				return nil, first.Err()
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up got %v", err)
			}
		})
		synctest.Wait()
		bad := errors.New("no such file")
		for range 3 {
			wait.Go(func() {
				if _, err := s.enter(t.Context(), "key", log, func() (*process.Shared, error) { return nil, bad }); !errors.Is(err, bad) {
					t.Errorf("who waited got %v", err)
				}
			})
		}
		synctest.Wait()
		giveUp()
		wait.Wait()
		s.leaving.Wait()
		if len(s.running) != 0 {
			t.Errorf("%d are left", len(s.running))
		}
	})
}
