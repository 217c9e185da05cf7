package receive

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are counted under upstream's names.
type metrics struct {
	invalidLabels, withoutMetadata prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		invalidLabels: counter("prometheus_api_remote_write_invalid_labels_samples_total",
			"The total number of received remote write samples and histogram samples which were rejected due to invalid labels."),
		withoutMetadata: counter("prometheus_api_remote_write_without_metadata_appended_samples_total",
			"The total number of received remote write samples (and histogram samples) which were ingested without corresponding metadata."),
	}
	for _, c := range []prometheus.Collector{m.invalidLabels, m.withoutMetadata} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the remote write receiver: %w", err)
		}
	}
	return m, nil
}

// sparingLog tells of requests that were refused, and of series that were left out, now and then: a client that sends
// what cannot be taken does so many times a second.
type sparingLog struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	last    time.Time
	omitted int
}

// quiet is how long nothing is said after a message.
const quiet = 10 * time.Second

// due reports whether it is time for a message, and how many were left out before it.
func (l *sparingLog) due() (omitted int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !l.last.IsZero() && now.Sub(l.last) < quiet {
		l.omitted++
		return 0, false
	}
	omitted, l.omitted, l.last = l.omitted, 0, now
	return omitted, true
}

func (l *sparingLog) refused(status int, err error) {
	const message = "remote write request refused"
	omitted, ok := l.due()
	switch {
	case !ok:
	case status < http.StatusInternalServerError:
		l.log.Warn(message, "status", status, "err", err, "messages_left_out", omitted)
	default:
		l.log.Error(message, "status", status, "err", err, "messages_left_out", omitted)
	}
}

func (l *sparingLog) invalidLabels(series string) {
	if omitted, ok := l.due(); ok {
		l.log.Warn("series of a remote write request left out: invalid metric name or labels", "got", series, "messages_left_out", omitted)
	}
}
