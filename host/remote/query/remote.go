package query

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
)

// remote is a server to read from.
type remote struct {
	storage *Storage
	cfg     *Config
	client  *ownedClient
	// name and url are for people: the URL has no password.
	name, url string
	// external are labels of this server by which series are selected, sorted.
	external []labels.Label
	// inFlight is there once the remote is in force; gone says that its metrics are no more.
	inFlight prometheus.Gauge
	gone     atomic.Bool
	failing  atomic.Bool
}

func (r *remote) key() remoteKey { return remoteKey{r.name, r.url} }

func newRemote(s *Storage, cfg *Config, external labels.Labels) *remote {
	r := &remote{storage: s, cfg: cfg, name: cfg.Name, url: cfg.URL.Redacted()}
	if r.name == "" {
		text, _ := yaml.Marshal(cfg) // It has been marshalled before, to be checked.
		sum := sha256.Sum256(text)
		r.name = hex.EncodeToString(sum[:3])
	}
	if cfg.FilterExternalLabels {
		for name, value := range external.All() {
			r.external = append(r.external, labels.Label{Name: name, Value: value})
		}
	}
	return r
}

// concerned reports whether a selector has all matchers that are required for the remote to be asked.
func (r *remote) concerned(matchers []*labels.Matcher) bool {
	for name, value := range r.cfg.RequiredMatchers {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool {
			return m.Type == labels.MatchEqual && m.Name == name && m.Value == value
		}) {
			return false
		}
	}
	return true
}

// withExternal adds matchers for external labels, except for those that the selector says something about, and returns the names
// for which it did.
func (r *remote) withExternal(matchers []*labels.Matcher) (all []*labels.Matcher, added []string) {
	all = slices.Clone(matchers)
	for _, l := range r.external {
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return m.Name == l.Name }) {
			continue
		}
		all = append(all, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
		added = append(added, l.Name)
	}
	return all, added
}

// ask sends a request and reads the answer. Errors say that it was a remote that failed.
func (r *remote) ask(ctx context.Context, message []byte, a *answer) error {
	r.inFlight.Inc()
	defer r.inFlight.Dec()
	defer r.client.done()
	timeout := time.Duration(r.cfg.RemoteTimeout)
	own, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w: request timed out after %s", context.DeadlineExceeded, r.cfg.RemoteTimeout))
	defer cancel()
	err := r.exchange(own, message, a)
	if err != nil {
		err = fmt.Errorf("remote_read: %w", err)
	}
	r.note(ctx, err)
	return err
}

// note logs when the remote begins to fail, and when it answers again: each query's result says so, too.
func (r *remote) note(ctx context.Context, err error) {
	log := r.storage.opts.Log
	if _, ours := errors.AsType[*budgetError](err); ours || ctx.Err() != nil {
		return // It says nothing about the remote.
	}
	switch {
	case err != nil && !r.failing.Swap(true):
		log.Warn("remote read fails; queries are answered without it, and say so", "remote_name", r.name, "url", r.url, "err", err)
	case err == nil && r.failing.Load() && r.failing.Swap(false):
		log.Info("remote read works again", "remote_name", r.name, "url", r.url)
	}
}

func (r *remote) exchange(ctx context.Context, message []byte, a *answer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.cfg.URL.String(), bytes.NewReader(compressed(message)))
	if err != nil {
		return fmt.Errorf("unable to create request: %w", err)
	}
	for name, value := range map[string]string{
		"Content-Encoding": "snappy", "Accept-Encoding": "snappy", "Content-Type": wire.MediaSamples, "X-Prometheus-Remote-Read-Version": "0.1.0",
	} {
		req.Header.Set(name, value)
	}
	for name, value := range r.cfg.Headers {
		req.Header.Set(name, value)
	}
	begin := time.Now()
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("error sending request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	return r.receive(resp, a, time.Since(begin))
}

// maxErrorText is how much of the text of an error is of interest.
const maxErrorText = 4 << 10

// receive reads the answer in the form in which the remote chose to send it.
func (r *remote) receive(resp *http.Response, a *answer, headTook time.Duration) error {
	code := statusCode(resp.StatusCode)
	if resp.StatusCode/100 != 2 {
		r.answered(kindError, code)
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText)) // What has come is better than nothing.
		return fmt.Errorf("remote server %s returned http status %s: %s", r.url, resp.Status, strings.ToValidUTF8(strings.Trim(string(text), "\n"), "\uFFFD"))
	}
	switch media := resp.Header.Get("Content-Type"); {
	case strings.HasPrefix(media, wire.MediaSamples):
		r.took(kindSampled, headTook)
		r.answered(kindSampled, code)
		return a.readSamples(resp.Body)
	case strings.HasPrefix(media, wire.MediaChunks):
		r.took(kindChunked, headTook)
		err := a.readFrames(resp.Body, r.cfg.ChunkedReadLimit)
		if err != nil {
			code = "aborted_stream"
		}
		r.answered(kindChunked, code)
		return err
	default:
		r.took(kindUnsupported, headTook)
		r.answered(kindUnsupported, code)
		return fmt.Errorf("unsupported content type: %s", media)
	}
}
