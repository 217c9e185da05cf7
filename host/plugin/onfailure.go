package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/narthex-io/narthex/sdk"
)

// OnFailure says what becomes of a discovery's targets when its plugin has failed.
type OnFailure string

// What may become of targets.
const (
	// OnFailureKeepLast keeps the last targets for as long as the plugin takes to come back; the default.
	OnFailureKeepLast OnFailure = "keep_last"
	// OnFailureDrop gives them up when the plugin's state is [StateFailed], so that nobody scrapes, or sends alerts to, what may
	// no longer be there. A restart before that, and a reload, drop nothing.
	OnFailureDrop OnFailure = "drop"
)

// checkOnFailure returns an error when there are no targets that the order could be about.
func checkOnFailure(f *file, s Settings) error {
	if s.OnFailure == "" || slices.Contains(f.manifest.Kinds, sdk.KindDiscovery) {
		return nil
	}
	return fmt.Errorf("plugins.settings.%s.on_failure: it is for discoveries, and %s is a plugin of kind %v; remove the field",
		f.name, f.name, f.manifest.Kinds)
}

// giveUp empties all sources, if the operator wants that of a discovery that has failed.
func (r *relay) giveUp(ctx context.Context) {
	r.unit.mu.Lock()
	failed := r.unit.state == StateFailed
	r.unit.mu.Unlock()
	if !failed || r.unit.settings.OnFailure != OnFailureDrop || len(r.sources) == 0 {
		return
	}
	select {
	case r.out <- r.vanished(nil):
		r.unit.log.Warn("plugin has failed, dropping its targets", "targets", r.targets)
		r.sources, r.targets = map[string]int{}, 0
	case <-ctx.Done():
	}
}
