package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a discovery that a test drives.
type fake struct {
	mu      sync.Mutex
	starts  int
	running bool
	updates chan []sdk.Group
	fail    chan error
}

func newFake() *fake { return &fake{updates: make(chan []sdk.Group), fail: make(chan error)} }

func (f *fake) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	f.mu.Lock()
	f.starts++
	f.running = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running = false
		f.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-f.fail:
			return err
		case groups := <-f.updates:
			select {
			case updates <- groups:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func (f *fake) state() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("starts %d running %v", f.starts, f.running)
}

// bench is a running manager in a bubble; published collects what it publishes, as text with the time.
type bench struct {
	*testing.T
	m     *Manager
	reg   *prometheus.Registry
	begin time.Time
	stop  func()

	mu        sync.Mutex
	published []string
}

// current returns the first runner of a job.
func (b *bench) current(job string) runner {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	for _, j := range b.m.jobs {
		if j.name == job {
			return *j.slots[0].current
		}
	}
	b.Fatalf("there is no job %s", job)
	return runner{}
}

func inBubble(t *testing.T, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, reg: prometheus.NewRegistry(), begin: time.Now()}
		var err error
		b.m, err = New(Options{Log: slog.New(slog.DiscardHandler), Registerer: b.reg, Name: "scrape"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.m.Run(ctx) }()
		collected := make(chan struct{})
		go func() {
			defer close(collected)
			for groups := range b.m.Updates() {
				b.mu.Lock()
				b.published = append(b.published, fmt.Sprintf("%v %s", time.Since(b.begin), show(groups)))
				b.mu.Unlock()
			}
		}()
		b.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			<-collected
		})
		f(b)
		b.stop()
	})
}

// show writes groups as job[target target …], in order of the jobs.
func show(all map[string][]sdk.Group) string {
	var jobs []string
	for job, groups := range all {
		var targets []string
		for _, g := range groups {
			targets = append(targets, g.Targets...)
		}
		jobs = append(jobs, fmt.Sprint(job, targets))
	}
	slices.Sort(jobs)
	return strings.Join(jobs, " ")
}

func (b *bench) apply(jobs ...Job) {
	b.Helper()
	change, err := b.m.Prepare(b.Context(), jobs)
	if err != nil {
		b.Fatal(err)
	}
	change.Apply()
	synctest.Wait()
}

// expect takes what was published since the last call.
func (b *bench) expect(want ...string) {
	b.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.published, want) {
		b.Errorf("published %q, want %q", b.published, want)
	}
	b.published = nil
}

func send(f *fake, groups ...sdk.Group) {
	f.updates <- groups
	synctest.Wait()
}

func group(source string, targets ...string) sdk.Group {
	return sdk.Group{Source: source, Targets: targets}
}

func newJob(name, fingerprint string, d sdk.Discovery) Job {
	return Job{Name: name, Providers: []Provider{{Name: "fake_sd_configs[0]", Fingerprint: fingerprint, Discovery: d}}}
}

func TestPublishing(t *testing.T) {
	inBubble(t, func(b *bench) {
		f := newFake()
		j := newJob("j", "1", f)
		j.Static = []sdk.Group{group("0", "static")}
		b.apply(j)
		b.expect("0s j[static]") // Static targets come at once.
		time.Sleep(time.Second)
		send(f, group("a", "a1"))
		b.expect("1s j[static a1]") // So does a provider's first update.
		send(f, group("a", "a2"))
		send(f, group("b", "b1"))
		b.expect()
		time.Sleep(5 * time.Second)
		b.expect("6s j[static a2 b1]")
		time.Sleep(time.Minute)
		send(f, group("b", "b1")) // Nothing new.
		b.expect()
		send(f, group("b"))
		b.expect("1m6s j[static a2]")
	})
}

func TestSources(t *testing.T) {
	r := &runner{}
	becomes := func(want string, changed bool, groups ...sdk.Group) {
		t.Helper()
		if got := r.update(groups); got != changed {
			t.Errorf("update %v: changed %v, want %v", groups, got, changed)
		}
		if got := show(map[string][]sdk.Group{"": r.appendGroups(nil)}); got != want {
			t.Errorf("update %v: got %s, want %s", groups, got, want)
		}
	}
	becomes("[]", true) // The first update, even if it is empty, says that the state is known.
	becomes("[]", false)
	becomes("[a1 a2 b1]", true, group("a", "a1"), group("b", "b1"), group("a", "a2"))
	becomes("[a3 b1]", true, group("a", "a3"))
	becomes("[a3 b1]", false, group("a", "a3"), group("c"))
	becomes("[b1]", true, group("a"))
	r.fresh = true
	becomes("[c1]", true, group("c", "c1")) // Discovering began anew.
}

func TestUnchangedProviderIsNotTouched(t *testing.T) {
	inBubble(t, func(b *bench) {
		f, unused := newFake(), newFake()
		b.apply(newJob("j", "1", f))
		send(f, group("a", "a1"))
		b.apply(newJob("j", "1", unused), newJob("k", "1", unused)) // The second job shares it.
		time.Sleep(time.Second)
		b.expect("0s j[]", "100ms j[a1] k[a1]")
		if f.state() != "starts 1 running true" || unused.state() != "starts 0 running false" {
			b.Errorf("first %s, unused %s", f.state(), unused.state())
		}
		b.apply(Job{Name: "k"})
		time.Sleep(time.Second)
		b.expect("1s k[]")
		if f.state() != "starts 1 running false" {
			b.Errorf("first %s", f.state())
		}
	})
}

func TestHandover(t *testing.T) {
	inBubble(t, func(b *bench) {
		old, next := newFake(), newFake()
		b.apply(newJob("j", "1", old))
		send(old, group("a", "a1"))
		time.Sleep(time.Second)
		b.expect("0s j[]", "100ms j[a1]")
		b.apply(newJob("j", "2", next))
		send(old, group("a", "a2"))
		b.expect("1s j[a1]")
		time.Sleep(10 * time.Second)
		b.expect("6s j[a2]")
		if old.state() != "starts 1 running true" || next.state() != "starts 1 running true" {
			b.Errorf("old %s, next %s", old.state(), next.state())
		}
		send(next, group("b", "b1"))
		b.expect("11s j[b1]")
		if old.state() != "starts 1 running false" {
			b.Errorf("old %s", old.state())
		}
	})
}

// TestChangedTwice checks that a provider which is replaced before it sent anything neither serves nor goes on.
func TestChangedTwice(t *testing.T) {
	inBubble(t, func(b *bench) {
		first, second, third := newFake(), newFake(), newFake()
		b.apply(newJob("j", "1", first))
		send(first, group("a", "a1"))
		b.apply(newJob("j", "2", second))
		b.apply(newJob("j", "3", third))
		time.Sleep(time.Second)
		b.expect("0s j[]", "100ms j[a1]")
		if first.state() != "starts 1 running true" || second.state() != "starts 1 running false" || third.state() != "starts 1 running true" {
			b.Errorf("first %s, second %s, third %s", first.state(), second.state(), third.state())
		}
		send(third, group("c", "c1"))
		b.expect("1s j[c1]")
	})
}

func TestHandoverDeadline(t *testing.T) {
	inBubble(t, func(b *bench) {
		old, next := newFake(), newFake()
		b.apply(newJob("j", "1", old))
		send(old, group("a", "a1"))
		b.apply(newJob("j", "2", next))
		time.Sleep(31 * time.Second)
		if old.state() != "starts 1 running false" {
			b.Errorf("old %s", old.state())
		}
		// Its groups serve until there are better ones.
		b.expect("0s j[]", "100ms j[a1]")
		send(next, group("b", "b1"))
		b.expect("31s j[b1]")
	})
}

func TestFailureKeepsGroups(t *testing.T) {
	inBubble(t, func(b *bench) {
		f := newFake()
		b.apply(newJob("j", "1", f))
		send(f, group("a", "a1"), group("b", "b1"))
		time.Sleep(time.Second)
		b.expect("0s j[]", "100ms j[a1 b1]")
		f.fail <- errors.New("no more")
		synctest.Wait()
		if r := b.current("j"); r.err == nil || r.err.Error() != "no more" || !r.updated {
			b.Errorf("updated %v, failed with %v", r.updated, r.err)
		}
		time.Sleep(2 * time.Second)
		if r := b.current("j"); r.err != nil || f.state() != "starts 2 running true" {
			b.Errorf("failed with %v, %s", r.err, f.state())
		}
		b.expect()
		send(f, group("a", "a2"))
		time.Sleep(5 * time.Second)
		b.expect("5.1s j[a2]")
	})
}

func TestSlowReaderGetsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Name: "scrape"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		for i := range 3 {
			change, err := m.Prepare(ctx, []Job{{Name: "j", Static: []sdk.Group{group("0", fmt.Sprint(i))}}})
			if err != nil {
				t.Fatal(err)
			}
			change.Apply()
			time.Sleep(time.Second)
		}
		if got := show(<-m.Updates()); got != "j[2]" {
			t.Errorf("got %s", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, open := <-m.Updates(); open {
			t.Error("the channel is not closed")
		}
	})
}

func TestPrepareRejects(t *testing.T) {
	m, err := New(Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Name: "scrape"})
	if err != nil {
		t.Fatal(err)
	}
	rejects := func(want string, jobs ...Job) {
		t.Helper()
		if _, err := m.Prepare(t.Context(), jobs); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	rejects(`job "j": given twice`, Job{Name: "j"}, Job{Name: "j"})
	rejects(`job "j": provider fake_sd_configs[0]: no discovery`, newJob("j", "1", nil))
	rejects(`job "j": provider fake_sd_configs[0]: no fingerprint`, newJob("j", "", newFake()))
	twice := newJob("j", "1", newFake())
	twice.Providers = append(twice.Providers, twice.Providers[0])
	rejects(`job "j": provider fake_sd_configs[0]: given twice`, twice)
}
