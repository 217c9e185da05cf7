package scrape

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
)

// Manager scrapes the targets of a set of jobs. [Manager.Prepare] and [Change.Apply] exchange the set, before or while
// [Manager.Run] does the work.
type Manager struct {
	env *env

	mu sync.Mutex
	// pools are those of all jobs by name, those of jobs that have just gone included.
	pools map[string]*pool
	// groups are the latest of all jobs.
	groups map[string][]sdk.Group
}

// New returns a manager without jobs.
func New(opts Options) (*Manager, error) {
	if opts.Log == nil || opts.Registerer == nil || opts.Storage == nil {
		return nil, errors.New("scrape: options Log, Registerer and Storage are required")
	}
	if opts.NewClient == nil {
		opts.NewClient = func(job string, cfg httpclient.Config, socket string) (*http.Client, error) {
			return httpclient.New(cfg, httpclient.Options{Name: job, UserAgent: opts.UserAgent, Socket: socket, Direct: true, Signers: opts.Signers})
		}
	}
	if opts.OpenLog == nil {
		opts.OpenLog = openFile
	}
	m := &Manager{env: &env{Options: opts, seriesSeed: maphash.MakeSeed()}, pools: map[string]*pool{}}
	m.env.bodies.init(opts.BodyMemory)
	m.env.decoding = make(chan struct{}, max(4, 2*runtime.GOMAXPROCS(0)))
	m.env.forget = m.forget
	var err error
	m.env.metrics, err = newMetrics(opts.Registerer, m)
	return m, err
}

// Change is a new set of jobs that was found to be good. Exactly one of its methods is to be called.
type Change struct {
	m *Manager
	// settings are those of all jobs; jobs whose settings stay are in it with the old ones.
	settings map[string]*settings
	seed     uint64
	// clients are those that were made for the change.
	clients []*clients
	// failures are the logs of failed scrapes, opened anew.
	failures failureLogs
}

// JobError means that a job's config cannot be used.
type JobError struct {
	Job string
	Err error
}

// Error names the job and the reason.
func (e *JobError) Error() string { return fmt.Sprintf("job %q: %v", e.Job, e.Err) }

// Unwrap returns the reason.
func (e *JobError) Unwrap() error { return e.Err }

// Prepare makes what a new set of complete configs needs and changes nothing. external are the labels that tell this
// server from its replicas; types say which media types parser plugins name, and may be nil where there are none. Only one
// change may be open at a time. The error joins a [JobError] for each bad job.
func (m *Manager) Prepare(cfgs []*Config, external labels.Labels, types ParserTypes) (*Change, error) {
	c := &Change{m: m, settings: map[string]*settings{}, seed: offsetSeed(m.env.Hostname, external)}
	m.mu.Lock()
	old := map[string]*settings{}
	for name, p := range m.pools {
		old[name] = p.settings.Load()
	}
	m.mu.Unlock()
	var errs []error
	for _, cfg := range cfgs {
		if c.settings[cfg.JobName] != nil {
			errs = append(errs, fmt.Errorf("job %q: given twice", cfg.JobName))
			continue
		}
		s, err := c.settingsOf(cfg, old[cfg.JobName], types)
		if err != nil {
			errs = append(errs, &JobError{Job: cfg.JobName, Err: err})
		}
		c.settings[cfg.JobName] = s
	}
	var err error
	if c.failures, err = openFailureLogs(cfgs, m.env.OpenLog); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		c.Discard()
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// settingsOf returns the settings of a job: old, which may be nil, if they still hold.
func (c *Change) settingsOf(cfg *Config, old *settings, types ParserTypes) (*settings, error) {
	routes, err := cfg.routes(types)
	if err != nil {
		return nil, err
	}
	if old != nil && sameConfig(old.cfg, cfg) && slices.Equal(old.parsers.types, routes.types) {
		return old, nil
	}
	s, err := newSettings(cfg, routes, old, &c.m.env.Options)
	if old == nil || old.clients != s.clients {
		c.clients = append(c.clients, s.clients)
	}
	switch {
	case err == nil:
	case old == nil:
		c.m.env.metrics.poolsFailed.Inc()
	default:
		c.m.env.metrics.reloadsFailed.Inc()
	}
	return s, err
}

// Discard drops the change.
func (c *Change) Discard() {
	for _, made := range c.clients {
		made.close()
	}
	_ = c.failures.close() // Nothing was written.
}

// Apply makes the jobs the current ones. Jobs that have not changed are not touched; targets that a changed job still
// has go on at their moments; no scrape that is under way is interrupted.
func (c *Change) Apply() {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.env.seed.Store(c.seed)
	m.exchangeLogs(&c.failures)
	for _, name := range slices.Sorted(maps.Keys(m.pools)) {
		if p := m.pools[name]; c.settings[name] == nil && !p.retired {
			p.retire()
			m.env.metrics.forgetPool(name)
			m.dropIfEmpty(p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.settings)) {
		m.apply(name, c.settings[name])
	}
}

// exchangeLogs makes other logs of failures the current ones.
func (m *Manager) exchangeLogs(logs *failureLogs) {
	if old := m.env.failures.Swap(logs); old != nil {
		if err := old.close(); err != nil {
			m.env.Log.Warn("log of failed scrapes could not be closed", "err", err)
		}
	}
}

// apply gives a job its settings.
func (m *Manager) apply(name string, s *settings) {
	begin := time.Now()
	p := m.pools[name]
	switch {
	case p == nil:
		p = newPool(m.env, name, s)
		m.pools[name] = p
		m.env.metrics.pools.Inc()
	case p.settings.Load() == s && !p.retired:
		return
	default:
		old := p.settings.Swap(s)
		p.retired = false
		if old.clients != s.clients {
			old.clients.close()
		}
		m.env.metrics.reloads.Inc()
	}
	p.sync(m.groups[name])
	m.env.metrics.reloadLength.WithLabelValues(s.cfg.ScrapeInterval.String()).Observe(time.Since(begin).Seconds())
}

// Run scrapes until ctx is done, making targets of the groups of all jobs that come from updates, and returns when no
// scrape is under way any more. Series are not ended: the server may come back.
func (m *Manager) Run(ctx context.Context, updates <-chan map[string][]sdk.Group) error {
	var loops sync.WaitGroup
	m.mu.Lock()
	m.env.spawn = func(l *loop) { loops.Go(func() { l.run(ctx) }) }
	for _, p := range m.pools {
		for _, l := range p.loops {
			m.env.spawn(l)
		}
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.env.spawn = nil
		m.mu.Unlock()
		loops.Wait()
		m.closeClients()
		m.exchangeLogs(&failureLogs{})
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case groups, ok := <-updates:
			if !ok {
				updates = nil
				continue
			}
			m.update(groups)
		}
	}
}

func (m *Manager) closeClients() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pools {
		p.settings.Load().clients.close()
	}
}

// update makes targets of the groups of all jobs; those whose groups are the same stay as they are.
func (m *Manager) update(groups map[string][]sdk.Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups = groups
	for _, name := range slices.Sorted(maps.Keys(m.pools)) {
		p := m.pools[name]
		if !p.retired && !slices.EqualFunc(p.groups, groups[name], sameGroup) {
			p.sync(groups[name])
		}
	}
}

func sameGroup(a, b sdk.Group) bool {
	return slices.Equal(a.Targets, b.Targets) && maps.Equal(a.Labels, b.Labels)
}

// forget is env.forget.
func (m *Manager) forget(l *loop) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, retired := l.current()
	if !retired {
		return false
	}
	delete(l.pool.loops, t.identity)
	m.dropIfEmpty(l.pool)
	return true
}

// dropIfEmpty drops a pool whose job is gone and whose loops have ended.
func (m *Manager) dropIfEmpty(p *pool) {
	if p.retired && len(p.loops) == 0 && m.pools[p.name] == p {
		p.settings.Load().clients.close()
		delete(m.pools, p.name)
	}
}

// each calls f with the pools of the current jobs, in order of their names.
func (m *Manager) each(f func(*pool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.pools)) {
		if p := m.pools[name]; !p.retired {
			f(p)
		}
	}
}

// Pools returns the names of the jobs, sorted.
func (m *Manager) Pools() (names []string) {
	m.each(func(p *pool) { names = append(names, p.name) })
	return names
}

// Config returns the configuration of a job that is in use, or nil.
func (m *Manager) Config(job string) (cfg *Config) {
	m.each(func(p *pool) {
		if p.name == job {
			cfg = p.settings.Load().cfg
		}
	})
	return cfg
}

// Targets describes all active targets, ordered by job, URL and labels.
func (m *Manager) Targets() (out []TargetStatus) {
	m.each(func(p *pool) { out = append(out, p.statuses()...) })
	return out
}

// Dropped returns the dropped targets of all jobs.
func (m *Manager) Dropped() map[string]DroppedTargets {
	out := map[string]DroppedTargets{}
	m.each(func(p *pool) { out[p.name] = p.dropped })
	return out
}

// Metadata returns the metadata of all active targets, ordered by job and discovery.
func (m *Manager) Metadata() (out []TargetMetadata) {
	m.each(func(p *pool) {
		for _, l := range p.active {
			t, _ := l.current()
			out = append(out, TargetMetadata{Pool: p.name, Labels: t.labels, Metrics: l.meta.list()})
		}
	})
	return out
}
