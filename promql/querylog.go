package promql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// QueryLog writes a line of JSON for each query, with Prometheus's fields. Queries that cannot be parsed are not in it.
type QueryLog struct {
	mu   sync.Mutex
	file io.WriteCloser
}

// OpenQueryLog opens a file to append to, which it creates if need be. [Engine.SetQueryLog] takes over the log; until
// then the caller closes it.
func OpenQueryLog(path string) (*QueryLog, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open query log: %w", err)
	}
	return &QueryLog{file: f}, nil
}

// Close closes the file.
func (l *QueryLog) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close query log: %w", err)
	}
	return nil
}

// logLine is a line of the query log. There are no spans, for which upstream writes zeros.
type logLine struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Msg     string    `json:"msg"`
	Params  logParams `json:"params"`
	Error   string    `json:"error,omitempty"`
	Stats   *Stats    `json:"stats"`
	SpanID  string    `json:"spanID"`
	TraceID string    `json:"traceID"`
	Origin
}

type logParams struct {
	End   string `json:"end"`
	Query string `json:"query"`
	Start string `json:"start"`
	// Step is in whole seconds.
	Step int64 `json:"step"`
}

// write writes the line of a query that has ended; err is nil if it succeeded.
func (l *QueryLog) write(r *request, stats *Stats, err error) error {
	const layout = "2006-01-02T15:04:05.000Z07:00"
	line := logLine{
		Time: time.Now().UTC(), Level: "INFO", Msg: "promql query logged",
		Params: logParams{
			Query: r.query, Step: r.step / 1000,
			Start: time.UnixMilli(r.start).UTC().Format(layout), End: time.UnixMilli(r.end).UTC().Format(layout),
		},
		Stats: stats, SpanID: "0000000000000000", TraceID: "00000000000000000000000000000000", Origin: r.opts.Origin,
	}
	if err != nil {
		line.Error = err.Error()
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		return fmt.Errorf("encode line of query log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(b.Bytes()); err != nil { // One call, so that lines stay whole.
		return fmt.Errorf("write query log: %w", err)
	}
	return nil
}

// SetQueryLog replaces the query log and closes the old one; with nil, queries are not logged. The engine owns the log
// from now on: the caller sets another one, or nil, to have it closed.
func (e *Engine) SetQueryLog(l *QueryLog) error {
	e.logs.mu.Lock()
	old := e.logs.queries
	e.logs.queries = l
	e.logs.mu.Unlock()
	e.metrics.logEnabled.Set(0)
	if l != nil {
		e.metrics.logEnabled.Set(1)
	}
	return old.Close()
}

// SetActiveLog makes the engine keep its running queries in a log. The caller closes the log after it has set another one,
// or nil.
func (e *Engine) SetActiveLog(l *ActiveLog) {
	e.logs.mu.Lock()
	defer e.logs.mu.Unlock()
	e.logs.active = l
}

// logs are the logs of an engine, nil where there is none. Writing takes the lock for reading, so that nothing is written
// to a log that was closed.
type logs struct {
	mu      sync.RWMutex
	queries *QueryLog
	active  *ActiveLog
	// failing says that the last write failed, so that a full disk is reported once, not for each query.
	failing atomic.Bool
}

// logQuery writes a query that has ended to the query log.
func (e *Engine) logQuery(r *request, stats *Stats, err error) {
	e.logs.mu.RLock()
	defer e.logs.mu.RUnlock()
	if e.logs.queries == nil {
		return
	}
	logErr := e.logs.queries.write(r, stats, err)
	was := e.logs.failing.Swap(logErr != nil)
	if logErr != nil {
		e.metrics.logFailures.Inc()
	}
	switch {
	case logErr != nil && !was:
		e.logger.Error("queries are not logged", "err", logErr)
	case logErr == nil && was:
		e.logger.Info("queries are logged again")
	}
}

// logActive puts a query into the log of active ones; the function it returns takes it out again.
func (e *Engine) logActive(place int, r *request) func() {
	write := func(f func(l *ActiveLog) error) {
		e.logs.mu.RLock()
		defer e.logs.mu.RUnlock()
		if e.logs.active == nil {
			return
		}
		if err := f(e.logs.active); err != nil {
			e.logger.Debug("active query not logged", "err", err)
		}
	}
	write(func(l *ActiveLog) error { return l.begin(place, r.query, time.Now()) })
	return func() { write(func(l *ActiveLog) error { return l.end(place) }) }
}
