package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/sdk"
)

func TestDiscoverStaticTargets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	text := "scrape_configs:\n- job_name: a\n- job_name: b\n  static_configs: [{targets: ['h:1', 'h:2'], labels: {x: 'y'}}]\n" +
		"  relabel_configs: [{source_labels: [__address__], regex: 'h:2', action: drop}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := Discover(t.Context(), file, "b", time.Minute, CheckOptions{Getenv: os.Getenv})
	if err != nil || len(found.Targets) != 2 || found.Targets[0].Labels.Get("instance") != "h:1" || !found.Targets[1].Labels.IsEmpty() {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := Discover(t.Context(), file, "c", time.Minute, CheckOptions{Getenv: os.Getenv}); err == nil || err.Error() != file+` has no job "c"; it has a, b` {
		t.Error(err)
	}
}

// sends is a discovery that sends updates with a pause before each.
type sends struct {
	pause   time.Duration
	updates [][]sdk.Group
	err     error
}

// Run implements sdk.Discovery.
func (s *sends) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	if s.err != nil {
		return s.err
	}
	for _, u := range s.updates {
		select {
		case <-time.After(s.pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case updates <- u:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestRunDiscoveries says what is found, and how long that takes.
func TestRunDiscoveries(t *testing.T) {
	group := func(source string, targets ...string) sdk.Group { return sdk.Group{Source: source, Targets: targets} }
	check := func(timeout, took time.Duration, targets, silence string, discoveries ...sdk.Discovery) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			job := discovery.Job{Name: "j", Static: []sdk.Group{group("static", "s:1")}}
			for i, d := range discoveries {
				name := string(rune('a' + i))
				job.Providers = append(job.Providers, discovery.Provider{Name: name, Fingerprint: name, Discovery: d})
			}
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			groups, silent, err := runDiscoveries(ctx, job)
			var found []string
			for _, g := range groups {
				found = append(found, g.Targets...)
			}
			if err != nil || strings.Join(found, " ") != targets || time.Since(begin).Round(time.Second) != took {
				t.Errorf("after %v: %v, %v; want %s after %v", time.Since(begin), found, err, targets, took)
			}
			if got := errors.Join(silent...); (got == nil) != (silence == "") || got != nil && got.Error() != silence {
				t.Errorf("silent are %v, want %s", got, silence)
			}
		})
	}
	check(time.Minute, 0, "s:1", "")
	check(time.Minute, 3*time.Second, "s:1 a:1", "", &sends{2 * time.Second, [][]sdk.Group{{group("x", "a:1")}}, nil})
	check(time.Minute, 2*time.Second, "s:1 a:2 b:1", "",
		&sends{500 * time.Millisecond, [][]sdk.Group{{group("x", "a:1")}, {group("x", "a:2")}}, nil},
		&sends{100 * time.Millisecond, [][]sdk.Group{{group("y", "b:1")}}, nil})
	check(10*time.Second, 10*time.Second, "s:1 b:1", "a has not answered: no route",
		&sends{err: errors.New("no route")}, &sends{0, [][]sdk.Group{{group("y", "b:1")}}, nil})
	check(10*time.Second, 10*time.Second, "s:1", "a has not answered: context deadline exceeded", &sends{time.Hour, [][]sdk.Group{{}}, nil})
}
