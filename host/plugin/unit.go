package plugin

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

const (
	firstPause = 500 * time.Millisecond
	maxPause   = time.Minute
	// failedAfter is how many guests in a row have to end before a plugin counts as failed.
	failedAfter = 5
	// steadyAfter is how long a guest has to run before its end counts as the first.
	steadyAfter = time.Minute
	// apartAfter is how many guests in a row have to end before the next one gets a process of its own, though the plugin could share
	// one: either the others are well then, or it is.
	apartAfter = 2
	// stopTimeout is how long a guest may take to stop when it is asked to: as long as to answer a cancelled call.
	stopTimeout = 2 * time.Second
)

// unit is what one distinct use of a plugin needs: it starts guests for it, and keeps count.
type unit struct {
	catalogue   *Catalogue
	fingerprint string
	file        *file
	settings    Settings
	use         Use
	log         *slog.Logger
	discovery   *Discovery // set for a discovery
	callee      *callee    // set for all other kinds: part of served
	served      any        // what the change hands out, such as an *Exporter

	mu       sync.Mutex
	state    State
	lastErr  error
	failures int // ends in a row
	started  time.Time
	restarts uint64
	process  int // of the newest guest; 0 is this one
	grants   grant.Set
	updated  time.Time // last groups
}

func newUnit(c *Catalogue, fingerprint string, f *file, s Settings, u Use) *unit {
	unit := &unit{
		catalogue: c, fingerprint: fingerprint, file: f, settings: s, use: u, state: StateLoading,
		log: c.log.With("plugin", f.name, "use", u.name()),
	}
	switch u.kind() {
	case sdk.KindDiscovery:
		unit.discovery = newDiscovery(unit)
		unit.served = unit.discovery
	case sdk.KindParser:
		s := newParser(unit)
		unit.callee, unit.served = &s.callee, s
	case sdk.KindNotify:
		s := &Notifier{newCallee(unit)}
		unit.callee, unit.served = &s.callee, s
	case sdk.KindAuthOutbound:
		s := &Signer{newCallee(unit)}
		unit.callee, unit.served = &s.callee, s
	case sdk.KindAuthInbound:
		s := &Authenticator{newCallee(unit)}
		unit.callee, unit.served = &s.callee, s
	default:
		s := &Exporter{newCallee(unit)}
		unit.callee, unit.served = &s.callee, s
	}
	return unit
}

// start starts the unit's first guest.
func (u *unit) start(ctx context.Context) error {
	g, err := u.launch(ctx)
	if err != nil {
		return err
	}
	if u.discovery != nil {
		u.discovery.offer(g)
	} else {
		u.callee.start(g)
	}
	return nil
}

// launch starts a guest. The caller gives it back with end.
func (u *unit) launch(ctx context.Context) (guest, error) {
	u.mu.Lock()
	if u.state == StateDegraded || u.state == StateFailed {
		u.restarts++
		u.catalogue.metrics.restarts.WithLabelValues(u.file.name).Inc()
	}
	apart := u.failures >= apartAfter
	u.mu.Unlock()
	g, err := u.catalogue.launcher.launch(ctx, u.file, u.settings, &u.use, apart)
	if err != nil {
		return nil, err
	}
	u.catalogue.ledger.add(u.file.name, g)
	u.mu.Lock()
	u.started, u.grants, u.process = time.Now(), g.Grants(), g.Process()
	recovered := u.state == StateDegraded || u.state == StateFailed
	u.state = StateReady
	u.mu.Unlock()
	if recovered {
		u.log.Info("plugin runs again")
	} else {
		u.log.Debug("plugin runs", "path", u.file.path, "version", u.file.manifest.Version)
	}
	return g, nil
}

// end closes a guest. It has a time limit of its own, because the context of whoever ran the guest is done by then.
//
//nolint:contextcheck,nolintlint // see above
func (u *unit) end(g guest) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := g.Close(ctx); err != nil {
		u.log.Debug("plugin did not end in an orderly way", "err", err)
	}
	u.catalogue.ledger.remove(g)
}

// failed notes that a guest ended, or did not start, and returns for how long to wait before the next one.
func (u *unit) failed(err error) time.Duration {
	u.mu.Lock()
	if !u.started.IsZero() && time.Since(u.started) >= steadyAfter {
		u.failures = 0
	}
	reason := session.ReasonOf(err)
	if reason == "" {
		reason = session.ReasonError
	}
	u.started, u.process = time.Time{}, 0
	if reason != session.ReasonSibling { // which says nothing about this one
		u.failures++
	}
	u.lastErr = err
	u.state = StateDegraded
	if u.failures >= failedAfter {
		u.state = StateFailed
	}
	pause := u.catalogue.pause(max(u.failures, 1))
	failures := u.failures
	u.mu.Unlock()
	u.catalogue.metrics.ends.WithLabelValues(u.file.name, string(reason)).Inc()
	if reason.IsLimit() {
		u.catalogue.metrics.limits.WithLabelValues(u.file.name, string(reason)).Inc()
	}
	u.log.Warn("plugin ended, restarting it", "err", err, "reason", string(reason), "in", pause, "failures", failures)
	return pause
}

// exceeded notes that a call exceeded a limit and the guest goes on.
func (u *unit) exceeded(err *session.LimitError) {
	u.catalogue.metrics.limits.WithLabelValues(u.file.name, string(err.Reason)).Inc()
	u.mu.Lock()
	u.lastErr = err
	u.mu.Unlock()
	u.log.Debug("a call exceeded a limit of the plugin", "err", err, "reason", string(err.Reason))
}

// pauseAfter doubles with each failure and has a random part, so that plugins that fail together do not restart
// together.
func pauseAfter(failures int) time.Duration {
	d := maxPause
	if shift := failures - 1; shift < 10 {
		d = min(firstPause<<shift, maxPause)
	}
	return d/2 + rand.N(d/2) //nolint:gosec // not a secret
}

// sleep waits, and reports whether it was not interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// err returns why there is no guest.
func (u *unit) err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.lastErr
}

// retire lets go of the unit and calls gone when nothing of it runs any more.
func (u *unit) retire(gone func()) {
	if u.discovery != nil {
		u.discovery.retire(gone)
	} else {
		u.callee.retire(gone)
	}
}

// close ends the unit now and waits for it.
func (u *unit) close() {
	if u.discovery != nil {
		u.discovery.close()
	} else {
		u.callee.close()
	}
}
