package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/sdk"
)

// exporters are the exporter plugins in use, for scraping in memory.
type exporters struct {
	mu      sync.RWMutex
	running map[exporterKey]*plugin.Exporter
}

// exporterKey names an exporter: the same plugin with another config is another one.
type exporterKey struct{ plugin, config string }

func (e *exporters) add(more map[exporterKey]*plugin.Exporter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := maps.Clone(more)
	for key, exp := range e.running {
		if _, replaced := all[key]; !replaced {
			all[key] = exp
		}
	}
	e.running = all
}

func (e *exporters) replace(all map[exporterKey]*plugin.Exporter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running = all
}

// Exporter returns the exporter behind an entry of an exporters section, and the format that it writes.
func (e *exporters) Exporter(name string, config json.RawMessage) (sdk.Exporter, string, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	found, ok := e.running[exporterKey{name, string(config)}]
	if !ok {
		return nil, "", fmt.Errorf("exporter plugin %s is not running", name)
	}
	return found, found.ContentType(), nil
}

// serveExporter answers /NAME/metrics with a collection of the exporter plugin of that name, for other scrapers.
func (h *Host) serveExporter(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), "/metrics")
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	found, ok := h.catalogue.Exporter(name)
	if !ok {
		http.Error(w, fmt.Sprintf("no exporter plugin %q is in use: name it in a job's exporters section", name), http.StatusNotFound)
		return
	}
	var body bytes.Buffer
	if err := found.Collect(r.Context(), &body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", found.ContentType())
	_, _ = w.Write(body.Bytes())
}
