package rules

import (
	"time"

	"github.com/narthex-io/narthex/model/labels"
)

// Health says how the last evaluation of a rule went, spelled as in the API.
type Health string

// The values of Health.
const (
	HealthUnknown Health = "unknown"
	HealthGood    Health = "ok"
	HealthBad     Health = "err"
)

// GroupStatus is a group as it stands.
type GroupStatus struct {
	File, Name string
	Interval   time.Duration
	Limit      int
	// EvaluationTime is how long the last evaluation took, LastEvaluation when it began; zero if there was none.
	EvaluationTime time.Duration
	LastEvaluation time.Time
	Rules          []RuleStatus
}

// RuleStatus is a rule as it stands.
type RuleStatus struct {
	// Alerting tells which of the two kinds the rule is.
	Alerting bool
	Name     string
	Query    string
	Labels   labels.Labels
	Health   Health
	// LastError is empty after a good evaluation.
	LastError      string
	EvaluationTime time.Duration
	LastEvaluation time.Time

	// What follows belongs to alerting rules.
	Annotations        map[string]string
	For, KeepFiringFor time.Duration
	State              State
	// Alerts are the pending and firing ones, in the order of their labels.
	Alerts []AlertStatus
}

// AlertStatus is an alert as it stands.
type AlertStatus struct {
	Labels labels.Labels
	// Annotations are not to be changed.
	Annotations map[string]string
	State       State
	Value       float64
	ActiveAt    time.Time
	// KeepFiringSince is zero unless the alert fires although its condition has ended; FiredAt is zero while it is pending.
	KeepFiringSince, FiredAt time.Time
}

// Status describes the group.
func (g *Group) Status() GroupStatus {
	s := GroupStatus{File: g.file, Name: g.name, Interval: g.interval, Limit: g.limit, Rules: make([]RuleStatus, len(g.rules))}
	g.mu.Lock()
	s.EvaluationTime, s.LastEvaluation = g.took, g.evaluated
	g.mu.Unlock()
	for i, r := range g.rules {
		s.Rules[i] = r.status()
	}
	return s
}

func (r *rule) status() RuleStatus {
	r.mu.Lock()
	s := RuleStatus{
		Name: r.name, Query: r.query, Labels: r.labels, Health: r.health, EvaluationTime: r.took, LastEvaluation: r.evaluated,
	}
	if r.err != nil {
		s.LastError = r.err.Error()
	}
	r.mu.Unlock()
	a := r.alerting
	if a == nil {
		return s
	}
	s.Alerting, s.Annotations, s.For, s.KeepFiringFor = true, a.annotations, a.hold, a.keep
	a.mu.Lock()
	defer a.mu.Unlock()
	if !s.LastEvaluation.IsZero() {
		s.State = a.state()
	}
	for _, al := range a.sorted() {
		if al.state != StateInactive {
			s.Alerts = append(s.Alerts, AlertStatus{
				Labels: al.labels, Annotations: al.annotations, State: al.state, Value: al.value, ActiveAt: al.activeAt,
				KeepFiringSince: al.keepFiringSince, FiredAt: al.firedAt,
			})
		}
	}
	return s
}
