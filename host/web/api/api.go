// Package api serves /api/v1 in the shapes of Prometheus's HTTP API: decode the parameters, call, encode.
//
// Start with [New]. The package keeps no state of its own; each file holds one family of endpoints.
package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/host/web/notices"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
)

// Options are what the endpoints answer from. All fields but Admin, Write and CORSOrigin are required.
type Options struct {
	Engine  *promql.Engine
	Storage storage.Queryable
	// Exemplars are the storage's too.
	Exemplars storage.ExemplarQueryable
	// Parser reads matchers and expressions with the features that are enabled.
	Parser *parser.Parser
	// Scrape knows the targets and their metadata, Plugins what is loaded.
	Scrape  Targets
	Plugins Plugins
	// Alertmanagers knows where alerts are sent to.
	Alertmanagers Alertmanagers
	// Rules knows the rules and alerts.
	Rules Rules
	// Admin deletes, cleans up and makes snapshots; nil disables that.
	Admin Admin
	// Write takes in what others write; nil disables that.
	Write http.Handler
	// Read answers what other servers query.
	Read http.Handler
	// Blocks returns the descriptions of the storage's blocks, to be encoded as JSON.
	Blocks func() any
	// TSDB describes what the storage holds in memory, with lists of up to limit entries.
	TSDB func(limit int) TSDBStatus
	// ExternalURL is where others reach the server.
	ExternalURL func() *url.URL
	// Config returns the configuration in force as YAML, with secrets hidden.
	Config func() string
	// Flags are the settings as text.
	Flags map[string]string
	// Runtime describes the process as it is now, and Build how it was made.
	Runtime func() RuntimeInfo
	Build   BuildInfo
	// Replay tells how far reading the write-ahead log has come.
	Replay func() ReplayStatus
	// Features are those that this server could have, by part, and whether it has them.
	Features func() map[string]map[string]bool
	// Gatherer has the server's own metrics, Notices what operators have to know now.
	Gatherer prometheus.Gatherer
	Notices  *notices.Board
	// CORSOrigin matches the origins that browsers may call from; nil allows none.
	CORSOrigin *regexp.Regexp
	// Ready reports whether the storage can be queried.
	Ready  func() bool
	Now    func() time.Time
	Logger *slog.Logger
}

// Targets is what the API asks of scraping; a [scrape.Manager] answers.
type Targets interface {
	// Targets are the active targets, by pool.
	Targets() []scrape.TargetStatus
	// Dropped are the targets that relabelling dropped, by pool.
	Dropped() map[string]scrape.DroppedTargets
	// Pools are the names of the scrape pools, sorted.
	Pools() []string
	// Config is the configuration of a pool, nil if there is none.
	Config(pool string) *scrape.Config
	// Metadata is what the targets say about their metrics.
	Metadata() []scrape.TargetMetadata
}

// Plugins is what the API asks of the plugins; a [plugin.Catalogue] answers.
type Plugins interface {
	Plugins() []plugin.Info
}

// Alertmanagers is what the API asks of the notifier; a notify.Manager answers.
type Alertmanagers interface {
	// Alertmanagers are the URLs that alerts are sent to, DroppedAlertmanagers those that relabelling dropped.
	Alertmanagers() []string
	DroppedAlertmanagers() []string
}

type api struct {
	Options
	encoders encoders
}

// New returns the handler of everything below /api/v1, with that prefix stripped.
func New(opts Options) http.Handler {
	a := &api{Options: opts}
	mux := http.NewServeMux()
	get := func(path string, h handler) {
		mux.Handle(path, only(a.endpoint(h, mostlyValid), http.MethodGet))
	}
	getOrPost := func(path string, h handler) {
		mux.Handle(path, only(a.endpoint(h, mostlyValid), http.MethodGet, http.MethodPost))
	}
	getOrPost("/query", a.query)
	getOrPost("/query_range", a.queryRange)
	getOrPost("/format_query", a.inTime(a.formatQuery))
	getOrPost("/parse_query", a.inTime(a.parseQuery))
	getOrPost("/query_exemplars", a.inTime(a.queryExemplars))
	mux.Handle("/series", only(a.endpoint(a.inTime(a.series), valid), http.MethodGet, http.MethodPost))
	getOrPost("/labels", a.inTime(a.labelNames))
	get("/label/{name}/values", a.inTime(a.labelValues))
	get("/targets", a.targets)
	get("/targets/metadata", a.targetMetadata)
	get("/scrape_pools", a.scrapePools)
	mux.Handle("/rules", only(a.endpoint(a.rules, valid), http.MethodGet))
	get("/alerts", a.alerts)
	get("/metadata", a.metadata)
	get("/alertmanagers", a.alertmanagers)
	get("/plugins", a.plugins)
	get("/status/config", a.statusConfig)
	get("/status/flags", a.statusFlags)
	get("/status/runtimeinfo", a.statusRuntime)
	get("/status/buildinfo", a.statusBuild)
	get("/status/tsdb", a.statusTSDB)
	get("/status/tsdb/blocks", a.statusBlocks)
	get("/status/queries", a.statusQueries)
	get("/status/self_metrics", a.selfMetrics)
	get("/targets/relabel_steps", a.relabelSteps)
	get("/features", a.features)
	early := func(path string, h handler) { mux.Handle(path, only(a.answered(h), http.MethodGet)) }
	early("/status/walreplay", a.statusReplay)
	early("/notifications", a.notifications)
	mux.Handle("/notifications/live", only(http.HandlerFunc(a.liveNotifications), http.MethodGet))
	mux.Handle("/write", only(a.write(), http.MethodPost))
	mux.Handle("/read", only(a.whenReady(a.Read), http.MethodPost))
	postOrPut := func(path string, h handler) {
		mux.Handle(path, only(a.endpoint(a.admin(h), mostlyValid), http.MethodPost, http.MethodPut))
	}
	postOrPut("/admin/tsdb/delete_series", a.deleteSeries)
	postOrPut("/admin/tsdb/clean_tombstones", a.cleanTombstones)
	postOrPut("/admin/tsdb/snapshot", a.snapshot)
	postOrPut("/admin/queries/{id}/cancel", a.cancelQuery)
	mux.HandleFunc("/", missing)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			a.cors(w, r)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// only refuses all methods but those given. HEAD is not GET here, as upstream has it.
func only(h http.Handler, methods ...string) http.Handler {
	allowed := append([]string{http.MethodOptions}, methods...)
	slices.Sort(allowed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// handler answers a request with what goes into "data", or with an error.
type handler func(r *http.Request) (*answer, error)

// answer is a successful response.
type answer struct {
	// data is encoded as JSON; write, if set, writes it instead. Without either, the answer has no field "data".
	data  any
	write func(e *encoder)
	// empty answers with no body at all.
	empty           bool
	warnings, infos []string
}

// errorType sorts errors as the API does.
type errorType string

const (
	typeBadData       errorType = "bad_data"
	typeExecution     errorType = "execution"
	typeCanceled      errorType = "canceled"
	typeTimeout       errorType = "timeout"
	typeInternal      errorType = "internal"
	typeUnavailable   errorType = "unavailable"
	typeNotFound      errorType = "not_found"
	typeNotAcceptable errorType = "not_acceptable"
)

// statusCanceled is the answer to a request whose client has gone, as nginx and upstream have it.
const statusCanceled = 499

func (t errorType) status() int {
	switch t {
	case typeBadData:
		return http.StatusBadRequest
	case typeExecution:
		return http.StatusUnprocessableEntity
	case typeCanceled:
		return statusCanceled
	case typeTimeout:
		return http.StatusServiceUnavailable
	case typeNotFound:
		return http.StatusNotFound
	case typeNotAcceptable:
		return http.StatusNotAcceptable
	default:
		return http.StatusInternalServerError
	}
}

// apiError is an error with its type.
type apiError struct {
	kind errorType
	err  error
}

func (e *apiError) Error() string { return e.err.Error() }
func (e *apiError) Unwrap() error { return e.err }

func badData(format string, args ...any) error {
	return &apiError{typeBadData, fmt.Errorf(format, args...)}
}

// invalid says that a parameter makes no sense.
func invalid(parameter string, err error) error {
	return badData("invalid parameter %q: %w", parameter, err)
}

// maxFormMemory bounds what a multipart form may hold in memory; the rest of it goes to temporary files.
const maxFormMemory = 1 << 20

// formCheck says what is wrong with a form for which parsing returned an error.
type formCheck func(err error) error

// valid is for endpoints that take no form with mistakes.
func valid(err error) error {
	if err == nil {
		return nil
	}
	return badData("error parsing form values: %w", err)
}

// mostlyValid is for endpoints that overlook a parameter that is not escaped as it should be, and one of the content type that
// makes no sense, as upstream's do. A form that is cut off, since it is too long or has too many parameters, is an error.
func mostlyValid(err error) error {
	_, escape := errors.AsType[url.EscapeError](err)
	if escape || errors.Is(err, mime.ErrInvalidMediaParameter) || err != nil && strings.Contains(err.Error(), "semicolon") {
		return nil
	}
	return valid(err)
}

// notReady is what the API answers during the start. A plugin that was never compiled takes some seconds of it.
const notReady = "the server is not ready yet: it reads the write-ahead log, and then loads its configuration and plugins"

// endpoint wraps a handler with CORS, readiness and the envelope.
func (a *api) endpoint(h handler, check formCheck) http.Handler {
	return a.answered(func(r *http.Request) (*answer, error) {
		if !a.Ready() {
			return nil, &apiError{typeUnavailable, errors.New(notReady)}
		}
		if err := check(r.ParseForm()); err != nil {
			return nil, err
		}
		if err := r.ParseMultipartForm(maxFormMemory); err != nil && !errors.Is(err, http.ErrNotMultipart) && check(err) != nil {
			return nil, badData("error parsing form values: %w", err)
		}
		return h(r)
	})
}

// write hands requests on, without the envelope.
func (a *api) write() http.Handler {
	if a.Write != nil {
		return a.whenReady(a.Write)
	}
	return a.whenReady(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "remote write receiver needs to be enabled with --web.enable-remote-write-receiver", http.StatusNotFound)
	}))
}

// whenReady hands requests on once the server is ready.
func (a *api) whenReady(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.Ready() {
			http.Error(w, "Service Unavailable: "+notReady, http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// answered wraps a handler that also answers before the server is ready with CORS and the envelope.
func (a *api) answered(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.cors(w, r)
		ans, err := h(r)
		if err != nil {
			a.fail(w, err)
			return
		}
		a.succeed(w, ans)
	})
}

func (a *api) cors(w http.ResponseWriter, r *http.Request) { cors(a.CORSOrigin, w, r) }

// CORS returns a function that adds to an answer what lets pages read it whose origin matches; nil matches none.
func CORS(allowed *regexp.Regexp) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { cors(allowed, w, r) }
}

func cors(allowed *regexp.Regexp, w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin") // Beside the encodings that the answer depends on.
	origin := r.Header.Get("Origin")
	if origin == "" || allowed == nil || !allowed.MatchString(origin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin")
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Expose-Headers", "Date")
}

func (a *api) succeed(w http.ResponseWriter, ans *answer) {
	if ans.empty {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := a.encoders.to(w)
	defer a.encoders.giveBack(e)
	e.raw(`{"status":"success"`)
	switch {
	case ans.write != nil:
		e.raw(`,"data":`)
		ans.write(e)
	case ans.data != nil:
		e.raw(`,"data":`)
		if list, ok := ans.data.([]string); ok && list != nil {
			e.strings(list)
		} else {
			e.json(ans.data)
		}
	}
	if len(ans.warnings) > 0 {
		e.raw(`,"warnings":`)
		e.json(ans.warnings)
	}
	if len(ans.infos) > 0 {
		e.raw(`,"infos":`)
		e.json(ans.infos)
	}
	e.raw("}")
	if !e.begun { // It is all there: the answer needs no chunks.
		w.Header().Set("Content-Length", strconv.Itoa(len(e.buf)))
	}
	if err := e.flush(); err != nil {
		a.Logger.Debug("response not written in full", "err", err)
	}
}

func (a *api) fail(w http.ResponseWriter, err error) {
	kind := typeInternal
	if e, ok := errors.AsType[*apiError](err); ok {
		kind = e.kind
	}
	if kind == typeInternal { // Not the client's doing, such as a damaged block: the operator has to know.
		a.Logger.Error("request failed", "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(kind.status())
	body, encodeErr := json.Marshal(struct {
		Status    string    `json:"status"`
		ErrorType errorType `json:"errorType"`
		Error     string    `json:"error"`
	}{"error", kind, err.Error()})
	if encodeErr == nil {
		_, encodeErr = w.Write(body)
	}
	if encodeErr != nil {
		a.Logger.Debug("error response not written", "err", encodeErr)
	}
}

// missing answers for endpoints that do not exist, in plain text as upstream does, and for those that Prometheus has and
// this version lacks.
func missing(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
	http.Error(w, fmt.Sprintf("404 page not found: this version has no endpoint /api/v1%s", r.URL.Path), http.StatusNotFound)
}
