package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// minPause and maxPause bound the wait before a request that failed is tried again. It doubles from one to the
	// other, and up to a fifth of it is left to chance, so that servers do not come back in step.
	minPause, maxPause = 100 * time.Millisecond, 30 * time.Second
	// drainTimeout bounds how long alerts are still delivered when the sender is to end.
	drainTimeout = 20 * time.Second
)

// endpoint is how an Alertmanager is spoken to; a reload exchanges it.
type endpoint struct {
	client  *http.Client
	timeout time.Duration
}

// sender delivers alerts to one Alertmanager, from a queue of its own and one request at a time.
type sender struct {
	url       string
	queue     *queue
	end       atomic.Pointer[endpoint]
	batchSize int
	drain     bool
	metrics   *metrics
	log       *slog.Logger
	// stop ends run; it is set before run is called.
	stop context.CancelFunc

	// What follows belongs to run. limit is the size of the next batch: it shrinks while the Alertmanager refuses
	// batches, to tell the bad alerts from the good.
	limit int
	// failures counts the requests that have failed in a row, since the time failing.
	failures int
	failing  time.Time
	pause    time.Duration
}

func newSender(url string, opts Options, m *metrics) *sender {
	return &sender{
		url: url, queue: newQueue(opts.QueueCapacity), batchSize: opts.BatchSize, limit: opts.BatchSize,
		drain: opts.Drain, metrics: m, log: opts.Log.With("alertmanager", url),
	}
}

// add queues alerts. It never waits for the network.
func (s *sender) add(alerts []Alert) {
	replaced, dropped := s.queue.add(alerts)
	s.count(replaced, dropped)
}

// count notes what became of alerts in the queue.
func (s *sender) count(replaced, dropped int) {
	s.metrics.superseded.WithLabelValues(s.url).Add(float64(replaced))
	if dropped > 0 {
		s.metrics.dropped.WithLabelValues(s.url).Add(float64(dropped))
		s.log.Warn("queue of notifications is full, the oldest alerts are dropped", "count", dropped, "capacity", s.queue.capacity)
	}
}

// run delivers until ctx is done, and then, with s.drain, what is left.
func (s *sender) run(ctx context.Context) {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	patience := time.Duration(0)
	if s.drain {
		patience = drainTimeout
	}
	// A request under way goes on when ctx is done, but not for longer than that.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, cut) })()
	for s.await(ctx) {
		s.deliver(requests)
	}
	s.finish(requests)
}

// await waits until the pause is over and there is something to deliver, and reports false if ctx is done before.
func (s *sender) await(ctx context.Context) bool {
	if s.pause > 0 {
		timer := time.NewTimer(s.pause)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
	}
	select {
	case <-ctx.Done():
		return false
	case <-s.queue.wake:
		return ctx.Err() == nil
	}
}

// finish delivers what is left, unless nothing is to be drained, and gives up at the first failure: a server that stops
// cannot wait for an Alertmanager to come back.
func (s *sender) finish(ctx context.Context) {
	for s.drain && ctx.Err() == nil && s.queue.len() > 0 {
		if !s.deliver(ctx) {
			break
		}
	}
	left, expired := s.queue.take(s.queue.len())
	if n := len(left) + len(expired); n > 0 {
		s.metrics.dropped.WithLabelValues(s.url).Add(float64(n))
		s.log.Error("alerts are not delivered to an Alertmanager that is no longer served", "count", n, "drain", s.drain)
	}
}

// deliver sends one batch, and reports whether the Alertmanager answered as one that is up.
func (s *sender) deliver(ctx context.Context) (answered bool) {
	batch, expired := s.queue.take(s.limit)
	if n := len(expired); n > 0 {
		s.metrics.dropped.WithLabelValues(s.url).Add(float64(n))
		s.log.Error("alerts are out of date before they could be delivered, and dropped", "count", n, "first", expired[0].Labels)
	}
	if len(batch) == 0 {
		s.pause = 0
		return true
	}
	begin := time.Now()
	err := s.post(ctx, batch)
	var answer *answerError
	switch {
	case err == nil:
		s.delivered(len(batch), time.Since(begin))
		return true
	case errors.As(err, &answer) && answer.refusal():
		s.refused(batch, err)
		return true
	default:
		s.failed(batch, err)
		return false
	}
}

func (s *sender) delivered(count int, took time.Duration) {
	s.metrics.latencySummary.WithLabelValues(s.url).Observe(took.Seconds())
	s.metrics.latencyHistogram.WithLabelValues(s.url).Observe(took.Seconds())
	s.metrics.sent.WithLabelValues(s.url).Add(float64(count))
	if s.failures > 0 {
		s.log.Info("Alertmanager takes alerts again", "failed_requests", s.failures, "failing_for", time.Since(s.failing).Round(time.Millisecond))
	}
	s.failures, s.pause = 0, 0
	s.limit = min(2*s.limit, s.batchSize)
}

// refused tries a smaller batch next, until the alert is found that is not wanted, and drops that one.
func (s *sender) refused(batch []*queued, err error) {
	s.metrics.errors.WithLabelValues(s.url).Add(float64(len(batch)))
	if len(batch) > 1 {
		s.limit = len(batch) / 2
		s.pause = 0
		s.count(s.queue.giveBack(batch))
		return
	}
	s.metrics.dropped.WithLabelValues(s.url).Inc()
	s.log.Error("Alertmanager refuses an alert, which is dropped", "labels", batch[0].Labels, "err", err)
	s.backOff(err) // In case it refuses everything.
}

// failed puts the batch back, for another try after a pause.
func (s *sender) failed(batch []*queued, err error) {
	s.metrics.errors.WithLabelValues(s.url).Add(float64(len(batch)))
	s.count(s.queue.giveBack(batch))
	s.backOff(err)
	log := s.log.Debug
	if s.failures == 1 {
		log = s.log.Warn
	}
	log("alerts could not be delivered and will be sent again", "count", len(batch), "attempt", s.failures, "pause", s.pause.Round(time.Millisecond), "err", err)
}

// backOff sets the pause before the next request.
func (s *sender) backOff(err error) {
	if s.failures == 0 {
		s.failing = time.Now()
	}
	s.pause = min(minPause<<min(s.failures, 16), maxPause)
	s.pause -= rand.N(s.pause / 5) //nolint:gosec // Chance is enough here.
	s.failures++
	if answer, ok := errors.AsType[*answerError](err); ok {
		s.pause = max(s.pause, min(answer.after, maxPause))
	}
}

// post sends a batch and waits for the answer.
func (s *sender) post(ctx context.Context, batch []*queued) error {
	alerts := make([]Alert, len(batch))
	for i, q := range batch {
		alerts[i] = q.Alert
	}
	body, err := payload(alerts)
	if err != nil {
		return fmt.Errorf("encode alerts: %w", err)
	}
	end := s.end.Load()
	ctx, cancel := context.WithTimeout(ctx, end.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := end.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // What it says only explains the status.
	if resp.StatusCode/100 == 2 && resp.Request.Method == http.MethodPost {
		return nil
	}
	if resp.StatusCode/100 == 2 {
		return fmt.Errorf("redirected to %s with a GET, which loses the alerts: configure that scheme and address", resp.Request.URL.Redacted())
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return &answerError{
		code: resp.StatusCode, status: resp.Status, text: strings.TrimSpace(string(text)), after: time.Duration(seconds) * time.Second,
	}
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 10

// answerError is an answer that is not a success.
type answerError struct {
	code         int
	status, text string
	// after is the pause that was asked for.
	after time.Duration
}

// Error returns the status, and what was said about it.
func (e *answerError) Error() string {
	if e.text == "" {
		return "bad response status " + e.status
	}
	return fmt.Sprintf("bad response status %s: %s", e.status, e.text)
}

// refusal reports whether the same alerts would be refused again. Everything else may heal, a missing permission too.
func (e *answerError) refusal() bool {
	switch e.code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	default:
		return false
	}
}
