package promql

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the engine; names and labels are upstream's.
type metrics struct {
	current, concurrentMax prometheus.Gauge
	samples, samplesRead   prometheus.Counter
	logEnabled             prometheus.Gauge
	logFailures            prometheus.Counter
	duration               *prometheus.SummaryVec
	durationHistogram      *prometheus.HistogramVec
	// slices holds duration and durationHistogram for each slice.
	slices map[string][2]prometheus.Observer
}

// The values of the label slice.
const (
	sliceQueue   = "queue_time"
	slicePrepare = "prepare_time"
	sliceEval    = "inner_eval"
	sliceSort    = "result_sort"
)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		current: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prometheus_engine_queries",
			Help: "The current number of queries being executed or waiting.",
		}),
		concurrentMax: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prometheus_engine_queries_concurrent_max",
			Help: "The max number of concurrent queries.",
		}),
		samples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prometheus_engine_query_samples_total",
			Help: "The total number of samples that the steps of all queries looked at; a sample counts once for each window that it is in.",
		}),
		samplesRead: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prometheus_engine_query_samples_read_total",
			Help: "The total number of samples read by all queries; a sample counts in the first window that it is in.",
		}),
		logEnabled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prometheus_engine_query_log_enabled",
			Help: "State of the query log.",
		}),
		logFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prometheus_engine_query_log_failures_total",
			Help: "The number of query log failures.",
		}),
		duration: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name:       "prometheus_engine_query_duration_seconds",
			Help:       "Query timings",
			Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
		}, []string{"slice"}),
		durationHistogram: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "prometheus_engine_query_duration_histogram_seconds",
			Help:    "The duration of various parts of PromQL query execution.",
			Buckets: []float64{.01, .1, 1, 10},
		}, []string{"slice"}),
		slices: map[string][2]prometheus.Observer{},
	}
	for _, slice := range []string{sliceQueue, slicePrepare, sliceEval, sliceSort} {
		m.slices[slice] = [2]prometheus.Observer{m.duration.WithLabelValues(slice), m.durationHistogram.WithLabelValues(slice)}
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.current, m.concurrentMax, m.samples, m.samplesRead, m.logEnabled, m.logFailures, m.duration, m.durationHistogram,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(slice string, d time.Duration) {
	for _, o := range m.slices[slice] {
		o.Observe(d.Seconds())
	}
}

// observeQuery counts what a query did, whether it had a result or not.
func (m *metrics) observeQuery(s *Stats) {
	m.observe(slicePrepare, s.Timings.QueryPreparation)
	m.observe(sliceEval, s.Timings.InnerEval)
	m.observe(sliceSort, s.Timings.ResultSort)
	m.addSamples(s)
}

func (m *metrics) addSamples(s *Stats) {
	m.samples.Add(float64(s.Samples.TotalQueryable))
	m.samplesRead.Add(float64(s.Samples.Read))
}
