package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/scrape/exposition"
)

// fetch gets the target's exposition into l.body and returns its content type.
func (l *loop) fetch(ctx context.Context, s *settings, t *target) (contentType string, err error) {
	if t.exporter != nil {
		contentType, err = l.collect(ctx, s, t)
	} else {
		contentType, err = l.get(ctx, s, t)
	}
	problem := "no complete answer"
	if err == nil {
		l.body.complete()
		l.lastSize = l.body.size
		if t.exporter == nil { // An exporter writes what needs no parser.
			problem = "not parsed"
			contentType, err = l.parse(ctx, s, contentType)
		}
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "", fmt.Errorf("%s within the scrape timeout of %s: %w", problem, t.timeout, err)
	}
	return contentType, err
}

// beginBody takes memory for a body, which is not earlier than there is an answer: targets that are waited for take none.
func (l *loop) beginBody(s *settings) *body {
	l.body = l.env.takeBody()
	l.body.begin(&l.env.bodies, int(s.cfg.BodySizeLimit), l.lastSize)
	return l.body
}

// endBody gives the memory back.
func (l *loop) endBody() {
	if l.body != nil {
		l.env.giveBody(l.body)
		l.body = nil
	}
}

// collect asks an exporter plugin.
func (l *loop) collect(ctx context.Context, s *settings, t *target) (contentType string, err error) {
	if l.env.Exporters == nil {
		return "", errors.New("this server runs no exporter plugins")
	}
	e, contentType, err := l.env.Exporters.Exporter(t.exporter.Plugin, t.exporter.JSON)
	if err != nil {
		return "", err
	}
	if err := e.Collect(ctx, l.beginBody(s)); err != nil {
		for _, tooLarge := range []error{errBodySizeLimit, errBodyMemory} {
			if errors.Is(err, tooLarge) {
				return "", tooLarge
			}
		}
		return "", fmt.Errorf("exporter plugin %s: %w", t.exporter.Plugin, err)
	}
	if contentType == "" {
		contentType = "text/plain; version=0.0.4"
	}
	return contentType, nil
}

// request returns the request for a scrape, made once for a target and its settings.
func (l *loop) request(ctx context.Context, s *settings, t *target) (*http.Request, error) {
	if l.req == nil || l.reqSettings != s || l.reqTarget != t {
		req, err := http.NewRequest(http.MethodGet, t.url, http.NoBody)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", s.accept)
		req.Header.Set("Accept-Encoding", s.acceptEncoding)
		req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(t.timeout.Seconds(), 'f', -1, 64))
		l.req, l.reqSettings, l.reqTarget = req, s, t
	}
	return l.req.WithContext(ctx), nil
}

// maxDrained bounds what is read of a refused answer so that its connection can be used again.
const maxDrained = 64 << 10

// get fetches over HTTP.
func (l *loop) get(ctx context.Context, s *settings, t *target) (contentType string, err error) {
	req, err := l.request(ctx, s, t)
	if err != nil {
		return "", err
	}
	client, err := s.clients.of(t.client)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrained)
		_ = resp.Body.Close()
	}()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("server returned HTTP status %s", resp.Status)
	}
	b := l.beginBody(s)
	var content io.Reader = resp.Body
	switch encoding := resp.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		if content, err = b.unzip(resp.Body); err != nil {
			return "", fmt.Errorf("read gzip body: %w", err)
		}
	case "zstd":
		if content, err = b.unzstd(resp.Body); err != nil {
			return "", fmt.Errorf("read zstd body: %w", err)
		}
	case "deflate", "br", "compress":
		return "", fmt.Errorf("server sent a body in Content-Encoding %q, which was not asked for", encoding)
	default: // Some name a character set here.
	}
	if err := b.readFrom(content); err != nil {
		if errors.Is(err, errBodySizeLimit) || errors.Is(err, errBodyMemory) {
			// The rest may be endless.
			_ = resp.Body.Close()
			return "", err
		}
		return "", fmt.Errorf("read body after %d bytes: %w", b.size, err)
	}
	return resp.Header.Get("Content-Type"), nil
}

// formatOf finds out how to read a body. fallback is the protocol to assume if the content type does not tell; problem
// then says what is wrong with the content type.
func formatOf(contentType string, fallback Protocol) (f exposition.Format, problem, err error) {
	mediaType, params, bad := mime.ParseMediaType(contentType)
	switch {
	case contentType == "":
		problem = errors.New("non-compliant scrape target sending blank Content-Type")
	case bad != nil:
		problem = fmt.Errorf("non-compliant scrape target sending unreadable Content-Type %q", contentType)
	case mediaType == "text/plain":
		return exposition.Text, nil, nil
	case mediaType == "application/vnd.google.protobuf":
		return exposition.Protobuf, nil, nil
	case mediaType == "application/openmetrics-text" && !strings.HasPrefix(params["version"], "2."):
		return exposition.OpenMetrics, nil, nil
	default:
		problem = fmt.Errorf("received unsupported Content-Type %q", contentType)
	}
	switch fallback {
	case "":
		return 0, nil, fmt.Errorf("%w and no fallback_scrape_protocol specified for target", problem)
	case PrometheusProto:
		return exposition.Protobuf, problem, nil
	case OpenMetricsText001, OpenMetricsText100:
		return exposition.OpenMetrics, problem, nil
	default:
		return exposition.Text, problem, nil
	}
}

// alignedTime returns the time under which a scrape is stored: the scheduled one, if the actual one is close.
func alignedTime(scheduled, actual time.Time, interval, tolerance time.Duration) time.Time {
	tolerance = min(tolerance, interval/100)
	if d := actual.Sub(scheduled); d <= tolerance && d >= -tolerance {
		return scheduled
	}
	return actual
}
