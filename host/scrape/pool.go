package scrape

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
)

// env is what the manager and its pools and loops share.
type env struct {
	Options
	metrics *metrics
	// free and appenders are for use again: bodies while they are fetched, appenders while their samples are stored, which
	// only a few are at once.
	free, appenders sync.Pool
	// bodies is the memory for bodies; decoding bounds how many of them are read into the storage at once.
	bodies   bodyMemory
	decoding chan struct{}
	// seed makes replicas scrape apart.
	seed atomic.Uint64
	// seriesSeed is secret: who knew it could expose two series that the cache takes for one.
	seriesSeed maphash.Seed
	// failures are the logs of failed scrapes; nil until there was a configuration.
	failures atomic.Pointer[failureLogs]
	// forget takes a loop out of its pool whose target is gone for good; false means that the target has returned.
	forget func(*loop) bool
	// spawn runs a loop in a goroutine of its own; nil while the manager is not running. Guarded by the manager's mutex.
	spawn func(*loop)
}

func (e *env) takeBody() *body {
	if b, ok := e.free.Get().(*body); ok {
		return b
	}
	return &body{}
}

func (e *env) giveBody(b *body) {
	b.release()
	e.free.Put(b)
}

func (e *env) takeAppender(b *body) *appender {
	a, ok := e.appenders.Get().(*appender)
	if !ok {
		a = newAppender()
	}
	a.body = b
	return a
}

func (e *env) giveAppender(a *appender) {
	a.release()
	e.appenders.Put(a)
}

// pool holds the targets of one job. Its methods need the manager's mutex, except for those that say otherwise.
type pool struct {
	env  *env
	name string
	// settings may be read without the mutex.
	settings atomic.Pointer[settings]
	// forced is why no target may be scraped at all.
	forced atomic.Pointer[error]
	groups []sdk.Group
	// loops are those of all targets by identity, those of targets that have just gone included.
	loops map[string]*loop
	// active are the targets that there are now, in order of their discovery.
	active  []*loop
	dropped DroppedTargets
	// retired says that the job is gone and the pool only waits for its loops to end.
	retired bool
}

func newPool(e *env, name string, s *settings) *pool {
	p := &pool{env: e, name: name, loops: map[string]*loop{}}
	p.settings.Store(s)
	return p
}

// forcedError returns why no target may be scraped, if so. It may be called without the mutex.
func (p *pool) forcedError() error {
	if err := p.forced.Load(); err != nil {
		return *err
	}
	return nil
}

// maxShownErrors bounds the errors about targets in one line of the log.
const maxShownErrors = 10

// sync makes the loops those of the targets that groups come to.
func (p *pool) sync(groups []sdk.Group) {
	begin := time.Now()
	cfg := p.settings.Load().cfg
	p.groups = groups
	set := makeTargets(cfg, groups)
	if len(set.errs) > 0 {
		p.env.metrics.syncFailed.WithLabelValues(p.name).Add(float64(len(set.errs)))
		p.env.Log.Error("targets could not be made", "job", p.name, "count", len(set.errs), "err", errors.Join(set.errs[:min(len(set.errs), maxShownErrors)]...))
	}
	p.limit(cfg, len(set.active))
	p.replace(set.active)
	p.dropped = DroppedTargets{Discovered: set.dropped, Count: len(set.dropped)}
	if keep := int(cfg.KeepDroppedTargets); keep > 0 && keep < len(set.dropped) {
		p.dropped.Discovered = slices.Clip(set.dropped[:keep])
	}
	p.env.metrics.synced(p.name, len(set.active), int(cfg.TargetLimit), time.Since(begin))
}

// limit fails all targets of the job if there are too many.
func (p *pool) limit(cfg *Config, targets int) {
	if cfg.TargetLimit == 0 || targets <= int(cfg.TargetLimit) {
		p.forced.Store(nil)
		return
	}
	p.env.metrics.exceededTargetLimit.Inc()
	err := fmt.Errorf("target_limit exceeded (number of targets: %d, limit: %d)", targets, cfg.TargetLimit)
	p.forced.Store(&err)
}

// replace makes targets the active ones. Those that were there already go on in their loops.
func (p *pool) replace(targets []*target) {
	old := p.active
	p.active = make([]*loop, 0, len(targets))
	kept := make(map[*loop]bool, len(targets))
	for _, t := range targets {
		l := p.loops[t.identity]
		if l != nil {
			l.set(t)
		} else {
			l = newLoop(p.env, p, t)
			p.loops[t.identity] = l
			if p.env.spawn != nil {
				p.env.spawn(l)
			}
		}
		p.active = append(p.active, l)
		kept[l] = true
	}
	for _, l := range old {
		if !kept[l] {
			l.retire()
		}
	}
}

// retire ends the pool: its job is gone.
func (p *pool) retire() {
	p.retired = true
	p.replace(nil)
	p.groups, p.dropped = nil, DroppedTargets{}
}

// statuses describes the active targets, ordered by URL and labels.
func (p *pool) statuses() []TargetStatus {
	out := make([]TargetStatus, 0, len(p.active))
	for _, l := range p.active {
		out = append(out, l.describe())
	}
	slices.SortFunc(out, func(a, b TargetStatus) int {
		if c := strings.Compare(a.URL, b.URL); c != 0 {
			return c
		}
		return labels.Compare(a.Labels, b.Labels)
	})
	return out
}

// describe returns the state of the loop's target.
func (l *loop) describe() TargetStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := TargetStatus{
		Pool:         l.pool.name,
		Discovered:   l.target.discovered,
		Labels:       l.target.labels,
		URL:          l.target.url,
		LastScrape:   l.status.started,
		LastDuration: l.status.duration,
		Health:       l.status.health,
		Interval:     l.target.interval,
		Timeout:      l.target.timeout,
	}
	if l.status.err != nil {
		s.LastError = l.status.err.Error()
	}
	return s
}
