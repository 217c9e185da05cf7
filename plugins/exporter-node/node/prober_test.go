//go:build linux

package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// deadMount is a statfs of which /dead never answers, until it is released.
func deadMount(calls *atomic.Int32) (statfs func(string, *unix.Statfs_t) error, release func()) {
	gate := make(chan struct{})
	return func(path string, buf *unix.Statfs_t) error {
		if path == "/dead" {
			calls.Add(1)
			<-gate
		}
		buf.Blocks = 7
		return nil
	}, func() { close(gate) }
}

func TestDeadMountDoesNotHoldUpTheScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		statfs, release := deadMount(&calls)
		p := &prober{statfs: statfs, timeout: 5 * time.Second}
		check := func(want, atMost time.Duration) {
			t.Helper()
			start := time.Now()
			answers, err := p.ask(t.Context(), []string{"/dead", "/alive"})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < want || took > atMost {
				t.Errorf("took %v, want %v to %v", took, want, atMost)
			}
			if !errors.Is(answers[0].err, errMountTimeout) {
				t.Errorf("the dead mount answered %+v", answers[0])
			}
			if answers[1].err != nil || answers[1].stat.Blocks != 7 {
				t.Errorf("the mount that is alive answered %+v", answers[1])
			}
		}
		check(5*time.Second, 5*time.Second) // The first scrape waits,
		check(0, 0)                         // the next ones know.
		check(0, 0)
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls hang on the dead mount, want 1", n)
		}

		release()
		synctest.Wait()
		answers, err := p.ask(t.Context(), []string{"/dead"})
		if err != nil || answers[0].err != nil {
			t.Errorf("after its recovery the mount answered %+v, %v", answers, err)
		}
	})
}

// A scrape with little time keeps half of it for the rest of its work.
func TestDeadMountLeavesTimeBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		statfs, release := deadMount(new(atomic.Int32))
		defer release()
		p := &prober{statfs: statfs, timeout: 5 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start := time.Now()
		answers, err := p.ask(ctx, []string{"/dead"})
		if err != nil || !errors.Is(answers[0].err, errMountTimeout) || time.Since(start) != 2*time.Second {
			t.Errorf("got %+v, %v after %v", answers, err, time.Since(start))
		}
	})
}

func TestConcurrentScrapesShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		statfs, release := deadMount(&calls)
		p := &prober{statfs: statfs, timeout: 5 * time.Second}
		errs := make(chan error)
		for range 3 {
			go func() {
				answers, err := p.ask(t.Context(), []string{"/dead"})
				errs <- errors.Join(err, answers[0].err)
			}()
		}
		synctest.Wait()
		release() // It was slow, not dead: nobody sees an error.
		for range 3 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("got %d calls", n)
		}
	})
}

func TestCancelledScrapeStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		statfs, release := deadMount(new(atomic.Int32))
		defer release()
		p := &prober{statfs: statfs, timeout: 5 * time.Second}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if _, err := p.ask(ctx, []string{"/dead"}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}
