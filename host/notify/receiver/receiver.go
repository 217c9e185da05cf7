// Package receiver tells about alerts through a plugin, for those who do without an Alertmanager: it groups alerts, has a
// notifier deliver each group, and tries again what failed with what the alerts have come to in the meantime.
//
// Start with [Receiver] and [Config]. Of each group there is at most one batch to be delivered: a newer one takes the place
// of an older. What was told, and what is still to be told, lies in a folder, a file for each group, and survives a
// restart. What a notifier does with a batch, and which alerts there are, is decided elsewhere.
package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/relabel"
	"github.com/narthex-io/narthex/sdk"
)

const (
	// minPause and maxPause bound the wait before a batch is tried again; it doubles from one to the other.
	minPause, maxPause = time.Second, 5 * time.Minute
	// maxWait is how long after its end an alert is still worth telling.
	maxWait = 24 * time.Hour
	// returnGrace is how long after a restart an alert counts as firing that has not been heard of again: the rules need
	// time to find out what they were about.
	returnGrace = 15 * time.Minute
	// stopGrace is how long a delivery under way may take to end when the server stops.
	stopGrace = 5 * time.Second
)

// Options are what a [Receiver] needs; all are required.
type Options struct {
	// Dir is the receiver's own folder; it is made when there is something to keep.
	Dir string
	// Capacity bounds the alerts of all groups together.
	Capacity int
	// ExternalURL is where the server is reached, for messages.
	ExternalURL func() string
	Metrics     *Metrics
	Log         *slog.Logger
}

// Receiver groups alerts and has them delivered. Its methods may be called at the same time.
type Receiver struct {
	opts  Options
	store store
	wake  chan struct{}

	mu       sync.Mutex
	cfg      *Config
	notifier sdk.Notifier
	groups   map[string]*group // By key.
	alerts   int               // Of all groups.
	loaded   bool
	diskErr  bool // The last write failed.
}

// New returns a receiver that has [Receiver.Run] to be called.
func New(opts Options, cfg *Config, n sdk.Notifier) *Receiver {
	return &Receiver{
		opts: opts, store: store{opts.Dir}, wake: make(chan struct{}, 1), cfg: cfg, notifier: n, groups: map[string]*group{},
	}
}

// Set exchanges the configuration and the plugin behind the receiver. What waits to be delivered stays.
func (r *Receiver) Set(cfg *Config, n sdk.Notifier) {
	r.mu.Lock()
	defer r.mu.Unlock()
	regroup := !slices.Equal(r.cfg.GroupBy, cfg.GroupBy)
	r.cfg, r.notifier = cfg, n
	if regroup && r.loaded {
		r.regroup()
	}
	r.signal()
}

// regroup puts all alerts into the groups that they belong to now.
func (r *Receiver) regroup() {
	old := r.groups
	r.groups = map[string]*group{}
	now := time.Now()
	for _, from := range old {
		for print, a := range from.Alerts {
			to := r.group(a.Labels, now)
			to.Alerts[print] = a
			if from.LastSent.After(to.LastSent) {
				to.LastSent = from.LastSent
			}
		}
	}
	for _, g := range old {
		r.forget(g)
	}
	for _, g := range r.groups {
		r.save(g)
	}
}

// group returns the group of an alert, and makes it if need be. The caller holds the mutex, as for all that follow in
// lower case, except for run's own.
func (r *Receiver) group(ls map[string]string, now time.Time) *group {
	by := groupLabels(r.cfg.GroupBy, ls)
	key := labels.FromMap(by).String()
	g := r.groups[key]
	if g == nil {
		g = newGroup(by)
		g.due = now.Add(time.Duration(r.cfg.GroupWait))
		r.groups[key] = g
	}
	return g
}

// Send takes over the states of alerts. It never waits for a delivery.
func (r *Receiver) Send(alerts []Alert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	dropped := 0
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, a := range alerts {
		b.Reset(a.Labels)
		if !relabel.Process(r.cfg.AlertRelabelConfigs, b) {
			continue
		}
		ls := b.Labels().Map()
		key := labels.FromMap(groupLabels(r.cfg.GroupBy, ls)).String()
		g := r.groups[key]
		if (g == nil || g.Alerts[fingerprint(ls)] == nil) && r.alerts >= r.opts.Capacity {
			dropped++
			continue
		}
		if g == nil {
			g = r.group(ls, now)
		}
		if g.put(a, ls, now) {
			r.alerts++
		}
		if len(g.Alerts) == 0 {
			delete(r.groups, key)
		}
	}
	r.gauges()
	r.signal()
	if dropped > 0 {
		r.drop("full", dropped)
		r.opts.Log.Error("receiver holds as many alerts as it may, and takes no more", "dropped", dropped, "capacity", r.opts.Capacity)
	}
}

func (r *Receiver) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// ErrRemoved is the cause to cancel Run's context with when nothing is to be waited for.
var ErrRemoved = errors.New("the receiver is no longer configured")

// Run delivers batches until ctx is done, and then keeps what is left on disk. A delivery under way gets a few seconds to
// end, unless the cause is [ErrRemoved].
func (r *Receiver) Run(ctx context.Context) {
	calls, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	// A delivery under way goes on when ctx is done, so that its outcome is known, but not for long.
	defer context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrRemoved) {
			cut()
		} else {
			time.AfterFunc(stopGrace, cut)
		}
	})()
	r.load()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		next := r.deliverDue(ctx, calls)
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.wake:
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.groups {
		r.save(g)
	}
}

// Remove removes what the receiver keeps on disk. It is for a receiver that is no longer configured, after Run.
func (r *Receiver) Remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.groups {
		if g.ID != "" {
			r.opts.Log.Error("receiver is no longer configured, a batch of alerts is not delivered", "group", g.key(), "alerts", len(g.Batch))
		}
	}
	return os.RemoveAll(r.opts.Dir)
}

// load takes over the groups of the last run.
func (r *Receiver) load() {
	groups, errs := r.store.load()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range errs {
		if _, ok := errors.AsType[*damagedError](err); ok {
			r.opts.Metrics.damaged.WithLabelValues(r.cfg.Name).Inc()
		}
		r.opts.Log.Error("kept group of alerts cannot be used; alerts that still fire are told anew", "err", err)
	}
	now := time.Now()
	early := r.groups // Of alerts that came before.
	r.groups = map[string]*group{}
	waiting := 0
	for _, g := range groups {
		for _, a := range g.Alerts {
			if g.Batch[fingerprint(a.Labels)] == sdk.StatusFiring || a.Told == sdk.StatusFiring && !a.Queued {
				a.EndsAt = latest(a.EndsAt, now.Add(returnGrace))
			}
		}
		switch {
		case g.ID != "":
			g.due = now
			waiting++
		case g.LastSent.IsZero():
			g.due = now.Add(time.Duration(r.cfg.GroupWait))
		default:
			g.due = now.Add(time.Duration(r.cfg.GroupInterval))
		}
		r.groups[g.key()] = g
	}
	r.merge(early)
	if r.loaded = true; len(groups) > 0 {
		r.opts.Log.Info("groups of alerts taken over from the last run", "groups", len(groups), "undelivered", waiting)
	}
	if slices.ContainsFunc(groups, func(g *group) bool { return !r.fits(g) }) {
		r.regroup()
	}
	r.recount()
}

// merge adds groups of alerts that are newer than those that are there.
func (r *Receiver) merge(newer map[string]*group) {
	for key, g := range newer {
		known := r.groups[key]
		if known == nil {
			r.groups[key] = g
			continue
		}
		for print, a := range g.Alerts {
			if old := known.Alerts[print]; old != nil {
				a.Told, a.Queued = old.Told, old.Queued
			}
			known.Alerts[print] = a
		}
	}
}

// fits reports whether the group is one of those that the configuration makes.
func (r *Receiver) fits(g *group) bool {
	for _, a := range g.Alerts {
		if !maps.Equal(groupLabels(r.cfg.GroupBy, a.Labels), g.Labels) {
			return false
		}
	}
	return true
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// deliverDue looks at the groups whose time has come, one after the other, and returns when the next is due; zero if
// there is none.
func (r *Receiver) deliverDue(ctx, calls context.Context) (next time.Time) {
	for ctx.Err() == nil {
		r.mu.Lock()
		var g *group
		for _, one := range r.groups {
			if g == nil || one.due.Before(g.due) {
				g = one
			}
		}
		if g == nil {
			r.mu.Unlock()
			return time.Time{}
		}
		if next = g.due; next.After(time.Now()) {
			r.mu.Unlock()
			return next
		}
		batch, n := r.prepare(g)
		r.mu.Unlock()
		if batch == nil {
			continue
		}
		err := n.Notify(calls, batch)
		r.mu.Lock()
		r.conclude(g, err)
		r.mu.Unlock()
	}
	return next
}

// prepare returns the batch that is to be delivered for the group now; nil if there is none.
func (r *Receiver) prepare(g *group) (sdk.Batch, sdk.Notifier) {
	now := time.Now()
	told, expired := g.plan(r.cfg, now)
	if expired > 0 {
		r.drop("expired", expired)
		r.opts.Log.Error("resolved alerts could not be told for too long, and are dropped", "count", expired, "group", g.key())
	}
	g.due = now.Add(time.Duration(r.cfg.GroupInterval))
	if len(told) == 0 {
		if g.drop(); len(g.Alerts) == 0 {
			delete(r.groups, g.key())
			r.forget(g)
		}
		r.recount()
		return nil, nil
	}
	if g.enqueue(told) {
		r.save(g)
	}
	r.recount()
	text, err := json.Marshal(g.message(r.cfg.Name, r.opts.ExternalURL()))
	if err != nil { // Strings and times can always be encoded.
		r.opts.Log.Error("batch of alerts cannot be encoded", "err", err)
		return nil, nil
	}
	return text, r.notifier
}

// conclude notes how a delivery went.
func (r *Receiver) conclude(g *group, err error) {
	now := time.Now()
	log := r.opts.Log.With("group", g.key(), "alerts", len(g.Batch))
	switch {
	case err == nil:
		if g.failures > 0 {
			log.Info("batch of alerts is delivered after all", "failed_attempts", g.failures)
		}
		r.count("delivered")
		g.settle(now)
	case sdk.IsRejected(err):
		log.Error("batch of alerts is rejected, and dropped", "err", err)
		r.count("rejected")
		r.drop("rejected", len(g.Batch))
		g.settle(now)
	default:
		g.failures++
		pause := min(minPause<<min(g.failures-1, 16), maxPause)
		pause -= rand.N(pause / 5) //nolint:gosec // Chance is enough here.
		g.due = now.Add(pause)
		say := log.Debug
		if g.failures == 1 {
			say = log.Warn
		}
		say("batch of alerts could not be delivered and will be tried again",
			"attempt", g.failures, "pause", pause.Round(time.Millisecond), "err", err)
		r.count("failed")
		return
	}
	g.due = now.Add(time.Duration(r.cfg.GroupInterval))
	if r.groups[g.key()] != g { // Regrouped meanwhile: its alerts live on elsewhere.
		return
	}
	if len(g.Alerts) == 0 {
		delete(r.groups, g.key())
		r.forget(g)
	} else {
		r.save(g)
	}
	r.recount()
}

// save keeps a group on disk. What cannot be kept is delivered all the same.
func (r *Receiver) save(g *group) {
	err := r.store.save(g)
	g.saved = g.saved || err == nil
	r.disk(err)
}

// forget removes a group from disk.
func (r *Receiver) forget(g *group) {
	if g.saved {
		r.disk(r.store.remove(g))
	}
}

func (r *Receiver) disk(err error) {
	if err != nil {
		r.opts.Metrics.diskErrors.WithLabelValues(r.cfg.Name).Inc()
		if !r.diskErr {
			r.opts.Log.Error("alerts cannot be kept on disk: a restart would forget what was told", "err", err)
		}
	}
	r.diskErr = err != nil
}

func (r *Receiver) recount() {
	r.alerts = 0
	for _, g := range r.groups {
		r.alerts += len(g.Alerts)
	}
	r.gauges()
}

func (r *Receiver) gauges() {
	waiting := 0
	for _, g := range r.groups {
		if g.ID != "" {
			waiting++
		}
	}
	r.opts.Metrics.alerts.WithLabelValues(r.cfg.Name).Set(float64(r.alerts))
	r.opts.Metrics.pending.WithLabelValues(r.cfg.Name).Set(float64(waiting))
}

func (r *Receiver) drop(reason string, n int) {
	r.opts.Metrics.dropped.WithLabelValues(r.cfg.Name, reason).Add(float64(n))
}

func (r *Receiver) count(result string) {
	r.opts.Metrics.batches.WithLabelValues(r.cfg.Name, result).Inc()
}
