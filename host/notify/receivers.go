package notify

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/narthex-io/narthex/host/notify/receiver"
	"github.com/narthex-io/narthex/sdk"
)

// running is a receiver in use.
type running struct {
	*receiver.Receiver
	name string
	// stop ends it; nil before it has started. done is closed when it has ended.
	stop context.CancelCauseFunc
	done chan struct{}
}

// setReceivers makes the receivers those of the configuration. One that is there already keeps what it knows. The caller
// holds the mutex, as for all that follow.
func (m *Manager) setReceivers(cfgs []*receiver.Config, notifiers []sdk.Notifier) {
	before := m.receivers
	m.receivers = nil
	for i, cfg := range cfgs {
		at := slices.IndexFunc(before, func(r *running) bool { return r.name == cfg.Name })
		if at >= 0 {
			before[at].Set(cfg, notifiers[i])
			m.receivers = append(m.receivers, before[at])
			before = slices.Delete(slices.Clone(before), at, at+1)
			continue
		}
		r := &running{name: cfg.Name, Receiver: receiver.New(receiver.Options{
			Dir: filepath.Join(m.opts.Dir, cfg.Name), Capacity: m.opts.QueueCapacity, ExternalURL: m.opts.ExternalURL,
			Metrics: m.receiverMetrics, Log: m.opts.Log.With("receiver", cfg.Name),
		}, cfg, notifiers[i])}
		m.receiverMetrics.Start(cfg.Name)
		m.receivers = append(m.receivers, r)
		m.startReceiver(r)
	}
	for _, r := range before {
		m.removeReceiver(r)
	}
}

// startReceiver has a receiver run, if the manager does.
func (m *Manager) startReceiver(r *running) {
	if m.spawnReceiver != nil && r.stop == nil {
		m.spawnReceiver(r)
	}
}

// removeReceiver ends a receiver that is no longer configured, and waits for it: its folder, which another one of the same
// name would use, is free then.
func (m *Manager) removeReceiver(r *running) {
	if r.stop != nil {
		r.stop(receiver.ErrRemoved)
		<-r.done
	}
	if err := r.Remove(); err != nil {
		m.opts.Log.Error("folder of a receiver that is no longer configured cannot be removed", "receiver", r.name, "err", err)
	}
	m.receiverMetrics.Stop(r.name)
}

// removeStrangers removes the folders of receivers that were configured in an earlier run.
func (m *Manager) removeStrangers() {
	entries, err := os.ReadDir(m.opts.Dir)
	if err != nil {
		return // There is nothing to remove.
	}
	for _, e := range entries {
		if slices.ContainsFunc(m.receivers, func(r *running) bool { return r.name == e.Name() }) {
			continue
		}
		path := filepath.Join(m.opts.Dir, e.Name())
		m.opts.Log.Warn("removing what a receiver kept that is no longer configured", "receiver", e.Name(), "path", path)
		if err := os.RemoveAll(path); err != nil {
			m.opts.Log.Error("folder of a receiver that is no longer configured cannot be removed", "receiver", e.Name(), "err", err)
		}
	}
}

// sendToReceivers hands alerts to all receivers.
func (m *Manager) sendToReceivers(alerts []Alert) {
	if len(m.receivers) == 0 {
		return
	}
	out := make([]receiver.Alert, len(alerts))
	for i, a := range alerts {
		out[i] = receiver.Alert{Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL}
	}
	for _, r := range m.receivers {
		r.Send(out)
	}
}
