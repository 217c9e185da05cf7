package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/host/template"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// Names of the series that say which alerts there are, and of their labels.
const (
	alertsName   = "ALERTS"
	forStateName = "ALERTS_FOR_STATE"
	alertName    = "alertname"
	stateLabel   = "alertstate"
)

// resolvedRetention is how long an alert that is over is kept, so that whoever has to know of it is told again.
const resolvedRetention = 15 * time.Minute

// State is what an alert, or an alerting rule, has come to.
type State uint8

// The states, the more serious ones being greater. A rule that was never evaluated is StateUnknown.
const (
	StateUnknown State = iota
	StateInactive
	StatePending
	StateFiring
)

// String returns the state as the API and the series ALERTS have it.
func (s State) String() string { return [...]string{"unknown", "inactive", "pending", "firing"}[s] }

// alerting is the part of a rule that makes alerts.
type alerting struct {
	rule        *rule
	hold, keep  time.Duration
	annotations map[string]string

	labelTexts, annotationTexts []text
	external                    map[string]string
	externalURL                 string

	mu sync.Mutex
	// restoring is set until the state from before the start is known; the series are not written before.
	restoring bool
	// active are the alerts by the keys of their labels, those that were resolved a short time ago included.
	active map[string]*alert
}

// alert is one alert of a rule.
type alert struct {
	state  State
	labels labels.Labels
	// annotations are not changed once they are made.
	annotations map[string]string
	value       float64
	// activeAt is when the expression first yielded it; the other times are zero where they mean nothing.
	activeAt, firedAt, resolvedAt, keepFiringSince time.Time
	// lastSent is when it was last handed to the notifier, as valid until validUntil.
	lastSent, validUntil time.Time
}

var errSameAlert = errors.New("vector contains metrics with the same labelset after applying alert labels")

// evaluate brings the alerts in line with what the expression yielded, and returns the samples that tell of them.
func (a *alerting) evaluate(ctx context.Context, m *moment, found promql.Vector) ([]storage.Entry, error) {
	current := make(map[string]*alert, len(found))
	b := labels.NewBuilder(labels.Labels{})
	for _, s := range found {
		made := a.expand(ctx, m, b, s)
		key := string(made.labels.AppendKey(nil))
		if current[key] != nil {
			return nil, errSameAlert
		}
		current[key] = made
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, made := range current {
		if old := a.active[key]; old != nil && old.state != StateInactive {
			old.value, old.annotations = made.value, made.annotations
			continue
		}
		a.active[key] = made
	}
	count := 0
	for key, al := range a.active {
		switch al.step(m.at, current[key] != nil, a.hold, a.keep) {
		case fateActive:
			count++
		case fateForgotten:
			delete(a.active, key)
		case fateOver:
		}
	}
	if m.limit > 0 && count > m.limit {
		a.active = map[string]*alert{}
		return nil, fmt.Errorf("exceeded limit of %d with %d alerts", m.limit, count)
	}
	if a.restoring {
		return nil, nil
	}
	return a.samples(m), nil
}

// expand makes a new alert of an element of the result.
func (a *alerting) expand(ctx context.Context, m *moment, b *labels.Builder, s promql.Sample) *alert {
	data := template.Data{Labels: s.Labels.Map(), ExternalLabels: a.external, ExternalURL: a.externalURL, Value: s.F}
	if s.H != nil {
		data.Value = s.H
	}
	expand := func(t text) string {
		out, err := t.text.Expand(ctx, data, m.at, m.query)
		m.expanded(err)
		if err != nil {
			return fmt.Sprintf("<error expanding template: %s>", err)
		}
		return out
	}
	b.Reset(s.Labels)
	b.Del(labels.MetricName)
	for _, t := range a.labelTexts {
		b.Set(t.name, expand(t))
	}
	b.Set(alertName, a.rule.name)
	made := &alert{state: StatePending, labels: b.Labels(), activeAt: m.at, value: s.F}
	made.annotations = make(map[string]string, len(a.annotationTexts))
	for _, t := range a.annotationTexts {
		made.annotations[t.name] = expand(t)
	}
	return made
}

// fate is what a step makes of an alert.
type fate uint8

const (
	fateActive fate = iota
	fateOver
	fateForgotten
)

// step moves an alert to its next state; yielded says whether the expression still has it.
func (al *alert) step(at time.Time, yielded bool, hold, keep time.Duration) fate {
	if yielded {
		al.keepFiringSince = time.Time{}
	} else if !al.keepsFiring(at, keep) {
		return al.end(at)
	}
	held := at.Sub(al.activeAt)
	switch {
	case al.state == StatePending && held >= hold:
		al.state, al.firedAt = StateFiring, at
	case al.state == StateFiring && held < hold: // The rule has come to wait for longer.
		al.state = StatePending
		al.firedAt, al.lastSent, al.keepFiringSince = time.Time{}, time.Time{}, time.Time{}
	}
	return fateActive
}

// keepsFiring reports whether an alert that the expression does not yield any more is to go on firing.
func (al *alert) keepsFiring(at time.Time, keep time.Duration) bool {
	if al.state != StateFiring || keep <= 0 {
		return false
	}
	if al.keepFiringSince.IsZero() {
		al.keepFiringSince = at
	}
	return at.Sub(al.keepFiringSince) < keep
}

// end is the step of an alert that is not active any more.
func (al *alert) end(at time.Time) fate {
	switch {
	case al.state == StatePending, al.state == StateInactive && at.Sub(al.resolvedAt) > resolvedRetention:
		return fateForgotten
	case al.state == StateFiring:
		al.state, al.resolvedAt = StateInactive, at
	}
	return fateOver
}

// samples returns the samples that tell of the active alerts, in the order of their labels.
func (a *alerting) samples(m *moment) []storage.Entry {
	entries := make([]storage.Entry, 0, 2*len(a.active))
	b := labels.NewBuilder(labels.Labels{})
	for _, al := range a.sorted() {
		if al.state == StateInactive {
			continue
		}
		b.Reset(al.labels)
		b.Set(labels.MetricName, alertsName).Set(stateLabel, al.state.String())
		entries = append(entries, storage.Entry{Labels: b.Labels(), T: m.millis(), V: 1})
		b.Reset(al.labels)
		b.Set(labels.MetricName, forStateName)
		entries = append(entries, storage.Entry{Labels: b.Labels(), T: m.millis(), V: float64(al.activeAt.Unix())})
	}
	return entries
}

// sorted returns all alerts in the order of their labels.
func (a *alerting) sorted() []*alert {
	return slices.SortedFunc(maps.Values(a.active), func(x, y *alert) int { return labels.Compare(x.labels, y.labels) })
}

// due returns what is to be sent now: what began to fire or was resolved since it was last sent, and what was last sent
// longer than resend ago. interval is the group's.
func (a *alerting) due(at time.Time, resend, interval time.Duration, generator string) (out []notify.Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, al := range a.sorted() {
		if al.state == StatePending || !al.resolvedAt.After(al.lastSent) && !al.lastSent.Add(resend).Before(at) {
			continue
		}
		al.lastSent = at
		al.validUntil = at.Add(4 * max(resend, interval)) // Two evaluations, or deliveries, may fail.
		sent := notify.Alert{Labels: al.labels, Annotations: al.annotations, StartsAt: al.firedAt, EndsAt: al.validUntil, GeneratorURL: generator}
		if !al.resolvedAt.IsZero() {
			sent.EndsAt = al.resolvedAt
		}
		out = append(out, sent)
	}
	return out
}

// state returns the most serious state among the alerts.
func (a *alerting) state() State {
	most := StateInactive
	for _, al := range a.active {
		most = max(most, al.state)
	}
	return most
}

// adopt takes over the alerts of an earlier version of the rule, which is not evaluated any more.
func (a *alerting) adopt(old *alerting) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old.mu.Lock()
	defer old.mu.Unlock()
	a.restoring = old.restoring
	for key, al := range old.active {
		copied := *al // The old one may still be shown.
		a.active[key] = &copied
	}
}
