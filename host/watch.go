package host

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/plugin"
)

// watchPlugins looks for changes of plugins' files and of their lock, if that is wanted: each one makes a value come, folded into
// one that has not been received. The caller calls stop, which waits.
func (h *Host) watchPlugins(ctx context.Context) (changed <-chan struct{}, stop func()) {
	out := make(chan struct{}, 1)
	if !h.opts.WatchPlugins {
		return out, func() {}
	}
	log := h.log.With("component", "plugins")
	w := plugin.NewWatcher(plugin.WatchOptions{
		Directories: func() []string {
			if dir := h.config.Load().Plugins.Directory; dir != "" {
				return []string{dir}
			}
			return h.opts.PluginDirectories
		},
		Files: func() []string { return []string{filepath.Join(filepath.Dir(h.opts.ConfigFile), plugin.LockName)} },
		Log:   log,
	})
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		err := w.Run(ctx, func(context.Context) {
			select {
			case out <- struct{}{}:
			default:
			}
		})
		if err != nil {
			log.Error("changes of plugins' files take effect on a reload only", "err", err)
		}
	})
	return out, func() {
		cancel()
		watch.Wait()
	}
}

// exchangePlugins puts plugins in force whose files have changed, in the way of a reload but with the configuration that is in
// force: the new ones start beside the old ones, which stay when anything fails.
func (h *Host) exchangePlugins(ctx context.Context) {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	begin := time.Now()
	started, err := h.tryExchange(ctx)
	switch {
	case err != nil && ctx.Err() != nil: // The server is stopping: nothing has changed.
	case err != nil:
		h.metrics.exchangeSuccessful.Set(0)
		h.log.Error("changed plugins not put in force, what ran before goes on", "err", err)
	case len(started) > 0:
		h.metrics.exchangeSuccessful.Set(1)
		h.log.Info("changed plugins put in force", "plugins", started, "took", time.Since(begin).Round(time.Millisecond))
	default:
		h.metrics.exchangeSuccessful.Set(1)
		h.log.Debug("files of plugins changed, but none that is used")
	}
}

// tryExchange returns which plugins have new guests.
func (h *Host) tryExchange(ctx context.Context) ([]string, error) {
	cfg := *h.config.Load()
	var err error
	if cfg.Plugins.Lock, err = plugin.ReadLock(cfg.Dir); err != nil {
		return nil, err
	}
	ch, err := h.prepare(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	ch.apply()
	return ch.plugins.Started(), nil
}
