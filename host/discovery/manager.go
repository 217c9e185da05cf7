package discovery

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Manager runs the providers of a set of jobs. [Manager.Prepare] and [Change.Apply] exchange the set, before or while
// [Manager.Run] does the work.
type Manager struct {
	opts    Options
	metrics *metrics
	updates chan map[string][]sdk.Group
	// wake tells Run that something below has changed.
	wake chan struct{}
	// providers counts the goroutines of runners.
	providers sync.WaitGroup

	mu      sync.Mutex
	jobs    []*job
	runners map[string]*runner // By fingerprint: those that run or are about to.
	// dirty says that the groups differ from what was published, urgent that this should not wait for the interval.
	dirty, urgent bool
}

// job is a Job in use.
type job struct {
	name   string
	static []sdk.Group
	slots  []*slot
}

// slot is the place of one provider in one job. While the current runner has sent nothing yet, the groups of the
// previous one are used, which also goes on running until the deadline.
type slot struct {
	name     string
	current  *runner
	previous *runner
	deadline time.Time
}

// serving returns the runner whose groups count.
func (s *slot) serving() *runner {
	if s.previous != nil && !s.current.updated {
		return s.previous
	}
	return s.current
}

// New returns a manager without jobs.
func New(opts Options) (*Manager, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(opts.Registerer, opts.Name)
	if err != nil {
		return nil, err
	}
	return &Manager{
		opts:    opts,
		metrics: m,
		updates: make(chan map[string][]sdk.Group),
		wake:    make(chan struct{}, 1),
		runners: map[string]*runner{},
	}, nil
}

// Updates delivers the groups of all jobs, each time as a whole: after a change of the jobs, after the first update of
// a provider, and then at most once in the reload interval. A reader that is slow gets the newest state, not each. The
// groups are shared: do not change them. The channel is closed when Run returns.
func (m *Manager) Updates() <-chan map[string][]sdk.Group { return m.updates }

// Change is a new set of jobs that was found to be good. Exactly one of its methods is to be called.
type Change struct {
	m    *Manager
	jobs []Job
}

// Prepare checks a new set of jobs and changes nothing. Only one change may be open at a time.
func (m *Manager) Prepare(_ context.Context, jobs []Job) (*Change, error) {
	if err := checkJobs(jobs); err != nil {
		return nil, err
	}
	return &Change{m: m, jobs: jobs}, nil
}

// Discard drops the change.
func (c *Change) Discard() {}

// Apply makes the jobs the current ones. It does not wait for providers: new ones start, those no longer needed end, in
// the background of Run.
func (c *Change) Apply() {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	old := map[string]map[string]*slot{}
	for _, j := range m.jobs {
		old[j.name] = map[string]*slot{}
		for _, s := range j.slots {
			old[j.name][s.name] = s
		}
	}
	m.jobs = nil
	for _, j := range c.jobs {
		next := &job{name: j.Name, static: j.Static}
		for _, p := range j.Providers {
			next.slots = append(next.slots, m.newSlot(p, old[j.Name][p.Name]))
		}
		m.jobs = append(m.jobs, next)
	}
	for name := range old {
		if !slices.ContainsFunc(m.jobs, func(j *job) bool { return j.name == name }) {
			m.metrics.lastUpdate.DeleteLabelValues(name)
		}
	}
	m.dirty, m.urgent = true, true
	m.kick()
}

// newSlot gives a provider its place, that of before, if there was one.
func (m *Manager) newSlot(p Provider, before *slot) *slot {
	r := m.runners[p.Fingerprint]
	if r == nil {
		r = &runner{name: p.Name, fingerprint: p.Fingerprint, discovery: p.Discovery}
		m.runners[p.Fingerprint] = r
	}
	s := &slot{name: p.Name, current: r}
	switch {
	case before == nil:
	case before.current == r:
		s.previous, s.deadline = before.previous, before.deadline
	default:
		if serving := before.serving(); serving.updated {
			s.previous, s.deadline = serving, time.Now().Add(m.opts.HandoverTimeout)
		}
	}
	return s
}

// kick wakes Run.
func (m *Manager) kick() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run runs the providers and publishes until ctx is done, and returns when all have ended.
func (m *Manager) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		m.providers.Wait()
		close(m.updates)
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pending map[string][]sdk.Group
	var last time.Time
	for {
		next := m.reconcile(ctx)
		if due, ok := m.publishTime(last); ok && !due.After(time.Now()) {
			if pending != nil {
				m.metrics.delayed.Inc()
			}
			pending, last = m.snapshot(), time.Now()
		} else if ok && (next.IsZero() || due.Before(next)) {
			next = due
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		var out chan map[string][]sdk.Group
		if pending != nil {
			out = m.updates
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-timer.C:
		case out <- pending:
			pending = nil
			m.metrics.sent.Inc()
		}
	}
}

// reconcile starts the runners that are needed, ends the others, and returns when it is to be called again at the
// latest; zero if no time is known.
func (m *Manager) reconcile(ctx context.Context) (again time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	needed := map[*runner]bool{}
	now := time.Now()
	for _, j := range m.jobs {
		for _, s := range j.slots {
			needed[s.current] = true
			s.current.setJob(j.name)
			switch {
			case s.previous == nil:
			case s.current.updated:
				s.previous = nil
			case s.deadline.After(now):
				needed[s.previous] = true
				if again.IsZero() || s.deadline.Before(again) {
					again = s.deadline
				}
			}
		}
	}
	for fingerprint, r := range m.runners {
		switch {
		case !needed[r]:
			delete(m.runners, fingerprint)
			r.stop()
		case r.cancel == nil:
			m.start(ctx, r)
		}
	}
	m.countFailed()
	return again
}

// publishTime returns when the groups are to be published, if they are.
func (m *Manager) publishTime(last time.Time) (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.dirty:
		return time.Time{}, false
	case last.IsZero():
		return last, true
	case m.urgent:
		return last.Add(min(settleTime, m.opts.ReloadInterval)), true
	default:
		return last.Add(m.opts.ReloadInterval), true
	}
}

// snapshot returns the groups of all jobs as they are now.
func (m *Manager) snapshot() map[string][]sdk.Group {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirty, m.urgent = false, false
	m.metrics.targets.Reset() // Jobs may have gone.
	all := make(map[string][]sdk.Group, len(m.jobs))
	for _, j := range m.jobs {
		groups := append(make([]sdk.Group, 0, len(j.static)), j.static...)
		for _, s := range j.slots {
			groups = s.serving().appendGroups(groups)
		}
		targets := 0
		for _, g := range groups {
			targets += len(g.Targets)
		}
		m.metrics.targets.WithLabelValues(j.name).Set(float64(targets))
		all[j.name] = groups
	}
	return all
}

func (m *Manager) countFailed() {
	failed := 0
	for _, r := range m.runners {
		if r.err != nil {
			failed++
		}
	}
	m.metrics.failed.Set(float64(failed))
}

// ProviderStatus describes a provider of a job.
type ProviderStatus struct {
	Name string
	// Updated reports whether the provider has sent anything since it was first started.
	Updated bool
	// Err is why the provider is not running at the moment; nil if it is.
	Err error
}

// Providers describes all providers, in the order of the jobs.
func (m *Manager) Providers() (all []ProviderStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		for _, s := range j.slots {
			all = append(all, ProviderStatus{Name: s.name, Updated: s.current.updated, Err: s.current.err})
		}
	}
	return all
}
