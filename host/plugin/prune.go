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
	if t.cache == "" || t.compiler.cache.Dir == "" { // The latter is in the former.
		return
	}
	for _, digest := range digests {
		kept.Touch(keptManifest(t.cache, digest))
		kept.Touch(filepath.Join(t.cache, copiesDir, digest))
	}
	t.compiler.cache.Used(digests)
	before := time.Now().Add(-kept.Life)
	if err := errors.Join(
		kept.Prune(filepath.Join(t.cache, manifestsDir), "*", before),
		kept.Prune(filepath.Join(t.cache, copiesDir), "*", before),
		t.compiler.cache.Prune(before),
	); err != nil {
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
