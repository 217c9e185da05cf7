package send

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Why something was dropped before it was sent. Upstream has the first four.
const (
	tooOld        = "too_old"
	droppedSeries = "dropped_series"
	unknownSeries = "unintentionally_dropped_series"
	noCustom1     = "nhcb_in_rw1_not_supported"
	deletedFirst  = "deleted_from_log_before_read"
)

// metrics have upstream's names and labels.
type metrics struct {
	in               [kinds]prometheus.Counter
	highest          atomic.Int64 // milliseconds
	sent, failed     [kinds]*prometheus.CounterVec
	retried, dropped [kinds]*prometheus.CounterVec
	pending          [kinds]*prometheus.GaugeVec

	metadata, metadataFailed, metadataRetried, metadataBytes *prometheus.CounterVec

	bytes, enqueueRetries                         *prometheus.CounterVec
	batchDuration                                 *prometheus.HistogramVec
	highestRead, highestSent                      *prometheus.GaugeVec
	capacity, maxSamples                          *prometheus.GaugeVec
	shards, minShards, maxShards, desiredShards   *prometheus.GaugeVec
	recordsRead, decodeFailures, skipped, tooSoon *prometheus.CounterVec
	segment                                       *prometheus.GaugeVec

	mu sync.Mutex
	// users counts the queues with the same name and URL, consumers those with the same name.
	users     map[[2]string]int
	consumers map[string]int
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	const prefix = "prometheus_remote_storage_"
	m := &metrics{users: map[[2]string]int{}, consumers: map[string]int{}}
	var all []prometheus.Collector
	keep := func(c prometheus.Collector) { all = append(all, c) }
	byQueue := []string{"remote_name", "url"}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, append(more, byQueue...))
		keep(v)
		return v
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, byQueue)
		keep(v)
		return v
	}
	for k, name := range [kinds]string{"samples", "histograms", "exemplars"} {
		total := prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name + "_in_total", Help: inHelp[k]})
		keep(total)
		m.in[k] = total
		m.sent[k] = counter(name+"_total", "Total number of "+name+" sent to remote storage.")
		m.failed[k] = counter(name+"_failed_total", "Total number of "+name+" which failed on send to remote storage, non-recoverable errors.")
		m.retried[k] = counter(name+"_retried_total", "Total number of "+name+" which failed on send to remote storage but were retried because the send error was recoverable.")
		m.dropped[k] = counter(name+"_dropped_total", "Total number of "+name+" which were dropped after being read from the WAL before being sent via remote write, "+
			"either via relabelling, due to being too old or unintentionally because of an unknown reference ID.", "reason")
		m.pending[k] = gauge(name+"_pending", "The number of "+name+" pending in the queues shards to be sent to the remote storage.")
	}
	m.metadata = counter("metadata_total", "Total number of metadata entries sent to remote storage.")
	m.metadataFailed = counter("metadata_failed_total", "Total number of metadata entries which failed on send to remote storage, non-recoverable errors.")
	m.metadataRetried = counter("metadata_retried_total", "Total number of metadata entries which failed on send to remote storage but were retried because the send error was recoverable.")
	m.metadataBytes = counter("metadata_bytes_total", "The total number of bytes of metadata sent by the queue after compression.")
	m.bytes = counter("bytes_total", "The total number of bytes of data (not metadata) sent by the queue after compression. "+
		"Note that when exemplars over remote write is enabled the exemplars included in a remote write request count towards this metric.")
	m.enqueueRetries = counter("enqueue_retries_total", "Total number of times enqueue has failed because a shards queue was full.")
	m.highestRead = gauge("queue_highest_timestamp_seconds", "Highest timestamp that was enqueued, in seconds since epoch. Initialized to 0 when no data has been received yet.")
	m.highestSent = gauge("queue_highest_sent_timestamp_seconds", "Highest timestamp successfully sent by this queue, in seconds since epoch. Initialized to 0 when no data has been sent yet.")
	m.capacity = gauge("shard_capacity", "The capacity of each shard of the queue used for parallel sending to the remote storage.")
	m.maxSamples = gauge("max_samples_per_send", "The maximum number of samples to be sent, in a single request, to the remote storage. "+
		"Note that, when sending of exemplars over remote write is enabled, exemplars count towards this limit.")
	m.shards = gauge("shards", "The number of shards used for parallel sending to the remote storage.")
	m.minShards = gauge("shards_min", "The minimum number of shards that the queue is allowed to run.")
	m.maxShards = gauge("shards_max", "The maximum number of shards that the queue is allowed to run.")
	m.desiredShards = gauge("shards_desired", "The number of shards that the queues shard calculation wants to run based on the rate of samples in vs. samples out.")
	m.batchDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: prefix + "sent_batch_duration_seconds", Help: "Duration of send calls to the remote storage.",
		Buckets:                     append(append([]float64(nil), prometheus.DefBuckets...), 25, 60, 120, 300),
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}, byQueue)
	keep(m.batchDuration)
	keep(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: prefix + "highest_timestamp_in_seconds",
		Help: "Highest timestamp that has come into the remote storage via the Appender interface, in seconds since epoch. Initialized to 0 when no data has been received yet. " +
			"Deprecated, check prometheus_remote_storage_queue_highest_timestamp_seconds which is more accurate.",
	}, func() float64 { return float64(m.highest.Load() / 1000) }))
	keep(prometheus.NewCounter(prometheus.CounterOpts{
		Name: prefix + "string_interner_zero_reference_releases_total", Help: "The number of times release has been called for strings that are not interned.",
	}))
	m.watch(keep)
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of remote write: %w", err)
		}
	}
	return m, nil
}

var inHelp = [kinds]string{ //nolint:gochecknoglobals // constant table
	"Samples in to remote storage, compare to samples out for queue managers.",
	"HistogramSamples in to remote storage, compare to histograms out for queue managers.",
	"Exemplars in to remote storage, compare to exemplars out for queue managers.",
}

// watch makes the metrics of those who follow the log.
func (m *metrics) watch(keep func(prometheus.Collector)) {
	const prefix = "prometheus_wal_watcher_"
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, append([]string{"consumer"}, more...))
		keep(v)
		return v
	}
	m.recordsRead = counter("records_read_total", "Number of records read by the WAL watcher from the WAL.", "type")
	m.decodeFailures = counter("record_decode_failures_total", "Number of records read by the WAL watcher that resulted in an error when decoding.")
	m.tooSoon = counter("samples_sent_pre_tailing_total", "Number of sample records read by the WAL watcher and sent to remote write during replay of existing WAL.")
	m.skipped = counter("notifications_skipped_total", "The number of WAL write notifications that the Watcher has skipped due to already being in a WAL read routine.")
	m.segment = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + "current_segment", Help: "Current segment the WAL watcher is reading records from."}, []string{"consumer"})
	keep(m.segment)
}

// queueMetrics are those of one queue.
type queueMetrics struct {
	all       *metrics
	name, url string

	sent, failed, retried [kinds]prometheus.Counter
	pending               [kinds]prometheus.Gauge

	metadata, metadataFailed, metadataRetried, metadataBytes prometheus.Counter
	bytes, enqueueRetries                                    prometheus.Counter
	batchDuration                                            prometheus.Observer
	highestRead, highestSent                                 highest
	shards, desiredShards                                    prometheus.Gauge
	decodeFailures, skipped                                  prometheus.Counter
	segment                                                  prometheus.Gauge
}

// highest is a gauge of the latest time, in whole seconds.
type highest struct {
	mu     sync.Mutex
	millis int64
	gauge  prometheus.Gauge
}

func (h *highest) set(millis int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if millis > h.millis {
		h.millis = millis
		h.gauge.Set(float64(millis / 1000))
	}
}

func (h *highest) get() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.millis
}

// acquire returns the metrics of a queue, until release.
func (m *metrics) acquire(name, url string, cfg *QueueConfig) *queueMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users[[2]string{name, url}]++
	m.consumers[name]++
	q := &queueMetrics{all: m, name: name, url: url}
	for k := range kinds {
		q.sent[k], q.failed[k], q.retried[k] = m.sent[k].WithLabelValues(name, url), m.failed[k].WithLabelValues(name, url), m.retried[k].WithLabelValues(name, url)
		q.pending[k] = m.pending[k].WithLabelValues(name, url)
	}
	q.metadata, q.metadataFailed = m.metadata.WithLabelValues(name, url), m.metadataFailed.WithLabelValues(name, url)
	q.metadataRetried, q.metadataBytes = m.metadataRetried.WithLabelValues(name, url), m.metadataBytes.WithLabelValues(name, url)
	q.bytes, q.enqueueRetries = m.bytes.WithLabelValues(name, url), m.enqueueRetries.WithLabelValues(name, url)
	q.batchDuration = m.batchDuration.WithLabelValues(name, url)
	q.highestRead.gauge, q.highestSent.gauge = m.highestRead.WithLabelValues(name, url), m.highestSent.WithLabelValues(name, url)
	q.shards, q.desiredShards = m.shards.WithLabelValues(name, url), m.desiredShards.WithLabelValues(name, url)
	m.capacity.WithLabelValues(name, url).Set(float64(cfg.Capacity))
	m.maxSamples.WithLabelValues(name, url).Set(float64(cfg.MaxSamplesPerSend))
	m.minShards.WithLabelValues(name, url).Set(float64(cfg.MinShards))
	m.maxShards.WithLabelValues(name, url).Set(float64(cfg.MaxShards))
	q.decodeFailures, q.skipped = m.decodeFailures.WithLabelValues(name), m.skipped.WithLabelValues(name)
	q.segment = m.segment.WithLabelValues(name)
	m.tooSoon.WithLabelValues(name)
	return q
}

// dropped counts what is not sent.
func (q *queueMetrics) dropped(k kind, reason string, n int) {
	if n > 0 {
		q.all.dropped[k].WithLabelValues(reason, q.name, q.url).Add(float64(n))
	}
}

// release forgets the metrics when no queue has their name and URL any more.
func (q *queueMetrics) release() {
	m := q.all
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.consumers[q.name]--; m.consumers[q.name] == 0 {
		delete(m.consumers, q.name)
		consumer := prometheus.Labels{"consumer": q.name}
		for _, v := range []*prometheus.CounterVec{m.recordsRead, m.decodeFailures, m.tooSoon, m.skipped} {
			v.DeletePartialMatch(consumer)
		}
		m.segment.DeletePartialMatch(consumer)
	}
	key := [2]string{q.name, q.url}
	if m.users[key]--; m.users[key] > 0 {
		return
	}
	delete(m.users, key)
	queue := prometheus.Labels{"remote_name": q.name, "url": q.url}
	counters := []*prometheus.CounterVec{m.metadata, m.metadataFailed, m.metadataRetried, m.metadataBytes, m.bytes, m.enqueueRetries}
	gauges := []*prometheus.GaugeVec{m.highestRead, m.highestSent, m.capacity, m.maxSamples, m.shards, m.minShards, m.maxShards, m.desiredShards}
	for k := range kinds {
		counters = append(counters, m.sent[k], m.failed[k], m.retried[k], m.dropped[k])
		gauges = append(gauges, m.pending[k])
	}
	for _, v := range counters {
		v.DeletePartialMatch(queue)
	}
	for _, v := range gauges {
		v.DeletePartialMatch(queue)
	}
	m.batchDuration.DeletePartialMatch(queue)
}
