package rules

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
)

// Manager evaluates groups. [Manager.Prepare] and [Change.Apply] exchange them, before or while [Manager.Run] does the
// work.
type Manager struct {
	env *env

	mu     sync.Mutex
	places map[string]*place
	// applied is set by the first change: only the groups that are there at the start restore their alerts.
	applied bool
	// spawn evaluates the groups of a place in a goroutine; nil while Run does not.
	spawn func(*place)
}

// place is where a group is, and where its later versions will be.
type place struct {
	mu sync.Mutex
	// current is evaluated and shown. next takes its place when it is not under way; gone says that nothing will.
	current, next *Group
	gone          bool
	// leave is closed when current is to make room.
	leave chan struct{}
}

// New returns a manager without groups.
func New(opts Options) (*Manager, error) {
	e, err := newEnv(opts)
	if err != nil {
		return nil, err
	}
	return &Manager{env: e, places: map[string]*place{}}, nil
}

// Change is a new set of groups that was found to be good. Exactly one of its methods is to be called.
type Change struct {
	m      *Manager
	groups []*Group
}

// Prepare makes the groups of a configuration and changes nothing. Only one change may be open at a time.
func (m *Manager) Prepare(cfg Config) (*Change, error) {
	groups, err := m.env.groups(cfg)
	if err != nil {
		return nil, err
	}
	return &Change{m: m, groups: groups}, nil
}

// Discard drops the change.
func (c *Change) Discard() {}

// Apply makes the groups the current ones. Groups that have not changed are not touched. A changed one takes over the
// state of its rules as soon as it is not being evaluated; the series of what is gone are marked as stale.
func (c *Change) Apply() {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := map[string]bool{}
	for _, g := range c.groups {
		wanted[g.key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(m.places)) {
		if !wanted[key] {
			m.places[key].exchange(nil, m.spawn != nil)
			delete(m.places, key)
			m.env.metrics.forget(key)
		}
	}
	for _, g := range c.groups {
		m.put(g)
	}
	m.applied = true
}

// put makes a group the current one of its place.
func (m *Manager) put(g *Group) {
	p := m.places[g.key]
	if p == nil {
		g.setRestoring(!m.applied)
		p = &place{current: g, leave: make(chan struct{})}
		m.places[g.key] = p
		if m.spawn != nil {
			m.spawn(p)
		}
	} else if !p.exchange(g, m.spawn != nil) {
		return
	}
	m.env.metrics.show(g)
}

// exchange lets g, or nobody if that is nil, take the place of the current group, and reports false if it is the same.
func (p *place) exchange(g *Group, running bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	latest := p.current
	if p.next != nil {
		latest = p.next
	}
	if g != nil && latest.fingerprint == g.fingerprint {
		return false
	}
	if !running {
		if g != nil {
			g.takeOver(p.current)
			p.current = g
		}
		return true
	}
	if p.next == nil && !p.gone {
		close(p.leave)
	}
	p.next, p.gone = g, g == nil
	return true
}

// advance puts the next group in its place, with the state of the current one, and returns it; nil if there is none.
func (p *place) advance() *Group {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil
	}
	p.next.takeOver(p.current)
	p.current, p.next, p.leave = p.next, nil, make(chan struct{})
	return p.current
}

// group returns the current group, and what is closed when it is to make room.
func (p *place) group() (*Group, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current, p.leave
}

// Run evaluates the groups until ctx is done, and returns when no evaluation is under way any more. Series are not
// ended: the server may come back.
func (m *Manager) Run(ctx context.Context) error {
	var running sync.WaitGroup
	m.mu.Lock()
	m.spawn = func(p *place) { running.Go(func() { m.keep(ctx, p) }) }
	for _, key := range slices.Sorted(maps.Keys(m.places)) {
		m.spawn(m.places[key])
	}
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.spawn = nil
	m.mu.Unlock()
	running.Wait()
	return nil
}

// keep evaluates the groups of a place, one version after the other.
func (m *Manager) keep(ctx context.Context, p *place) {
	for {
		g, leave := p.group()
		g.run(ctx, leave)
		if ctx.Err() != nil {
			return
		}
		if p.advance() == nil {
			m.forgetIfGone(g)
			g.retire(ctx)
			return
		}
	}
}

// forgetIfGone drops the metrics that the last evaluation of a removed group has made anew.
func (m *Manager) forgetIfGone(g *Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.places[g.key] == nil {
		m.env.metrics.forget(g.key)
	}
}

// Groups describes all groups, in the order of their files and names.
func (m *Manager) Groups() []GroupStatus {
	m.mu.Lock()
	var all []*Group
	for _, p := range m.places {
		g, _ := p.group()
		all = append(all, g)
	}
	m.mu.Unlock()
	slices.SortFunc(all, func(a, b *Group) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.name, b.name))
	})
	out := make([]GroupStatus, len(all))
	for i, g := range all {
		out[i] = g.Status()
	}
	return out
}
