package plugin

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/host/plugin/session"
)

// metrics are the catalogue's own; what guests count is in the ledger.
type metrics struct {
	restarts *prometheus.CounterVec
	ends     *prometheus.CounterVec
	limits   *prometheus.CounterVec
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec

	state, memory, updated, guests, processes                             *prometheus.Desc
	received, sent, requests, refused, files, dns, dials, dropped, update *prometheus.Desc
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "narthex_plugin_" + name, Help: help}, append([]string{"plugin"}, labels...))
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("narthex_plugin_"+name, help, append([]string{"plugin"}, labels...), nil)
	}
	return &metrics{
		restarts: counter("restarts_total", "Guests started in place of one that ended."),
		ends:     counter("traps_total", "Guests that ended without being asked to, or did not start, by reason.", "reason"),
		limits:   counter("limits_exceeded_total", "Limits that guests exceeded, by reason, whether that ended them or a call.", "reason"),
		calls:    counter("calls_total", "Calls of exporters and notifiers, by result.", "result"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "narthex_plugin_call_duration_seconds",
			Help:    "Time that calls of exporters and notifiers took.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"plugin"}),
		state:     desc("state", "1 for the state that the plugin is in, 0 for the others.", "state"),
		memory:    desc("memory_bytes", "Memory that the plugin's guests hold."),
		guests:    desc("guests", "Guests of the plugin that run."),
		processes: desc("processes", "Processes of their own in which the plugin's guests run."),
		updated:   desc("last_update_timestamp_seconds", "When the plugin's discoveries last sent an update."),
		received:  desc("received_bytes_total", "Bytes that came from the plugin's guests."),
		sent:      desc("sent_bytes_total", "Bytes that went to the plugin's guests."),
		requests:  desc("http_requests_total", "HTTP requests of the plugin's guests, refused ones included."),
		refused:   desc("refused_requests_total", "Requests of the plugin's guests, of any kind, that were not granted."),
		files:     desc("file_requests_total", "File requests of the plugin's guests, refused ones included."),
		dns:       desc("dns_requests_total", "DNS look-ups of the plugin's guests, refused ones included."),
		dials:     desc("connections_total", "TCP connections of the plugin's guests, failed and refused ones included."),
		dropped:   desc("log_lines_dropped_total", "Log lines of the plugin's guests over their rate."),
		update:    desc("updates_total", "Updates of the plugin's discoveries."),
	}
}

func (m *metrics) collectors(c *Catalogue) []prometheus.Collector {
	return []prometheus.Collector{m.restarts, m.ends, m.limits, m.calls, m.duration, scraped{c}}
}

func (m *metrics) register(r prometheus.Registerer, c *Catalogue) error {
	if r == nil {
		return nil
	}
	for i, col := range m.collectors(c) {
		if err := r.Register(col); err != nil {
			for _, done := range m.collectors(c)[:i] {
				r.Unregister(done)
			}
			return fmt.Errorf("register the metrics of plugins: %w", err)
		}
	}
	return nil
}

func (m *metrics) unregister(r prometheus.Registerer, c *Catalogue) {
	if r == nil {
		return
	}
	for _, col := range m.collectors(c) {
		r.Unregister(col)
	}
}

func (m *metrics) observe(plugin string, took time.Duration, err error) {
	result := "success"
	if err != nil {
		result = "error"
	}
	m.calls.WithLabelValues(plugin, result).Inc()
	m.duration.WithLabelValues(plugin).Observe(took.Seconds())
}

// scraped collects what is known only at the moment of a scrape.
type scraped struct{ c *Catalogue }

// Describe implements prometheus.Collector.
func (s scraped) Describe(out chan<- *prometheus.Desc) {
	m := s.c.metrics
	for _, d := range []*prometheus.Desc{m.state, m.memory, m.guests, m.processes, m.updated, m.received, m.sent, m.requests, m.refused, m.files, m.dns, m.dials, m.dropped, m.update} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s scraped) Collect(out chan<- prometheus.Metric) {
	m := s.c.metrics
	for _, p := range s.c.Plugins() {
		sum := s.c.ledger.sum(p.Name)
		send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, t, v, append([]string{p.Name}, labels...)...)
		}
		for _, state := range []State{StateUnused, StateLoading, StateReady, StateDegraded, StateFailed} {
			v := 0.0
			if state == p.State {
				v = 1
			}
			send(m.state, prometheus.GaugeValue, v, string(state))
		}
		send(m.memory, prometheus.GaugeValue, float64(sum.MemoryBytes))
		guests, processes := s.c.ledger.count(p.Name)
		send(m.guests, prometheus.GaugeValue, float64(guests))
		send(m.processes, prometheus.GaugeValue, float64(processes))
		if !p.LastGroups.IsZero() {
			send(m.updated, prometheus.GaugeValue, float64(p.LastGroups.UnixMilli())/1000)
		}
		for d, v := range map[*prometheus.Desc]uint64{
			m.received: sum.BytesIn, m.sent: sum.BytesOut, m.requests: sum.HTTPRequests,
			m.refused: sum.Refused, m.files: sum.FileRequests, m.dns: sum.DNSRequests, m.dials: sum.Connections,
			m.dropped: sum.LogDropped, m.update: sum.Updates,
		} {
			send(d, prometheus.CounterValue, float64(v))
		}
	}
}

// ledger sums what the guests of each plugin count, over guests that are gone too.
type ledger struct {
	mu   sync.Mutex
	live map[guest]string
	past map[string]session.Stats
	uses map[string]grant.Used // of guests that are gone
}

func newLedger() *ledger {
	return &ledger{live: map[guest]string{}, past: map[string]session.Stats{}, uses: map[string]grant.Used{}}
}

func (l *ledger) add(plugin string, g guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[g] = plugin
}

func (l *ledger) remove(g guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	plugin, ok := l.live[g]
	if !ok {
		return
	}
	delete(l.live, g)
	last := g.Stats()
	last.MemoryBytes = 0
	l.past[plugin] = plus(l.past[plugin], last)
	l.uses[plugin] = l.uses[plugin].Plus(g.Grants().Usage.Used())
}

// used returns what the guests of a plugin used of their grants.
func (l *ledger) used(plugin string) grant.Used {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := l.uses[plugin].Plus(grant.Used{})
	for g, name := range l.live {
		if name == plugin {
			sum = sum.Plus(g.Grants().Usage.Used())
		}
	}
	return sum
}

// count returns how many guests of a plugin run, and in how many processes.
func (l *ledger) count(plugin string) (guests, processes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := map[int]struct{}{}
	for g, name := range l.live {
		if name != plugin {
			continue
		}
		guests++
		if id := g.Process(); id != 0 {
			ids[id] = struct{}{}
		}
	}
	return guests, len(ids)
}

func (l *ledger) sum(plugin string) session.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := l.past[plugin]
	for g, name := range l.live {
		if name == plugin {
			sum = plus(sum, g.Stats())
		}
	}
	return sum
}

func plus(a, b session.Stats) session.Stats {
	a.BytesIn += b.BytesIn
	a.BytesOut += b.BytesOut
	a.HTTPRequests += b.HTTPRequests
	a.FileRequests += b.FileRequests
	a.DNSRequests += b.DNSRequests
	a.Connections += b.Connections
	a.LogDropped += b.LogDropped
	a.Refused += b.Refused
	a.Updates += b.Updates
	a.MemoryBytes += b.MemoryBytes
	return a
}
