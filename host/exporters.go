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
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/sdk"
)

// running are plugins of a kind in use, by what names them in the configuration.
type running[K comparable, P any] struct {
	mu sync.RWMutex
	by map[K]P
}

// add makes more plugins known, those that it takes the place of being forgotten.
func (r *running[K, P]) add(more map[K]P) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(more)
	for key, p := range r.by {
		if _, replaced := all[key]; !replaced {
			all[key] = p
		}
	}
	r.by = all
}

// replace forgets all plugins but those of a new configuration.
func (r *running[K, P]) replace(all map[K]P) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by = all
}

func (r *running[K, P]) get(key K) (P, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, ok := r.by[key]
	return p, ok
}

// exporters are the exporter plugins in use, for scraping in memory.
type exporters struct {
	running[exporterKey, *plugin.Exporter]
}

// exporterKey names an exporter: the same plugin with another config is another one.
type exporterKey struct{ plugin, config string }

// Exporter returns the exporter behind an entry of an exporters section, and the format that it writes.
func (e *exporters) Exporter(name string, config json.RawMessage) (sdk.Exporter, string, error) {
	found, ok := e.get(exporterKey{name, string(config)})
	if !ok {
		return nil, "", fmt.Errorf("exporter plugin %s is not running", name)
	}
	return found, found.ContentType(), nil
}

// parsers are the parser plugins in use.
type parsers struct {
	running[scrape.ParserKey, *plugin.Parser]
}

// Parser returns a parser, and the format that it writes.
func (p *parsers) Parser(key scrape.ParserKey) (sdk.Parser, string, error) {
	found, ok := p.get(key)
	if !ok {
		return nil, "", fmt.Errorf("parser plugin %s is not running", key.Plugin)
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
