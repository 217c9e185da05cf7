package discovery

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// runner is a provider that runs, possibly for several jobs. All that changes is guarded by the manager's mutex.
type runner struct {
	name, fingerprint string
	discovery         sdk.Discovery
	// job is one of the jobs that use the runner, for logs and metrics.
	job string
	// cancel ends the runner; nil before it has started.
	cancel context.CancelFunc
	// sources are the last good groups by source.
	sources map[string][]sdk.Group
	// updated says that at least one update has come, fresh that none has come since the discovery was last started.
	updated, fresh bool
	// err is why the discovery is not running, while it is waiting to be started again.
	err error
}

func (r *runner) setJob(name string) {
	if r.job == "" {
		r.job = name
	}
}

func (r *runner) stop() {
	if r.cancel != nil {
		r.cancel()
	}
}

// appendGroups appends the groups in order of their sources.
func (r *runner) appendGroups(dst []sdk.Group) []sdk.Group {
	for _, source := range slices.Sorted(maps.Keys(r.sources)) {
		dst = append(dst, r.sources[source]...)
	}
	return dst
}

// update takes over what a discovery sent and reports whether that changes anything. The first update of a restarted
// discovery replaces all sources: those it does not name are gone.
func (r *runner) update(groups []sdk.Group) (changed bool) {
	next := map[string][]sdk.Group{}
	for _, g := range groups {
		bySource := next[g.Source]
		if len(g.Targets) > 0 {
			bySource = append(bySource, g)
		}
		next[g.Source] = bySource
	}
	if r.fresh {
		for source := range r.sources {
			if _, ok := next[source]; !ok {
				next[source] = nil
			}
		}
	}
	if r.sources == nil {
		r.sources = map[string][]sdk.Group{}
	}
	for source, groups := range next {
		if slices.EqualFunc(r.sources[source], groups, equalGroups) {
			continue
		}
		changed = true
		if len(groups) == 0 {
			delete(r.sources, source)
		} else {
			r.sources[source] = groups
		}
	}
	changed = changed || !r.updated
	r.updated, r.fresh = true, false
	return changed
}

func equalGroups(a, b sdk.Group) bool {
	return a.Source == b.Source && slices.Equal(a.Targets, b.Targets) && maps.Equal(a.Labels, b.Labels)
}

// start runs a runner in a goroutine of its own, until ctx is done or it is stopped. The caller holds the mutex.
func (m *Manager) start(ctx context.Context, r *runner) {
	ctx, r.cancel = context.WithCancel(ctx)
	m.providers.Go(func() { m.keepRunning(ctx, r) })
}

// keepRunning starts the discovery again, after a pause, whenever it ends by itself.
func (m *Manager) keepRunning(ctx context.Context, r *runner) {
	backoff := minBackoff
	for {
		started := time.Now()
		err := m.runOnce(ctx, r)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) > maxBackoff {
			backoff = minBackoff
		}
		m.failed(r, err, backoff)
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// errEnded stands in for the reason of a discovery that gave none.
var errEnded = errors.New("the discovery ended without an error")

// runOnce runs the discovery until it ends and receives its updates.
func (m *Manager) runOnce(ctx context.Context, r *runner) error {
	m.mu.Lock()
	r.fresh, r.err = true, nil
	m.kick()
	m.mu.Unlock()
	updates := make(chan []sdk.Group)
	ended := make(chan error, 1)
	go func() { ended <- r.discovery.Run(ctx, updates) }()
	for {
		select {
		case groups := <-updates:
			m.receive(r, groups)
		case err := <-ended:
			if err == nil {
				err = errEnded
			}
			return err
		}
	}
}

func (m *Manager) receive(r *runner, groups []sdk.Group) {
	m.metrics.received.Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	first := !r.updated
	if !r.update(groups) {
		return
	}
	m.metrics.lastUpdate.WithLabelValues(r.job).SetToCurrentTime()
	m.dirty = true
	m.urgent = m.urgent || first
	m.kick()
}

func (m *Manager) failed(r *runner, err error, pause time.Duration) {
	m.mu.Lock()
	r.err = err
	job := r.job
	m.kick()
	m.mu.Unlock()
	mechanism, _, _ := strings.Cut(r.name, KeySuffix)
	m.metrics.failures.WithLabelValues(mechanism, job).Inc()
	m.opts.Log.Warn("discovery ended and will be started again; its last targets are kept",
		"job", job, "provider", r.name, "pause", pause, "err", err)
}
