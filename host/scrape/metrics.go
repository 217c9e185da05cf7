package scrape

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
)

type metrics struct {
	intervalLength    *prometheus.SummaryVec
	intervalHistogram *prometheus.HistogramVec
	duration          prometheus.Histogram

	exceededSampleLimit, exceededBodySizeLimit prometheus.Counter
	duplicate, outOfOrder, outOfBounds         prometheus.Counter
	exemplarOutOfOrder, cacheFlushed           prometheus.Counter
	exceededBucketLimit                        prometheus.Counter
	pools, poolsFailed, reloads, reloadsFailed prometheus.Counter
	exceededTargetLimit, exceededLabelLimits   prometheus.Counter
	syncFailed, syncs                          *prometheus.CounterVec
	targets, targetLimit                       *prometheus.GaugeVec
	syncLength, reloadLength                   *prometheus.SummaryVec
	syncHistogram                              *prometheus.HistogramVec
}

// quantiles are those of upstream's summaries, with their errors.
func quantiles() map[float64]float64 {
	return map[float64]float64{0.01: 0.001, 0.05: 0.005, 0.5: 0.05, 0.90: 0.01, 0.99: 0.001}
}

func newMetrics(reg prometheus.Registerer, m *Manager) (*metrics, error) {
	var all []prometheus.Collector
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		all = append(all, c)
		return c
	}
	counterVec := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"scrape_job"})
		all = append(all, c)
		return c
	}
	gaugeVec := func(name, help string) *prometheus.GaugeVec {
		c := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"scrape_job"})
		all = append(all, c)
		return c
	}
	summaryVec := func(name, help, label string) *prometheus.SummaryVec {
		c := prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: name, Help: help, Objectives: quantiles()}, []string{label})
		all = append(all, c)
		return c
	}
	histogramVec := func(name, help, label string) *prometheus.HistogramVec {
		c := prometheus.NewHistogramVec(histogramOpts(name, help), []string{label})
		all = append(all, c)
		return c
	}
	out := &metrics{
		intervalLength:        summaryVec("prometheus_target_interval_length_seconds", "Actual intervals between scrapes.", "interval"),
		intervalHistogram:     histogramVec("prometheus_target_interval_length_histogram_seconds", "Actual intervals between scrapes.", "interval"),
		exceededSampleLimit:   counter("prometheus_target_scrapes_exceeded_sample_limit_total", "Total number of scrapes that hit the sample limit and were rejected."),
		exceededBodySizeLimit: counter("prometheus_target_scrapes_exceeded_body_size_limit_total", "Total number of scrapes that hit the body size limit"),
		exceededBucketLimit:   counter("prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total", "Total number of scrapes that hit the native histogram bucket limit and were rejected."),
		duplicate:             counter("prometheus_target_scrapes_sample_duplicate_timestamp_total", "Total number of samples rejected due to duplicate timestamps but different values."),
		outOfOrder:            counter("prometheus_target_scrapes_sample_out_of_order_total", "Total number of samples rejected due to not being out of the expected order."),
		outOfBounds:           counter("prometheus_target_scrapes_sample_out_of_bounds_total", "Total number of samples rejected due to timestamp falling outside of the time bounds."),
		exemplarOutOfOrder:    counter("prometheus_target_scrapes_exemplar_out_of_order_total", "Total number of exemplar rejected due to not being out of the expected order."),
		cacheFlushed:          counter("prometheus_target_scrapes_cache_flush_forced_total", "How many times a scrape cache was flushed due to getting big while scrapes are failing."),
		pools:                 counter("prometheus_target_scrape_pools_total", "Total number of scrape pool creation attempts."),
		poolsFailed:           counter("prometheus_target_scrape_pools_failed_total", "Total number of scrape pool creations that failed."),
		reloads:               counter("prometheus_target_scrape_pool_reloads_total", "Total number of scrape pool reloads."),
		reloadsFailed:         counter("prometheus_target_scrape_pool_reloads_failed_total", "Total number of failed scrape pool reloads."),
		exceededTargetLimit:   counter("prometheus_target_scrape_pool_exceeded_target_limit_total", "Total number of times scrape pools hit the target limit, during sync or config reload."),
		exceededLabelLimits:   counter("prometheus_target_scrape_pool_exceeded_label_limits_total", "Total number of times scrape pools hit the label limits, during sync or config reload."),
		syncFailed:            counterVec("prometheus_target_sync_failed_total", "Total number of target sync failures."),
		syncs:                 counterVec("prometheus_target_scrape_pool_sync_total", "Total number of syncs that were executed on a scrape pool."),
		targets:               gaugeVec("prometheus_target_scrape_pool_targets", "Current number of targets in this scrape pool."),
		targetLimit:           gaugeVec("prometheus_target_scrape_pool_target_limit", "Maximum number of targets allowed in this scrape pool."),
		syncLength:            summaryVec("prometheus_target_sync_length_seconds", "Actual interval to sync the scrape pool.", "scrape_job"),
		syncHistogram:         histogramVec("prometheus_target_sync_length_histogram_seconds", "Actual interval to sync the scrape pool.", "scrape_job"),
		reloadLength:          summaryVec("prometheus_target_reload_length_seconds", "Actual interval to reload the scrape pool with a given configuration.", "interval"),
		duration:              prometheus.NewHistogram(histogramOpts("prometheus_target_scrape_duration_seconds", "Total duration of the scrape from start to commit completion in seconds.")),
	}
	all = append(all, out.duration, newMetadataCollector(m))
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register scrape metrics: %w", err)
		}
	}
	return out, nil
}

func histogramOpts(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets:                         []float64{.01, .1, 1, 10},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// pace observes the times between scrapes that should be an interval apart. It is made once for many of them, because it formats the
// interval.
type pace struct {
	interval          time.Duration
	length, histogram prometheus.Observer
}

func (m *metrics) pace(interval time.Duration) pace {
	name := model.Duration(interval).String()
	return pace{interval, m.intervalLength.WithLabelValues(name), m.intervalHistogram.WithLabelValues(name)}
}

func (p *pace) observe(actual time.Duration) {
	p.length.Observe(actual.Seconds())
	p.histogram.Observe(actual.Seconds())
}

// synced notes that the targets of a job were made.
func (m *metrics) synced(job string, targets, limit int, took time.Duration) {
	m.syncs.WithLabelValues(job).Inc()
	m.targets.WithLabelValues(job).Set(float64(targets))
	m.targetLimit.WithLabelValues(job).Set(float64(limit))
	m.syncLength.WithLabelValues(job).Observe(took.Seconds())
	m.syncHistogram.WithLabelValues(job).Observe(took.Seconds())
}

// forgetPool drops the series of a job that is gone.
func (m *metrics) forgetPool(job string) {
	for _, v := range []interface{ DeleteLabelValues(...string) bool }{
		m.syncFailed, m.syncs, m.targets, m.targetLimit, m.syncLength, m.syncHistogram,
	} {
		v.DeleteLabelValues(job)
	}
}

// metadataCollector counts what the metadata of all targets takes when it is asked.
type metadataCollector struct {
	m                       *Manager
	entries, bytes, symbols *prometheus.Desc
}

func newMetadataCollector(m *Manager) *metadataCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"scrape_job"}, nil)
	}
	return &metadataCollector{
		m:       m,
		entries: desc("prometheus_target_metadata_cache_entries", "Total number of metric metadata entries in the cache"),
		bytes:   desc("prometheus_target_metadata_cache_bytes", "The number of bytes that are currently used for storing metric metadata in the cache"),
		symbols: desc("prometheus_target_scrape_pool_symboltable_items", "Current number of symbols in table for this scrape pool."),
	}
}

// Describe implements prometheus.Collector.
func (c *metadataCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.entries
	ch <- c.bytes
	ch <- c.symbols
}

// Collect implements prometheus.Collector.
func (c *metadataCollector) Collect(ch chan<- prometheus.Metric) {
	c.m.each(func(p *pool) {
		entries, bytes := 0, 0
		for _, l := range p.active {
			n, b := l.meta.size()
			entries, bytes = entries+n, bytes+b
		}
		ch <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(entries), p.name)
		ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(bytes), p.name)
		// Labels are not kept in a table of the pool's own, as they are not in upstream's usual build.
		ch <- prometheus.MustNewConstMetric(c.symbols, prometheus.GaugeValue, 0, p.name)
	})
}
