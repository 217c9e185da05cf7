package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/narthex-io/narthex/host/plugin/session"
)

// Change is a prepared config. Exactly one of Apply and Discard ends it.
type Change struct {
	catalogue *Catalogue
	files     []*file
	uses      []use // in the order of Prepare's
	units     map[string]*unit
	fresh     []*unit // started for this change
	ended     bool
	refused   map[string]error // why there is no change, by plugin
}

// Prepare finds the plugins that uses need, starts a guest for each use that is new or whose config, settings or file
// changed, and returns when all are ready. What runs is not touched. Uses that are the same in everything but their
// position share one guest. On error, which joins all mistakes, everything that was started is closed. Only one change
// can be prepared at a time. ctx bounds the preparation, not the guests' life.
func (c *Catalogue) Prepare(ctx context.Context, config Config, uses []Use) (*Change, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if err := c.begin(); err != nil {
		return nil, err
	}
	ch := &Change{catalogue: c, units: map[string]*unit{}, refused: map[string]error{}}
	err := ch.prepare(ctx, config, uses)
	if err != nil {
		ch.Discard()
		c.mu.Lock()
		c.refused = ch.refused
		c.mu.Unlock()
		return nil, err
	}
	return ch, nil
}

func (c *Catalogue) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case c.pending:
		return errors.New("another change of plugins is prepared and neither applied nor discarded")
	}
	c.pending = true
	return nil
}

func (ch *Change) prepare(ctx context.Context, config Config, uses []Use) error {
	if err := ch.catalogue.checkKeys(config); err != nil && len(uses) > 0 {
		return err
	}
	found, err := ch.catalogue.find(ctx, config, uses)
	if err != nil {
		return err
	}
	ch.files = found.files
	var errs []error
	for i := range uses {
		if uses[i].Empty {
			if _, err := found.resolve(&uses[i]); err != nil {
				errs = append(errs, uses[i].errorf("%w", err))
			}
			continue
		}
		u, err := ch.choose(found, config, uses[i])
		if err != nil {
			errs = append(errs, err)
			ch.refused[ch.catalogue.servedBy(&uses[i])] = err
			continue
		}
		ch.uses = append(ch.uses, use{name: uses[i].name(), position: uses[i].Position, unit: u})
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	found.warn(ch.catalogue.log)
	return ch.start(ctx)
}

// choose returns the unit for a use: the running one if nothing changed, else a fresh one, which is not started yet.
func (ch *Change) choose(found *found, config Config, u Use) (*unit, error) {
	f, err := found.resolve(&u)
	if err != nil {
		return nil, u.errorf("%w", err)
	}
	if len(u.HTTPFields) > 0 && len(f.manifest.Asks.HTTP) == 0 {
		return nil, u.errorf("field %s: plugin %s makes no HTTP requests", u.HTTPFields[0], f.name)
	}
	if err := u.oneCredential(f.manifest.Asks); err != nil {
		return nil, u.errorf("%w", err)
	}
	settings := config.Settings[f.name]
	if err := ch.catalogue.checkIsolation(f, settings); err != nil {
		return nil, u.errorf("%w", err)
	}
	if err := checkOnFailure(f, settings); err != nil {
		return nil, u.errorf("%w", err)
	}
	print, err := u.fingerprint(f, settings)
	if err != nil {
		return nil, u.errorf("%w", err)
	}
	if running := ch.units[print]; running != nil {
		return running, nil
	}
	c := ch.catalogue
	c.mu.Lock()
	running := c.units[print]
	c.mu.Unlock()
	if running == nil {
		running = newUnit(c, print, f, settings, u)
		ch.fresh = append(ch.fresh, running)
	}
	ch.units[print] = running
	return running, nil
}

// start starts all fresh units, side by side.
func (ch *Change) start(ctx context.Context) error {
	errs := make([]error, len(ch.fresh))
	var wait sync.WaitGroup
	for i, u := range ch.fresh {
		wait.Go(func() {
			if err := u.start(ctx); err != nil {
				errs[i] = u.use.errorf("%w", explain(u, err))
			}
		})
	}
	wait.Wait()
	for i, err := range errs {
		if err != nil {
			ch.refused[ch.fresh[i].file.name] = err
		}
	}
	return errors.Join(errs...)
}

// servedBy returns the name of the plugin that serves a use now or, when nothing does, the name that it should have.
func (c *Catalogue) servedBy(u *Use) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, running := range c.uses {
		if running.name == u.name() {
			return running.unit.file.name
		}
	}
	return u.likelyName()
}

// Started lists the plugins of which the change starts guests, sorted.
func (ch *Change) Started() []string {
	names := make([]string, len(ch.fresh))
	for i, u := range ch.fresh {
		names[i] = u.file.name
	}
	return sorted(names)
}

// explain says which file failed to start, unless the guest refused its config, which is about the config alone.
func explain(u *unit, err error) error {
	if refused := (*session.ConfigError)(nil); errors.As(err, &refused) {
		return refused
	}
	return fmt.Errorf("%w (%s)", err, u.file.path)
}

// Discovery returns the discovery of the use at index i of Prepare's, or nil when it is of another kind.
func (ch *Change) Discovery(i int) *Discovery { return served[Discovery](ch, i) }

// Exporter returns the exporter of the use at index i of Prepare's, or nil when it is of another kind.
func (ch *Change) Exporter(i int) *Exporter { return served[Exporter](ch, i) }

// Parser returns the parser of the use at index i of Prepare's, or nil when it is of another kind.
func (ch *Change) Parser(i int) *Parser { return served[Parser](ch, i) }

// Notifier returns the notifier of the use at index i of Prepare's, or nil when it is of another kind.
func (ch *Change) Notifier(i int) *Notifier { return served[Notifier](ch, i) }

// Signer returns what signs for the use at index i of Prepare's, or nil when it is of another kind.
func (ch *Change) Signer(i int) *Signer { return served[Signer](ch, i) }

// Authenticator returns what judges for the use at index i of Prepare's, or nil when it is of another kind.
func (ch *Change) Authenticator(i int) *Authenticator { return served[Authenticator](ch, i) }

func served[T any](ch *Change, i int) *T {
	s, _ := ch.uses[i].unit.served.(*T)
	return s
}

// Apply makes the change the running state. What is no longer used ends: discoveries
// when their Run is done, all others when their calls are. It cannot fail and does not block.
func (ch *Change) Apply() {
	c := ch.catalogue
	c.mu.Lock()
	if ch.ended {
		c.mu.Unlock()
		return
	}
	ch.ended, c.pending = true, false
	old := c.units
	closed := c.closed
	if !closed {
		c.files, c.units, c.uses, c.refused = ch.files, ch.units, ch.uses, nil
	}
	c.mu.Unlock()
	if closed {
		old = ch.units
	}
	for print, u := range old {
		if closed || ch.units[print] == nil {
			c.retire(u)
		}
	}
	c.prune()
}

// Discard closes what the change started. It does nothing after Apply.
func (ch *Change) Discard() {
	c := ch.catalogue
	c.mu.Lock()
	if ch.ended {
		c.mu.Unlock()
		return
	}
	ch.ended, c.pending = true, false
	c.mu.Unlock()
	var wait sync.WaitGroup
	for _, u := range ch.fresh {
		wait.Go(u.close)
	}
	wait.Wait()
}
