// Package read answers POST /api/v1/read, by which other servers query the samples of this one: Prometheus's remote read, with
// whole samples or with chunks as they are stored.
//
// Start with [New]; the [Handler] answers requests. A request is checked as a whole and then walked query by query
// (request.go), so that none costs more memory than itself. Samples are put into one message (samples.go), chunks are streamed
// in frames as they are found (stream.go). Answers are those of upstream: which request is refused, with which status, and
// what external labels do.
package read

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// Options configure a [Handler]. Storage, ExternalLabels, Registerer and Log are required.
type Options struct {
	Storage storage.Queryable
	// ExternalLabels returns those of the configuration in force.
	ExternalLabels func() labels.Labels
	// SampleLimit is how many samples one query may have, unless chunks are streamed. Zero means any number.
	SampleLimit int
	// ConcurrentLimit is how many requests are answered at once; others wait. Zero means any number.
	ConcurrentLimit int
	// MaxBytesInFrame is about how large a frame of chunks is. Zero means 1 MiB.
	MaxBytesInFrame int
	Registerer      prometheus.Registerer
	Log             *slog.Logger
}

const defaultFrameBytes = 1 << 20

// Handler answers remote reads. It is safe for concurrent use.
type Handler struct {
	opts Options
	// places has room for the requests that are answered at once; nil does not limit them.
	places  chan struct{}
	queries prometheus.Gauge
}

// New makes a handler.
func New(opts Options) (*Handler, error) {
	if opts.MaxBytesInFrame <= 0 {
		opts.MaxBytesInFrame = defaultFrameBytes
	}
	h := &Handler{opts: opts, queries: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "prometheus_remote_read_handler_queries",
		Help: "Remote read requests that are being answered or wait for their turn.",
	})}
	if opts.ConcurrentLimit > 0 {
		h.places = make(chan struct{}, opts.ConcurrentLimit)
	}
	if err := opts.Registerer.Register(h.queries); err != nil {
		return nil, fmt.Errorf("register metrics of remote read: %w", err)
	}
	return h, nil
}

// refusal is a request that is not answered through its own fault.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(format string, args ...any) error { return &refusal{fmt.Errorf(format, args...)} }

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.queries.Inc()
	defer h.queries.Dec()
	leave, err := h.enter(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError) // Nobody reads it.
		return
	}
	defer leave()
	out := &tracked{ResponseWriter: w}
	err = h.answer(r, out)
	if err == nil {
		return
	}
	bad, ok := errors.AsType[*refusal](err)
	switch {
	case r.Context().Err() != nil:
		h.opts.Log.Debug("remote read ended early: the client has gone", "err", err)
	case !ok:
		h.opts.Log.Error("remote read failed", "err", err)
	}
	if out.started {
		panic(http.ErrAbortHandler) // A client must not take the part that it has got for all.
	}
	w.Header().Del("Content-Encoding")
	if ok {
		http.Error(w, bad.Error(), http.StatusBadRequest)
		return
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// enter waits for a place.
func (h *Handler) enter(ctx context.Context) (leave func(), err error) {
	if h.places == nil {
		return func() {}, nil
	}
	select {
	case h.places <- struct{}{}:
		return func() { <-h.places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tracked knows whether the client was sent something.
type tracked struct {
	http.ResponseWriter
	started bool
}

// Write sends a part of the answer.
func (t *tracked) Write(p []byte) (int, error) {
	t.started = true
	return t.ResponseWriter.Write(p)
}

func (h *Handler) answer(r *http.Request, w *tracked) error {
	body, err := readBody(r)
	if err != nil {
		return &refusal{err}
	}
	req, err := parse(body)
	if err != nil {
		return &refusal{err}
	}
	streamed, err := req.streamed()
	if err != nil {
		return &refusal{err}
	}
	a := answering{h: h, external: pairs(h.opts.ExternalLabels())}
	if streamed {
		return a.stream(r.Context(), w, req)
	}
	return a.samples(r.Context(), w, req)
}

func pairs(ls labels.Labels) (all []labels.Label) {
	for name, value := range ls.All() {
		all = append(all, labels.Label{Name: name, Value: value})
	}
	return all
}

// answering is the answering of one request.
type answering struct {
	h        *Handler
	external []labels.Label
	reader   storage.ColumnReader
}

// each calls f with each series that a query selects, in the order of labels.
func (a *answering) each(ctx context.Context, q *query, f func(storage.Series) error) (err error) {
	matchers, err := q.matchers(a.external)
	if err != nil || len(matchers) == 0 { // Nothing is selected by nothing.
		return err
	}
	querier, err := a.h.opts.Storage.Querier(q.start, q.end)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, querier.Close()) }()
	set := querier.Select(ctx, true, q.hints, matchers...)
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(set.At()); err != nil {
			return err
		}
	}
	for _, warning := range set.Warnings() {
		a.h.opts.Log.Warn("remote read is incomplete", "warning", warning)
	}
	return set.Err()
}
