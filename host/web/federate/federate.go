// Package federate answers GET /federate: the latest sample of each selected series, in a format that other Prometheus
// servers scrape.
//
// Start with [New]. A request's series are walked in the order of their names (walk.go) and written as they come, as text
// (text.go) or protobuf (family.go). Nothing is held but the series that sort before their names, which are rare, and in
// protobuf one family. What is answered, down to the bytes, is what upstream answers: samples are untyped, since a storage
// keeps no types, with their own timestamps, and the external labels are put where a series has none of that name.
package federate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
)

// Options configure a [Handler]. All fields but Lookback and Now are required.
type Options struct {
	Storage storage.Queryable
	// Parser reads selectors with the features that are enabled.
	Parser *parser.Parser
	// Lookback is how old the latest sample of a series may be. Zero means 5 minutes.
	Lookback time.Duration
	// ExternalLabels returns those of the configuration in force.
	ExternalLabels func() labels.Labels
	Registerer     prometheus.Registerer
	Log            *slog.Logger
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

const defaultLookback = 5 * time.Minute

// Handler answers requests of other servers. It is safe for concurrent use.
type Handler struct {
	opts             Options
	errors, warnings prometheus.Counter
}

// New makes a handler.
func New(opts Options) (*Handler, error) {
	if opts.Lookback <= 0 {
		opts.Lookback = defaultLookback
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	h := &Handler{
		opts: opts,
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prometheus_web_federation_errors_total",
			Help: "Federation requests that failed while they were answered.",
		}),
		warnings: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prometheus_web_federation_warnings_total",
			Help: "Warnings of the storage while federation requests were answered.",
		}),
	}
	for _, c := range []prometheus.Collector{h.errors, h.warnings} {
		if err := opts.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register federation metrics: %w", err)
		}
	}
	return h, nil
}

// formats are those that can be asked for. Upstream has no OpenMetrics here.
func formats() []expfmt.Format {
	return []expfmt.Format{
		expfmt.NewFormat(expfmt.TypeProtoDelim), expfmt.NewFormat(expfmt.TypeProtoText),
		expfmt.NewFormat(expfmt.TypeProtoCompact), expfmt.NewFormat(expfmt.TypeTextPlain),
	}
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, fmt.Sprintf("error parsing form values: %v", err), http.StatusBadRequest)
		return
	}
	selectors, err := h.opts.Parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	format := expfmt.NegotiateAccept(r.Header, formats()...)
	w.Header().Set("Content-Type", string(format))
	out := newOutput(w, format, h.opts.ExternalLabels())
	if err = h.walk(r.Context(), selectors, out.add); err == nil {
		err = out.end()
	}
	if err == nil {
		return
	}
	h.errors.Inc()
	if r.Context().Err() != nil {
		h.opts.Log.Debug("federation ended early: the client has gone", "err", err)
	} else {
		h.opts.Log.Error("federation failed", "err", err)
	}
	if out.started() {
		panic(http.ErrAbortHandler) // A client must not take the part that it has got for all.
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// walk calls f with the latest sample of each series that one of the selectors selects.
func (h *Handler) walk(ctx context.Context, selectors [][]*labels.Matcher, f func(*latest) error) (err error) {
	now := h.opts.Now()
	hints := &storage.SelectHints{Start: now.Add(-h.opts.Lookback).UnixMilli(), End: now.UnixMilli(), Latest: true}
	querier, err := h.opts.Storage.Querier(hints.Start, hints.End)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, querier.Close()) }()
	var sets []storage.SeriesSet
	for _, matchers := range selectors {
		if len(matchers) > 0 { // {} selects nothing.
			sets = append(sets, querier.Select(ctx, true, hints, matchers...))
		}
	}
	walk := walk{f: f}
	err = walk.run(sets)
	for _, set := range sets {
		for _, warning := range set.Warnings() {
			h.warnings.Inc()
			h.opts.Log.Debug("federation is incomplete", "warning", warning)
		}
	}
	if walk.nameless > 0 {
		h.opts.Log.Warn("series without a name are left out of federation", "series", walk.nameless)
	}
	return err
}
