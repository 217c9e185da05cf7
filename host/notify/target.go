package notify

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/relabel"
	"github.com/narthex-io/narthex/sdk"
)

// Labels of a discovered Alertmanager with a meaning of their own.
const (
	addressLabel = "__address__"
	schemeLabel  = "__scheme__"
	pathLabel    = "__alerts_path__"
)

// targets are what the groups of an entry come to.
type targets struct {
	// active are the URLs that alerts are posted to, each once, in order of discovery; dropped those that relabelling
	// dropped, as they were before it.
	active, dropped []string
	errs            []error
}

// makeTargets relabels what was discovered for an entry.
func makeTargets(cfg *AlertmanagerConfig, groups []sdk.Group) targets {
	var out targets
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, g := range groups {
		for _, address := range g.Targets {
			b.Reset(labels.EmptyLabels())
			b.Set(schemeLabel, cfg.Scheme)
			b.Set(pathLabel, path.Join("/", cfg.PathPrefix, "/api/"+cfg.APIVersion+"/alerts"))
			for _, name := range slices.Sorted(maps.Keys(g.Labels)) {
				b.Set(name, g.Labels[name])
			}
			b.Set(addressLabel, address)
			out.add(cfg, b)
		}
	}
	return out
}

func (t *targets) add(cfg *AlertmanagerConfig, b *labels.Builder) {
	before := urlOf(b)
	if !relabel.Process(cfg.RelabelConfigs, b) {
		t.dropped = append(t.dropped, before)
		return
	}
	address, u := b.Get(addressLabel), urlOf(b)
	switch {
	case address == "":
		t.errs = append(t.errs, errors.New("an Alertmanager has no address"))
	case strings.Contains(address, "@"):
		t.errs = append(t.errs, errors.New("address of an Alertmanager: credentials belong into basic_auth"))
	case strings.Contains(address, "/"):
		t.errs = append(t.errs, fmt.Errorf("address of an Alertmanager: %q is not a valid hostname", address))
	case !slices.Contains(t.active, u):
		t.active = append(t.active, u)
	}
}

func urlOf(b *labels.Builder) string {
	u := url.URL{Scheme: b.Get(schemeLabel), Host: b.Get(addressLabel), Path: b.Get(pathLabel)}
	return u.String()
}
