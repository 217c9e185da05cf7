package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Notifier tells people, or another system, about alerts.
type Notifier interface {
	// Notify delivers a batch. Nil means that it has arrived. After an error the host tries again, with pauses that grow,
	// and with what the alerts have come to in the meantime; an error made by [Rejected] says that there is no point in
	// that. It may be called from several goroutines at once, and stops early, with ctx's error, when ctx is done.
	Notify(ctx context.Context, b Batch) error
}

// Batch is what a notifier is to tell, the alerts of one group, as JSON: that of the Alertmanager's webhook (version 4),
// with an id, so that whatever understands those understands a batch as it is. It is not to be changed.
type Batch []byte

// Message decodes the batch. A guest that does not call it does without encoding/json, a megabyte of wasm.
func (b Batch) Message() (Message, error) {
	var m Message
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("decode batch: %w", err)
	}
	return m, nil
}

// Message is the content of a [Batch].
type Message struct {
	// Version is "4", that of the format.
	Version string `json:"version"`
	// ID tells batches apart. A batch that is sent again, because it may not have arrived, keeps it.
	ID string `json:"id"`
	// GroupKey is the same for all batches of a group.
	GroupKey string `json:"groupKey"`
	// Status is [StatusFiring] if any of the alerts fires, and otherwise [StatusResolved].
	Status string `json:"status"`
	// Receiver is the name of the entry in the config.
	Receiver string `json:"receiver"`
	// GroupLabels are the labels that make the group, CommonLabels and CommonAnnotations those that all alerts share.
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	// ExternalURL is where the server is reached.
	ExternalURL string `json:"externalURL"`
	// Alerts are those that fire, and those that have been resolved since the last batch, in order of their labels.
	Alerts []Alert `json:"alerts"`
}

// Alert is one alert of a [Message].
type Alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	// EndsAt is when the alert was resolved; the zero time while it fires.
	EndsAt time.Time `json:"endsAt"`
	// GeneratorURL leads to the expression behind the alert.
	GeneratorURL string `json:"generatorURL"`
	// Fingerprint is a digest of the labels.
	Fingerprint string `json:"fingerprint"`
}

// Values of Status.
const (
	StatusFiring   = "firing"
	StatusResolved = "resolved"
)

// Rejected marks err, of [Notifier.Notify], as one that another try would not change: the batch is given up.
func Rejected(err error) error {
	if err == nil {
		return nil
	}
	return &rejectedError{err}
}

// IsRejected reports whether err, or one that it wraps, was made by [Rejected].
func IsRejected(err error) bool {
	_, ok := errors.AsType[*rejectedError](err)
	return ok
}

type rejectedError struct{ err error }

func (e *rejectedError) Error() string { return e.err.Error() }
func (e *rejectedError) Unwrap() error { return e.err }
