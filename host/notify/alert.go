// Package notify tells others about alerts: it queues what the rules send, and delivers it to the Alertmanagers of the
// configuration.
//
// Start with [Manager] and [Alert]. Each Alertmanager has a queue of its own, from which a sender delivers batches and tries
// again what fails until it is out of date. The package does not decide what fires, nor when it is sent again.
package notify

import (
	"time"

	"github.com/narthex-io/narthex/model/labels"
)

// Alert is the state of an alert at the time at which it was sent. It is a value, and what it refers to is immutable.
type Alert struct {
	// Labels are the alert's identity: a later Alert with the same labels replaces an earlier one.
	Labels labels.Labels
	// Annotations describe the alert to people. They may be empty texts, which a set of labels cannot hold.
	Annotations map[string]string
	// StartsAt is when the alert began to fire. EndsAt is when it was resolved, or until when it counts as firing
	// unless it is sent again; zero if that is unknown.
	StartsAt, EndsAt time.Time
	// GeneratorURL leads to the expression behind the alert.
	GeneratorURL string
}

// Name returns the label alertname.
func (a Alert) Name() string { return a.Labels.Get("alertname") }

// ResolvedAt reports whether the alert was over at t.
func (a Alert) ResolvedAt(t time.Time) bool { return !a.EndsAt.IsZero() && !a.EndsAt.After(t) }
