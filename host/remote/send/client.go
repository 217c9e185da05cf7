package send

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	httpconfig "github.com/prometheus/common/config"
)

// client posts requests to one receiver. A reload exchanges it.
type client struct {
	// cfg is what it was made of.
	cfg     *Config
	http    *http.Client
	url     string
	headers map[string]string
	timeout time.Duration
	message Message
}

func newClient(cfg *Config, http *http.Client) *client {
	c := &client{cfg: cfg, http: http, headers: cfg.Headers, timeout: time.Duration(cfg.RemoteTimeout), message: cfg.ProtobufMessage, url: cfg.URL.String()}
	if c.timeout <= 0 {
		c.timeout = 30 * time.Second
	}
	return c
}

// same reports whether a client for cfg would be like this one, given that the entries differ in secrets at most.
func (c *client) same(cfg *Config) bool {
	return reflect.DeepEqual(c.cfg.HTTPClient, cfg.HTTPClient) && reflect.DeepEqual(c.cfg.URL, cfg.URL)
}

// body is compressed bytes on their way. The transport may read them after it has returned an answer, so that they may only be
// used again once it has closed all that it was given.
type body struct {
	data []byte
	open atomic.Int32
}

type bodyReader struct {
	bytes.Reader
	body   *body
	closed atomic.Bool
}

func (b *body) reader() *bodyReader {
	b.open.Add(1)
	r := &bodyReader{body: b}
	r.Reset(b.data)
	return r
}

// Close implements io.Closer.
func (r *bodyReader) Close() error {
	if !r.closed.Swap(true) {
		r.body.open.Add(-1)
	}
	return nil
}

// written is what a receiver says that it took; known is false if it says nothing.
type written struct {
	counts
	known bool
}

// failure is a request that was not taken.
type failure struct {
	err error
	// again says that another try may be taken, after the given pause, if that is above zero.
	again bool
	after time.Duration
}

// Error returns what happened.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns what happened.
func (f *failure) Unwrap() error { return f.err }

// maxAnswer bounds what is kept of an answer, maxDiscarded what is read of it beyond that.
const maxAnswer, maxDiscarded = 1 << 10, 64 << 10

// post sends one request. Errors are failures.
func (c *client) post(ctx context.Context, b *body, attempt int, retry429 bool) (written, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := c.request(ctx, b, attempt)
	if err != nil {
		return written{}, &failure{err: err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return written{}, &failure{err: err, again: true}
	}
	defer func() { _ = resp.Body.Close() }()
	w := readWritten(resp.Header)
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // What it says only explains the status.
	_, _ = io.CopyN(io.Discard, resp.Body, maxDiscarded)        // So that the connection can be used again.
	switch status := resp.StatusCode; {
	case status/100 == 2 && resp.Request.Method != http.MethodPost:
		return w, &failure{err: fmt.Errorf("redirected to %s with a GET, which loses the samples: configure that URL", resp.Request.URL.Redacted())}
	case status/100 == 2:
		return w, nil
	default:
		return w, &failure{
			err:   fmt.Errorf("server returned HTTP status %s: %s", resp.Status, strings.TrimSpace(string(text))),
			again: status/100 == 5 || status == http.StatusTooManyRequests && retry429,
			after: retryAfter(resp.Header.Get("Retry-After")),
		}
	}
}

func (c *client) request(ctx context.Context, b *body, attempt int) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, b.reader())
	if err != nil {
		return nil, errors.Join(err, (&bodyReader{body: b}).Close())
	}
	req.ContentLength = int64(len(b.data))
	req.GetBody = func() (io.ReadCloser, error) { return b.reader(), nil }
	h := req.Header
	h.Set("Content-Encoding", "snappy")
	if c.message == V2 {
		h.Set("Content-Type", "application/x-protobuf;proto="+string(V2))
		h.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	} else {
		h.Set("Content-Type", "application/x-protobuf")
		h.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	}
	if attempt > 0 {
		h.Set("Retry-Attempt", strconv.Itoa(attempt))
	}
	for name, value := range c.headers {
		h.Set(name, value)
	}
	return req, nil
}

// readWritten reads the headers of 2.0. What is no number counts as nothing.
func readWritten(h http.Header) (w written) {
	for k, name := range [kinds]string{"Samples", "Histograms", "Exemplars"} {
		text := h.Get("X-Prometheus-Remote-Write-" + name + "-Written")
		if text == "" {
			continue
		}
		w.known = true
		if n, err := strconv.Atoi(text); err == nil {
			w.counts[k] = n
		}
	}
	return w
}

// retryAfter reads a pause in seconds or as a date; it is zero if there is none, or it is over.
func retryAfter(text string) time.Duration {
	if at, err := time.Parse(http.TimeFormat, text); err == nil {
		return max(time.Until(at).Truncate(time.Second), 0)
	}
	seconds, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return max(time.Duration(seconds)*time.Second, 0)
}

// roundRobin connects to one of the addresses of a host at random.
func roundRobin(lookup func(ctx context.Context, host string) ([]string, error), dial httpconfig.DialContextFunc) httpconfig.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return dial(ctx, network, address)
		}
		found, err := lookup(ctx, host)
		if err != nil || len(found) == 0 {
			return dial(ctx, network, address)
		}
		return dial(ctx, network, net.JoinHostPort(found[rand.IntN(len(found))], port)) //nolint:gosec // Chance is enough here.
	}
}
