package plugin

import (
	"fmt"

	"github.com/narthex-io/narthex/sdk"
)

// Isolation is a place for a wasm plugin.
type Isolation string

// The places.
const (
	// IsolationInline is the host's own process: small and quick to answer, slow to compute.
	IsolationInline Isolation = "inline"
	// IsolationWorker is a process of its own, at full speed.
	IsolationWorker Isolation = "worker"
)

// isolation returns where a wasm plugin of a kind runs. Without an order of the operator's, what computes gets a worker, if
// there are any; what waits stays inline.
func (s *Settings) isolation(kind sdk.Kind, workers bool) Isolation {
	switch {
	case s.Isolation != "":
		return s.Isolation
	case workers && (kind == sdk.KindExporter || kind == sdk.KindParser):
		return IsolationWorker
	}
	return IsolationInline
}

// checkIsolation returns an error when the operator's order cannot be carried out.
func (c *Catalogue) checkIsolation(f *file, s Settings) error {
	switch {
	case s.Isolation == "":
		return nil
	case f.transport == TransportProcess:
		return fmt.Errorf("plugins.settings.%s.isolation: %s is an executable, which always runs as a process of its own; remove the field",
			f.name, f.path)
	case s.Isolation == IsolationWorker && c.options.Worker == "":
		return fmt.Errorf("plugins.settings.%s.isolation: this program cannot start workers; use inline", f.name)
	}
	return nil
}

// place says where the guests of a unit run.
func (c *Catalogue) place(u *unit) string {
	if u.file.transport == TransportProcess {
		return string(TransportProcess)
	}
	return string(u.settings.isolation(u.use.kind(), c.options.Worker != ""))
}
