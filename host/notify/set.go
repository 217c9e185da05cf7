package notify

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/relabel"
	"github.com/narthex-io/narthex/sdk"
)

// set is an entry of alertmanagers in use. Its methods need the manager's mutex.
type set struct {
	cfg    *AlertmanagerConfig
	client *http.Client
	groups []sdk.Group
	// senders are those of the active Alertmanagers in order of discovery; dropped are the others' URLs.
	senders []*sender
	dropped []string
}

// adopt takes over what another set, whose entry this one replaces, knows and has running.
func (s *set) adopt(old *set) {
	s.groups, s.senders = old.groups, old.senders
	old.senders = nil
}

// sync makes the senders those of the Alertmanagers that groups come to. Those that are there already keep their queues.
func (m *Manager) sync(s *set, groups []sdk.Group) {
	s.groups = groups
	found := makeTargets(s.cfg, groups)
	if len(found.errs) > 0 {
		m.opts.Log.Error("Alertmanagers could not be made of what was discovered", "count", len(found.errs),
			"err", errors.Join(found.errs[:min(len(found.errs), maxShownErrors)]...))
	}
	s.dropped = found.dropped
	end := &endpoint{client: s.client, timeout: time.Duration(s.cfg.Timeout)}
	before := map[string]*sender{}
	for _, one := range s.senders {
		before[one.url] = one
	}
	s.senders = nil
	for _, url := range found.active {
		one := before[url]
		if delete(before, url); one == nil {
			one = newSender(url, m.opts, m.metrics)
			m.metrics.acquire(one.url)
		}
		one.end.Store(end)
		m.start(one)
		s.senders = append(s.senders, one)
	}
	for _, url := range slices.Sorted(maps.Keys(before)) {
		m.retire(before[url])
	}
}

// maxShownErrors bounds the errors about targets in one line of the log.
const maxShownErrors = 10

// send queues alerts for all Alertmanagers of the set.
func (s *set) send(alerts []Alert) {
	alerts = relabelAlerts(alerts, labels.EmptyLabels(), s.cfg.AlertRelabelConfigs)
	if len(alerts) == 0 {
		return
	}
	for _, one := range s.senders {
		one.add(alerts)
	}
}

// relabelAlerts adds the external labels that an alert lacks and applies the rules. The given alerts stay as they are.
func relabelAlerts(alerts []Alert, external labels.Labels, rules []*relabel.Config) []Alert {
	if external.IsEmpty() && len(rules) == 0 {
		return alerts
	}
	out := make([]Alert, 0, len(alerts))
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, a := range alerts {
		b.Reset(a.Labels)
		for name, value := range external.All() {
			if !a.Labels.Has(name) {
				b.Set(name, value)
			}
		}
		if relabel.Process(rules, b) {
			a.Labels = b.Labels()
			out = append(out, a)
		}
	}
	return out
}

// sameDiscovery reports whether two entries find their Alertmanagers in the same way.
func sameDiscovery(a, b *discovery.Configs) bool {
	return slices.EqualFunc(a.Static, b.Static, func(a, b discovery.StaticConfig) bool {
		return slices.Equal(a.Targets, b.Targets) && maps.Equal(a.Labels, b.Labels)
	}) && slices.EqualFunc(a.Plugins, b.Plugins, func(a, b discovery.Config) bool {
		return a.Key == b.Key && string(a.JSON) == string(b.JSON)
	})
}
