package notify

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	httpconfig "github.com/prometheus/common/config"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/host/notify/receiver"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/relabel"
	"github.com/narthex-io/narthex/sdk"
)

// Options are what a [Manager] needs. Log and Registerer are required; the zero value of the rest means the default,
// except for Drain.
type Options struct {
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// QueueCapacity bounds the alerts that wait for one Alertmanager, 10,000 by default; BatchSize those of one request,
	// 256 by default.
	QueueCapacity, BatchSize int
	// Drain has what is waiting delivered before Run returns.
	Drain bool
	// Dir is the folder in which receivers keep what they have not delivered yet; required if any are configured.
	Dir string
	// ExternalURL is where the server is reached, for those who are told about alerts.
	ExternalURL func() string
	// UserAgent is sent with each request.
	UserAgent string
	// NewClient replaces how HTTP clients are made.
	NewClient func(httpclient.Config) (*http.Client, error)
	// Signers finds the plugins behind sections of auth plugins; required if a config has one.
	Signers httpclient.Signers
}

// Manager sends alerts to the Alertmanagers and the receivers of a configuration. [Manager.Prepare] and [Change.Apply] exchange that,
// before or while [Manager.Run] does the work. Its methods may be called at the same time.
type Manager struct {
	opts            Options
	metrics         *metrics
	receiverMetrics *receiver.Metrics

	mu sync.RWMutex
	// external and relabel are applied to all alerts.
	external labels.Labels
	relabel  []*relabel.Config
	sets     []*set
	// receivers are those of notifier plugins.
	receivers []*running
	// spawn runs a sender in a goroutine of its own, spawnReceiver a receiver; nil while the manager is not running.
	spawn         func(*sender)
	spawnReceiver func(*running)
}

// New returns a manager that knows no Alertmanagers.
func New(opts Options) (*Manager, error) {
	if opts.Log == nil || opts.Registerer == nil {
		return nil, errors.New("notify: options Log and Registerer are required")
	}
	if opts.QueueCapacity <= 0 {
		opts.QueueCapacity = 10_000
	}
	if opts.BatchSize <= 0 {
		opts.BatchSize = 256
	}
	if opts.NewClient == nil {
		opts.NewClient = func(cfg httpclient.Config) (*http.Client, error) {
			return httpclient.New(cfg, httpclient.Options{Name: "alertmanager", UserAgent: opts.UserAgent, Signers: opts.Signers})
		}
	}
	m := &Manager{opts: opts}
	var err error
	if m.metrics, err = newMetrics(opts.Registerer, m); err != nil {
		return nil, err
	}
	m.receiverMetrics, err = receiver.NewMetrics(opts.Registerer)
	return m, err
}

// JobName returns the name under which the discovery manager runs the discoveries of an entry of alertmanagers.
func JobName(index int) string { return "config-" + strconv.Itoa(index) }

// Change is a new configuration that was found to be good. Exactly one of its methods is to be called.
type Change struct {
	m        *Manager
	external labels.Labels
	relabel  []*relabel.Config
	sets     []*set
	// receivers are the configured ones, notifiers the plugins behind them.
	receivers []*receiver.Config
	notifiers []sdk.Notifier
	// replaced has, for each of the sets, the one whose senders it takes over, or nil.
	replaced []*set
	// clients are those that were made for the change.
	clients []*http.Client
}

// Prepare makes what a new, complete configuration needs and changes nothing. external are the labels that alerts get.
// notifiers are the plugins behind the receivers. Only one change may be open at a time. Errors are of package strictyaml, with paths below the section alerting.
func (m *Manager) Prepare(cfg *Config, external labels.Labels, notifiers []sdk.Notifier) (*Change, error) {
	c := &Change{m: m, external: external, relabel: cfg.AlertRelabelConfigs, receivers: cfg.Receivers, notifiers: notifiers}
	m.mu.RLock()
	c.replaced = pair(cfg.Alertmanagers, m.sets)
	m.mu.RUnlock()
	var errs []error
	for i, am := range cfg.Alertmanagers {
		s := &set{cfg: am}
		old := c.replaced[i]
		if old != nil && reflect.DeepEqual(old.cfg.HTTPClient, am.HTTPClient) {
			s.client = old.client
		} else if client, err := m.opts.NewClient(am.HTTPClient); err != nil {
			if am.HTTPClient.TLSConfig != (httpconfig.TLSConfig{}) {
				err = strictyaml.At("tls_config", err) // The other fields have been checked with the file.
			}
			errs = append(errs, strictyaml.At(strictyaml.Index("alertmanagers", i), err))
		} else {
			s.client = client
			c.clients = append(c.clients, client)
		}
		c.sets = append(c.sets, s)
	}
	if len(errs) > 0 {
		c.Discard()
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// pair finds for each entry the set that it replaces: an equal one, or else the one in its place.
func pair(cfgs []*AlertmanagerConfig, sets []*set) []*set {
	out := make([]*set, len(cfgs))
	taken := map[*set]bool{}
	for i, cfg := range cfgs {
		for _, s := range sets {
			if out[i] == nil && !taken[s] && s.cfg.same(cfg) && sameDiscovery(&s.cfg.Discovery, &cfg.Discovery) {
				out[i], taken[s] = s, true
			}
		}
	}
	for i := range cfgs {
		if out[i] == nil && i < len(sets) && !taken[sets[i]] {
			out[i], taken[sets[i]] = sets[i], true
		}
	}
	return out
}

// Discard drops the change.
func (c *Change) Discard() {
	for _, client := range c.clients {
		client.CloseIdleConnections()
	}
}

// Apply makes the configuration the current one. Alertmanagers that it still has keep their queues; what waits for the
// others is delivered once more, if possible, in the background of Run.
func (c *Change) Apply() {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.sets
	m.external, m.relabel, m.sets = c.external, c.relabel, c.sets
	used := map[*http.Client]bool{}
	for i, s := range m.sets {
		used[s.client] = true
		if from := c.replaced[i]; from != nil {
			s.adopt(from)
			m.sync(s, s.groups)
		} else {
			m.sync(s, s.cfg.Discovery.Groups()) // What is static need not wait for discovery.
		}
	}
	for _, s := range old {
		for _, one := range s.senders {
			m.retire(one)
		}
		if !used[s.client] {
			s.client.CloseIdleConnections()
		}
	}
	m.setReceivers(c.receivers, c.notifiers)
}

// start has a sender run, if the manager does and the sender does not yet.
func (m *Manager) start(s *sender) {
	if m.spawn != nil && s.stop == nil {
		m.spawn(s)
	}
}

// retire ends a sender.
func (m *Manager) retire(s *sender) {
	if s.stop == nil {
		m.metrics.release(s.url) // It has never run.
		return
	}
	s.stop()
}

// Run delivers alerts until ctx is done, to the Alertmanagers that are found in the groups which come from updates, by
// [JobName]. With the option Drain it then delivers what is waiting, for up to 20 s and as long as no request fails.
func (m *Manager) Run(ctx context.Context, updates <-chan map[string][]sdk.Group) error {
	var senders sync.WaitGroup
	m.mu.Lock()
	m.spawn = func(s *sender) {
		var own context.Context
		own, s.stop = context.WithCancel(ctx)
		senders.Go(func() {
			s.run(own)
			s.stop()
			m.metrics.release(s.url)
		})
	}
	m.spawnReceiver = func(r *running) {
		var own context.Context
		own, r.stop = context.WithCancelCause(ctx)
		r.done = make(chan struct{})
		senders.Go(func() {
			defer close(r.done)
			r.Run(own)
			r.stop(nil)
		})
	}
	for _, s := range m.sets {
		for _, one := range s.senders {
			m.start(one)
		}
	}
	m.removeStrangers()
	for _, r := range m.receivers {
		m.startReceiver(r)
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.spawn, m.spawnReceiver = nil, nil
		m.mu.Unlock()
		senders.Wait()
		m.closeClients()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case groups, ok := <-updates:
			if !ok {
				updates = nil
				continue
			}
			m.update(groups)
		}
	}
}

func (m *Manager) closeClients() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sets {
		s.client.CloseIdleConnections()
	}
}

// update takes over what was discovered; entries whose groups are the same, or not mentioned, stay as they are.
func (m *Manager) update(groups map[string][]sdk.Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range m.sets {
		if found, ok := groups[JobName(i)]; ok && !slices.EqualFunc(s.groups, found, sameGroup) {
			m.sync(s, found)
		}
	}
}

func sameGroup(a, b sdk.Group) bool {
	return slices.Equal(a.Targets, b.Targets) && maps.Equal(a.Labels, b.Labels)
}

// Send queues alerts for each Alertmanager and each receiver. It never waits for the network. A later state of an alert takes the place of
// an earlier one that could not be delivered yet.
func (m *Manager) Send(_ context.Context, alerts ...Alert) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	alerts = relabelAlerts(alerts, m.external, m.relabel)
	if len(alerts) == 0 {
		return
	}
	for _, s := range m.sets {
		s.send(alerts)
	}
	m.sendToReceivers(alerts)
}

// Alertmanagers returns the URLs that alerts are sent to, in order of their discovery.
func (m *Manager) Alertmanagers() (urls []string) {
	m.eachSender(func(s *sender) { urls = append(urls, s.url) })
	return urls
}

// DroppedAlertmanagers returns the URLs of the Alertmanagers that relabelling dropped.
func (m *Manager) DroppedAlertmanagers() (urls []string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, s := range m.sets {
		urls = append(urls, s.dropped...)
	}
	return urls
}

func (m *Manager) eachSender(f func(*sender)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, s := range m.sets {
		for _, one := range s.senders {
			f(one)
		}
	}
}
