// Package receive takes in what other servers and agents write to this one: Prometheus remote write 1.0 and 2.0 over
// HTTP.
//
// Start with [New]; the [Handler] answers POST requests. A request is read (body.go), walked without being decoded into
// objects (wire.go, message.go), and its samples go as one batch to a [storage.Appender] (request.go, batch.go): all of
// them become visible together. A series is made once; from then on it is found by a keyed hash of the bytes that name it
// (refs.go), so that a known series costs no labels. Answers are those of upstream: which request is taken, which is
// refused, with which status and headers.
//
// The package does not write to others; package read answers remote reads.
package receive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/storage"
)

// Message is the name of the protobuf message that a request consists of.
type Message string

// The messages of remote write 1.0 and 2.0.
const (
	V1 Message = "prometheus.WriteRequest"
	V2 Message = "io.prometheus.write.v2.Request"
)

// Messages are those that there are, in the order in which answers name them.
func Messages() []Message { return []Message{V1, V2} }

// ParseMessages reads names of messages, each of which can come once. Commas separate them as well. None makes none.
func ParseMessages(names []string) ([]Message, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var all []Message
	for name := range strings.SplitSeq(strings.Join(names, ","), ",") {
		m := Message(name)
		switch {
		case !slices.Contains(Messages(), m):
			return nil, unknownMessage(m)
		case slices.Contains(all, m):
			return nil, fmt.Errorf("%s is given twice", m)
		}
		all = append(all, m)
	}
	return all, nil
}

func unknownMessage(m Message) error {
	return fmt.Errorf("unknown type for remote write protobuf message %s, supported: %s", m, joined(Messages()))
}

func joined(all []Message) string {
	names := make([]string, len(all))
	for i, m := range all {
		names[i] = string(m)
	}
	return strings.Join(names, ", ")
}

// Options configure a [Handler]. Storage, Registerer and Log are required.
type Options struct {
	Storage    storage.Appendable
	Registerer prometheus.Registerer
	Log        *slog.Logger
	// Messages are those that are accepted; none means all.
	Messages []Message
	// StartZeros stores a zero at the time at which the counting of a series started, where a request tells.
	StartZeros bool
	// TypeAndUnit adds the type and the unit that a request tells to the labels of series.
	TypeAndUnit bool
	// Metadata hands the metadata of series on to the storage.
	Metadata bool
	// MemoryBytes bounds what the requests that are being answered may take; those for which there is no room wait a little,
	// then are asked to come again. Zero means 1 GiB.
	MemoryBytes int64
	// Now tells the time; nil means time.Now. Samples from the far future are refused.
	Now func() time.Time
}

// maxAhead is how far in the future a sample may be.
const maxAhead = 10 * time.Minute

// Handler answers remote write requests. It is safe for concurrent use.
type Handler struct {
	opts     Options
	metrics  *metrics
	refs     *refs
	memory   *memory
	requests requests
	log      *sparingLog
}

// New makes a handler.
func New(opts Options) (*Handler, error) {
	if len(opts.Messages) == 0 {
		opts.Messages = Messages()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	h := &Handler{opts: opts, metrics: m, refs: newRefs(maxRefs), memory: newMemory(opts.MemoryBytes)}
	h.log = &sparingLog{log: opts.Log, now: opts.Now}
	return h, nil
}

// Headers of answers to requests of 2.0.
const (
	samplesWritten    = "X-Prometheus-Remote-Write-Samples-Written"
	histogramsWritten = "X-Prometheus-Remote-Write-Histograms-Written"
	exemplarsWritten  = "X-Prometheus-Remote-Write-Exemplars-Written"
)

// refusal is a request that is not taken, with the status that says why.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Errorf(format, args...)}
}

// statusOf returns the status that goes with an error: what is not the client's fault may be sent again.
func statusOf(err error) int {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.status
	}
	return http.StatusInternalServerError
}

// retryAfter is the number of seconds after which a client that found no room is to come again.
const retryAfter = "5"

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if err := acceptedEncoding(r.Header.Get("Content-Encoding")); err != nil {
		h.fail(w, err)
		return
	}
	req := h.requests.get()
	defer h.requests.put(req)
	// The body is looked at first, as upstream does.
	release, err := h.read(r, req)
	if err != nil {
		h.fail(w, err)
		return
	}
	defer release()
	message, err := h.messageOf(r.Header.Get("Content-Type"))
	if err != nil {
		h.fail(w, err)
		return
	}
	req.begin(h, message)
	err = h.store(r.Context(), req)
	if message == V2 {
		header := w.Header()
		header.Set(samplesWritten, strconv.Itoa(req.written.samples))
		header.Set(histogramsWritten, strconv.Itoa(req.written.histograms))
		header.Set(exemplarsWritten, strconv.Itoa(req.written.exemplars))
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *Handler) fail(w http.ResponseWriter, err error) {
	status := statusOf(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	h.log.refused(status, err)
	http.Error(w, err.Error(), status)
}

const mediaType = "application/x-protobuf"

// messageOf returns the message that a content type names, if it is accepted. Without one it is that of 1.0.
func (h *Handler) messageOf(contentType string) (Message, error) {
	m, err := parseContentType(contentType)
	if err == nil && !slices.Contains(h.opts.Messages, m) {
		err = fmt.Errorf("%s protobuf message is not accepted by this server; only accepts %s", m, joined(h.opts.Messages))
	}
	if err != nil {
		return "", &refusal{http.StatusUnsupportedMediaType, err}
	}
	return m, nil
}

func parseContentType(text string) (Message, error) {
	if text = strings.TrimSpace(text); text == "" || text == mediaType {
		return V1, nil
	}
	media, parameters, _ := strings.Cut(text, ";")
	if media != mediaType {
		return "", fmt.Errorf("expected %s as the first (media) part, got %s content-type", mediaType, text)
	}
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, ok := strings.Cut(p, "=")
		switch {
		case !ok || strings.Contains(value, "="):
			return "", fmt.Errorf("parameters of a content type are name=value, got %q in %q", p, text)
		case name != "proto":
			continue
		case !slices.Contains(Messages(), Message(value)):
			return "", fmt.Errorf("got %s content type; %w", text, unknownMessage(Message(value)))
		}
		return Message(value), nil
	}
	return V1, nil
}

func acceptedEncoding(encoding string) error {
	if encoding != "" && encoding != "snappy" {
		return refuse(http.StatusUnsupportedMediaType, "%s encoding (compression) is not accepted by this server; only snappy is acceptable", encoding)
	}
	return nil
}

// store takes in what a request holds. Of one of 1.0 all is taken, or nothing; of one of 2.0 what is good.
func (h *Handler) store(ctx context.Context, req *request) error {
	req.out = h.opts.Storage.Appender()
	err := req.take(ctx)
	bad := req.bad.err()
	if err != nil || bad != nil && req.message == V1 {
		req.written = written{}
		if rollbackErr := req.out.Rollback(); rollbackErr != nil {
			h.opts.Log.Error("batch not rolled back", "err", rollbackErr)
		}
		if err == nil {
			err = bad
		}
		return err
	}
	if err := req.out.Commit(ctx); err != nil {
		req.written = written{}
		return fmt.Errorf("store samples: %w", err)
	}
	h.metrics.invalidLabels.Add(float64(req.invalidLabels))
	h.metrics.withoutMetadata.Add(float64(req.withoutMetadata))
	return bad
}
