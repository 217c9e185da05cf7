package plugin

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/narthex-io/narthex/host/plugin/kept"
)

// pruneInterval is how often the cache is looked through for what nobody has used for long, at most.
const pruneInterval = 24 * time.Hour

// prune implements launcher.
func (t *transports) prune(digests []string) {
	before := time.Now().Add(-kept.Life)
	var errs []error
	if t.cache != "" {
		for _, digest := range digests {
			kept.Touch(keptManifest(t.cache, digest))
			kept.Touch(filepath.Join(t.cache, copiesDir, digest))
		}
		errs = append(errs, kept.Prune(filepath.Join(t.cache, manifestsDir), "*", before), kept.Prune(filepath.Join(t.cache, copiesDir), "*", before))
	}
	for _, c := range t.compiler.caches {
		c.Used(digests)
		errs = append(errs, c.Prune(before))
	}
	if err := errors.Join(errs...); err != nil {
		t.log.Warn("removing what no plugin has used for long from the cache failed", "path", t.cache, "err", err)
	}
}

// prune removes from the cache what has not been used for long, if that was not done lately.
func (c *Catalogue) prune() {
	c.mu.Lock()
	if c.closed || !c.pruned.IsZero() && time.Since(c.pruned) < pruneInterval {
		c.mu.Unlock()
		return
	}
	c.pruned = time.Now()
	var digests []string
	for _, u := range c.units {
		digests = append(digests, u.file.digest)
	}
	for u := range c.retired {
		digests = append(digests, u.file.digest)
	}
	c.pruning.Add(1) // under the lock, as Close waits after it has set closed
	c.mu.Unlock()
	go func() {
		defer c.pruning.Done()
		c.launcher.prune(digests)
	}()
}
