// Package plugin is the catalogue of plugins: it finds plugin files, starts the guests that the config uses, watches
// over them, and hands out the sdk's interfaces, so that nobody else knows that a discovery or an exporter is a guest.
//
// Start with [New], [Catalogue.Prepare], which brings everything that a new config needs to readiness without touching
// what runs, and the [Change] that it returns. [Discovery], [Exporter] and their like survive the guests behind them: a guest that
// traps, exits or exceeds a limit is restarted, with growing pauses.
//
// Ownership: a guest is closed by whoever holds it. Whatever is called holds its own from Prepare until a later change no longer
// uses them, and then drain. A discovery's guest waits for [Discovery.Run] and belongs to it from there on, so that the
// discovery manager decides how long an old one runs beside its successor. [Catalogue.Close] ends everything.
//
// The frames, the sandbox, the processes and the grants are in the packages below this one; what plugins find is
// merged and scraped elsewhere.
package plugin

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/plugin/trust"
)

// ErrClosed is the error for work that the catalogue no longer does, because it is closed or because the config no
// longer uses the plugin.
var ErrClosed = errors.New("plugin is not in use any more")

// Options configure a [Catalogue]. The zero value of each field means what its comment says in brackets.
type Options struct {
	// Directories are searched for plugins in this order; a missing one is skipped. [none]
	Directories []string
	// Files are plugins besides those in Directories, and come before them. [none]
	Files []string
	// CacheDir keeps compiled modules and manifests between starts. Where it cannot be written to, that is said once, and compiled
	// modules are kept among the user's temporary files. [narthex in the user's cache folder, if there is one]
	CacheDir string
	// KeepCopies starts plugins from copies in CacheDir, so that their files can be exchanged while they run. [the files are started]
	KeepCopies bool
	// OnlyUsed leaves plugins that no use needs unread: they are listed by their files alone, until their manifests are kept. A
	// plugin for NAME_sd_configs is then looked for under the name sd-NAME first, one for NAME_notify_configs under
	// notify-NAME, and one for NAME_auth under auth-NAME. [all are read]
	OnlyUsed bool
	// Worker is the binary of a host, which runs a wasm plugin in a process of its own when it is started as package worker
	// says. [none: all wasm plugins run inline]
	Worker string
	// TrustedKeys may sign plugins, besides those that the config names. [none]
	TrustedKeys trust.Keys
	// RequireSignature refuses plugins that no trusted key has signed, before anything of them runs. [signatures are only shown]
	RequireSignature bool
	// Logger gets what the catalogue and the guests say. [nothing is logged]
	Logger *slog.Logger
	// Registerer gets the metrics narthex_plugin_*. [no metrics]
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.CacheDir == "" {
		if dir, err := os.UserCacheDir(); err == nil {
			o.CacheDir = filepath.Join(dir, "narthex")
		}
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Directories, o.Files = slices.Clone(o.Directories), slices.Clone(o.Files)
	return o
}

// Catalogue knows all plugins. It is safe for concurrent use.
type Catalogue struct {
	options  Options
	launcher launcher
	log      *slog.Logger
	metrics  *metrics
	ledger   *ledger
	unkept   *unkept
	pause    func(failures int) time.Duration // before a restart

	mu      sync.Mutex
	pending bool // a change is neither applied nor discarded
	closed  bool
	files   []*file          // of the applied change
	units   map[string]*unit // of the applied change, by fingerprint
	uses    []use            // of the applied change
	retired map[*unit]struct{}
	refused map[string]error // by plugin: why the last change was not applied; nil after one that was
	pruned  time.Time        // when the cache was
	pruning sync.WaitGroup
}

// use is a Use and the unit that serves it.
type use struct {
	name, position string
	unit           *unit
}

// New returns a catalogue that runs nothing yet. The caller closes it.
func New(o Options) (*Catalogue, error) {
	o = o.withDefaults()
	t := newTransports(o)
	c := newCatalogue(o, t)
	c.unkept = t.compiler.unkept
	if err := c.metrics.register(o.Registerer, c); err != nil {
		return nil, err
	}
	return c, nil
}

func newCatalogue(o Options, l launcher) *Catalogue {
	o = o.withDefaults()
	return &Catalogue{
		options:  o,
		launcher: l,
		log:      o.Logger,
		metrics:  newMetrics(),
		ledger:   newLedger(),
		unkept:   &unkept{dir: o.CacheDir, log: o.Logger},
		pause:    pauseAfter,
		units:    map[string]*unit{},
		retired:  map[*unit]struct{}{},
	}
}

// Exporter returns the exporter of the first applied use of the plugin with that name.
func (c *Catalogue) Exporter(name string) (*Exporter, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.uses {
		if e, ok := u.unit.served.(*Exporter); ok && u.unit.file.name == name {
			return e, true
		}
	}
	return nil, false
}

// Close stops all guests: running discoveries return, collections end with an error. It waits for them and may be
// called more than once. A change that is prepared has to be discarded before.
//
//nolint:contextcheck,nolintlint // closing has time limits of its own, because contexts are done by then
func (c *Catalogue) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	var units []*unit
	for _, u := range c.units {
		units = append(units, u)
	}
	for u := range c.retired {
		units = append(units, u)
	}
	c.units, c.uses = map[string]*unit{}, nil
	c.mu.Unlock()
	var wait sync.WaitGroup
	for _, u := range units {
		wait.Go(u.close)
	}
	wait.Wait()
	c.pruning.Wait()
	if !first {
		return nil
	}
	c.metrics.unregister(c.options.Registerer, c)
	return c.launcher.close(context.Background())
}

// retire lets go of a unit; it ends by itself when nobody uses it any more.
func (c *Catalogue) retire(u *unit) {
	c.mu.Lock()
	c.retired[u] = struct{}{}
	c.mu.Unlock()
	u.retire(func() {
		c.mu.Lock()
		delete(c.retired, u)
		c.mu.Unlock()
	})
}
