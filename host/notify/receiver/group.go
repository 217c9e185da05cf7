package receiver

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
)

// Alert is the state of an alert, as it comes from the rules. EndsAt is when it was resolved, or until when it counts as
// firing; zero if that is unknown.
type Alert struct {
	Labels labels.Labels
	// Annotations are not changed once they are here.
	Annotations      map[string]string
	StartsAt, EndsAt time.Time
	GeneratorURL     string
}

// alert is an alert of a group. What is exported is kept on disk.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	// Told is the status that was last delivered; empty if none was.
	Told string `json:"told,omitempty"`
	// Queued says that the alert is part of a batch that could not be delivered yet.
	Queued bool `json:"queued,omitempty"`
}

func (a *alert) status(now time.Time) string {
	if a.EndsAt.After(now) {
		return sdk.StatusFiring
	}
	return sdk.StatusResolved
}

// group is what is told together. What is exported is kept on disk.
type group struct {
	Labels map[string]string `json:"groupLabels"`
	// Alerts are by fingerprint.
	Alerts map[string]*alert `json:"alerts"`
	// LastSent is when a batch was last delivered.
	LastSent time.Time `json:"lastSent"`
	// ID is that of the batch which could not be delivered yet, Batch what it says of which alert; empty if there is none.
	ID    string            `json:"id,omitempty"`
	Batch map[string]string `json:"batch,omitempty"`

	// due is when the group is looked at next, failures the number of deliveries that failed in a row.
	due      time.Time
	failures int
	// saved says that the group is on disk.
	saved bool
}

func newGroup(by map[string]string) *group {
	return &group{Labels: by, Alerts: map[string]*alert{}}
}

// key identifies a group: {alertname="Down"}.
func (g *group) key() string { return labels.FromMap(g.Labels).String() }

// groupLabels returns the labels of the group that an alert belongs to.
func groupLabels(by []string, ls map[string]string) map[string]string {
	if slices.Equal(by, []string{allLabels}) {
		return maps.Clone(ls)
	}
	out := make(map[string]string, len(by))
	for _, name := range by {
		if value := ls[name]; value != "" {
			out[name] = value
		}
	}
	return out
}

func fingerprint(ls map[string]string) string {
	set := make(model.LabelSet, len(ls))
	for name, value := range ls {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	return set.Fingerprint().String()
}

// openAge is how long an alert without an end counts as firing after it was last heard of.
const openAge = 5 * time.Minute

// put takes over the state of an alert and reports whether the alert is new. One that is resolved, and that nobody was
// told about, is of no interest.
func (g *group) put(a Alert, ls map[string]string, now time.Time) (isNew bool) {
	end := a.EndsAt
	if end.IsZero() {
		end = now.Add(openAge)
	}
	print := fingerprint(ls)
	known := g.Alerts[print]
	if known == nil {
		if !end.After(now) {
			return false
		}
		known = &alert{Labels: ls}
		g.Alerts[print] = known
		isNew = true
	}
	if a.Annotations == nil {
		a.Annotations = map[string]string{}
	}
	known.Annotations, known.StartsAt, known.EndsAt, known.GeneratorURL = a.Annotations, a.StartsAt, end, a.GeneratorURL
	return isNew
}

// plan decides what is to be told now, and forgets what never will be. It returns what the batch says of which alert, and
// the number of alerts that have waited for too long; nothing is to be told if told is empty.
func (g *group) plan(cfg *Config, now time.Time) (told map[string]string, expired int) {
	told = map[string]string{}
	news := false
	for print, a := range g.Alerts {
		status := a.status(now)
		waiting := a.Queued && a.Told != status
		switch {
		case status == sdk.StatusFiring:
			news = news || a.Told != status
		case waiting && now.Sub(a.EndsAt) > maxWait:
			delete(g.Alerts, print)
			expired++
			continue
		case waiting, a.Told == sdk.StatusFiring && cfg.SendResolved:
			news = true
		default: // Nobody knows of it, or nobody wants to.
			delete(g.Alerts, print)
			continue
		}
		told[print] = status
	}
	repeat := !g.LastSent.IsZero() && now.Sub(g.LastSent) >= time.Duration(cfg.RepeatInterval)
	if !news && !repeat {
		return nil, expired
	}
	return told, expired
}

// enqueue makes told the batch that is to be delivered. A batch that says the same as the one that is waiting keeps its
// id; otherwise it takes the other's place.
func (g *group) enqueue(told map[string]string) (changed bool) {
	if g.ID != "" && maps.Equal(g.Batch, told) {
		return false
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // It never fails.
	g.ID, g.Batch = hex.EncodeToString(id), told
	for print := range told {
		g.Alerts[print].Queued = true
	}
	return true
}

// settle notes that the batch was delivered, or given up.
func (g *group) settle(now time.Time) {
	for print, status := range g.Batch {
		a := g.Alerts[print]
		if a == nil {
			continue
		}
		a.Told, a.Queued = status, false
		if status == sdk.StatusResolved && a.status(now) == sdk.StatusResolved {
			delete(g.Alerts, print)
		}
	}
	g.ID, g.Batch, g.failures, g.LastSent = "", nil, 0, now
}

// drop gives up what waits to be delivered.
func (g *group) drop() {
	g.ID, g.Batch = "", nil
	for _, a := range g.Alerts {
		a.Queued = false
	}
}

// message returns the batch that is to be delivered.
func (g *group) message(receiver, externalURL string) sdk.Message {
	m := sdk.Message{
		Version: "4", ID: g.ID, GroupKey: g.key(), Status: sdk.StatusResolved, Receiver: receiver, GroupLabels: g.Labels, ExternalURL: externalURL,
	}
	type entry struct {
		key labels.Labels
		sdk.Alert
	}
	entries := make([]entry, 0, len(g.Batch))
	for print, status := range g.Batch {
		a := g.Alerts[print]
		out := sdk.Alert{
			Status: status, Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt.UTC(),
			GeneratorURL: a.GeneratorURL, Fingerprint: print,
		}
		if status == sdk.StatusFiring {
			m.Status = status
		} else {
			out.EndsAt = a.EndsAt.UTC()
		}
		entries = append(entries, entry{labels.FromMap(a.Labels), out})
	}
	slices.SortFunc(entries, func(a, b entry) int { return labels.Compare(a.key, b.key) })
	for _, e := range entries {
		m.Alerts = append(m.Alerts, e.Alert)
	}
	m.CommonLabels = common(m.Alerts, func(a sdk.Alert) map[string]string { return a.Labels })
	m.CommonAnnotations = common(m.Alerts, func(a sdk.Alert) map[string]string { return a.Annotations })
	return m
}

// common returns the pairs that all alerts have.
func common(alerts []sdk.Alert, of func(sdk.Alert) map[string]string) map[string]string {
	out := map[string]string{}
	if len(alerts) == 0 {
		return out
	}
	maps.Copy(out, of(alerts[0]))
	for _, a := range alerts[1:] {
		pairs := of(a)
		maps.DeleteFunc(out, func(name, value string) bool {
			v, ok := pairs[name]
			return !ok || v != value
		})
	}
	return out
}
