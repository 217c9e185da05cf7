package rules

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are upstream's.
type metrics struct {
	ruleDuration, groupDuration                         prometheus.Observer
	evaluations, failures, iterations, missed           *prometheus.CounterVec
	interval, lastEvaluation, lastDuration, lastRuleSum *prometheus.GaugeVec
	lastRestore, rules, samples                         *prometheus.GaugeVec
	expansions, expansionFailures                       prometheus.Counter
}

// both observes in a summary and in a histogram, as upstream does while it moves from one to the other.
type both struct{ summary, histogram prometheus.Observer }

// Observe records a value.
func (b both) Observe(v float64) {
	b.summary.Observe(v)
	b.histogram.Observe(v)
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	var errs []error
	add := func(c prometheus.Collector) {
		if reg != nil {
			errs = append(errs, reg.Register(c))
		}
	}
	counter := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "prometheus_rule_" + name, Help: help}, []string{"rule_group"})
		add(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "prometheus_rule_group_" + name, Help: help}, []string{"rule_group"})
		add(g)
		return g
	}
	durations := func(name, help string, objectives map[float64]float64) prometheus.Observer {
		s := prometheus.NewSummary(prometheus.SummaryOpts{Name: "prometheus_rule_" + name + "_seconds", Help: help, Objectives: objectives})
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "prometheus_rule_" + name + "_histogram_seconds", Help: help, Buckets: []float64{.01, .1, 1, 10},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		})
		add(s)
		add(h)
		return both{s, h}
	}
	texts := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "prometheus_template_text_" + name, Help: help})
		add(c)
		return c
	}
	m := &metrics{
		ruleDuration: durations("evaluation_duration", "The duration for a rule to execute.",
			map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001}),
		groupDuration: durations("group_duration", "The duration of rule group evaluations.",
			map[float64]float64{0.01: 0.001, 0.05: 0.005, 0.5: 0.05, 0.9: 0.01, 0.99: 0.001}),
		evaluations:    counter("evaluations_total", "The total number of rule evaluations."),
		failures:       counter("evaluation_failures_total", "The total number of rule evaluation failures."),
		iterations:     counter("group_iterations_total", "The total number of scheduled rule group evaluations, whether executed or missed."),
		missed:         counter("group_iterations_missed_total", "The total number of rule group evaluations missed due to slow rule group evaluation."),
		interval:       gauge("interval_seconds", "The interval of a rule group."),
		lastEvaluation: gauge("last_evaluation_timestamp_seconds", "The timestamp of the last rule group evaluation in seconds."),
		lastDuration:   gauge("last_duration_seconds", "The duration of the last rule group evaluation."),
		lastRuleSum:    gauge("last_rule_duration_sum_seconds", "The sum of time in seconds it took to evaluate each rule in the group regardless of concurrency. This should be higher than the group duration if rules are evaluated concurrently."),
		lastRestore:    gauge("last_restore_duration_seconds", "The duration of the last alert rules alerts restoration using the `ALERTS_FOR_STATE` series."),
		rules:          gauge("rules", "The number of rules."),
		samples:        gauge("last_evaluation_samples", "The number of samples returned during the last rule group evaluation."),

		expansions:        texts("expansions_total", "The total number of template text expansions."),
		expansionFailures: texts("expansion_failures_total", "The total number of template text expansion failures."),
	}
	return m, errors.Join(errs...)
}

// perGroup returns the metrics that have a series for each group.
func (m *metrics) perGroup() (counters []*prometheus.CounterVec, gauges []*prometheus.GaugeVec) {
	return []*prometheus.CounterVec{m.evaluations, m.failures, m.iterations, m.missed},
		[]*prometheus.GaugeVec{m.interval, m.lastEvaluation, m.lastDuration, m.lastRuleSum, m.lastRestore, m.rules, m.samples}
}

// show makes the series of a group.
func (m *metrics) show(g *Group) {
	counters, gauges := m.perGroup()
	for _, c := range counters {
		c.WithLabelValues(g.key)
	}
	for _, v := range gauges {
		v.WithLabelValues(g.key)
	}
	m.interval.WithLabelValues(g.key).Set(g.interval.Seconds())
	m.rules.WithLabelValues(g.key).Set(float64(len(g.rules)))
}

// forget drops the series of a group.
func (m *metrics) forget(key string) {
	counters, gauges := m.perGroup()
	for _, c := range counters {
		c.DeleteLabelValues(key)
	}
	for _, v := range gauges {
		v.DeleteLabelValues(key)
	}
}
