package poll_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/poll"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func group(source string, targets ...string) sdk.Group {
	return sdk.Group{Source: source, Targets: targets, Labels: map[string]string{"from": source}}
}

// TestRun plays one answer after the other, a minute apart.
func TestRun(t *testing.T) {
	answers := []struct {
		groups []sdk.Group
		err    error
		want   string // the update, or nothing
	}{
		{err: errors.New("refused")},
		{groups: []sdk.Group{group("a", "a:1"), group("b", "b:1")}, want: "a=[a:1] b=[b:1]"},
		{groups: []sdk.Group{group("a", "a:1"), group("b", "b:1")}},
		{groups: []sdk.Group{group("a", "a:1"), group("b", "b:2")}, want: "b=[b:2]"},
		{err: errors.New("refused")},
		{groups: []sdk.Group{group("a", "a:1"), group("a", "a:2")}, want: "a=[a:1] a=[a:2] b=[]"},
		{groups: nil, want: "a=[]"},
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		next := 0
		d := poll.New(poll.Options{
			Interval: time.Minute,
			Log:      slog.New(slog.NewTextHandler(&log, nil)),
			Find: func(context.Context) ([]sdk.Group, error) {
				a := answers[next]
				next++
				return a.groups, a.err
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		updates, ended := make(chan []sdk.Group), make(chan error, 1)
		go func() { ended <- d.Run(ctx, updates) }()
		for i, a := range answers {
			synctest.Wait()
			got := ""
			select {
			case groups := <-updates:
				got = describe(groups)
			default:
			}
			if got != a.want {
				t.Errorf("answer %d: update %q, want %q", i, got, a.want)
			}
			if i == len(answers)-1 {
				cancel()
			}
			time.Sleep(time.Minute) // the bubble's clock
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		if n := strings.Count(log.String(), "refused"); n != 2 {
			t.Errorf("%d failures in the log:\n%s", n, log.String())
		}
	})
}

// TestFirstIsEmpty: that nothing is there is news, too.
func TestFirstIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		updates, ended := make(chan []sdk.Group), make(chan error, 1)
		d := poll.New(poll.Options{Interval: time.Minute, Log: slog.New(slog.DiscardHandler), Find: func(context.Context) ([]sdk.Group, error) { return nil, nil }})
		go func() { ended <- d.Run(ctx, updates) }()
		if got := <-updates; len(got) != 0 {
			t.Errorf("got %v", got)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

func describe(groups []sdk.Group) string {
	parts := make([]string, len(groups))
	for i, g := range groups {
		parts[i] = g.Source + "=[" + strings.Join(g.Targets, " ") + "]"
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
