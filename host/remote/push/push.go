package push

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/narthex-io/narthex/host/apiclient"
)

// Message is the name of a protobuf message of remote write.
type Message string

// The messages of remote write 1.0 and 2.0.
const (
	V1 Message = "prometheus.WriteRequest"
	V2 Message = "io.prometheus.write.v2.Request"
)

// ParseMessage reads the name of a message.
func ParseMessage(name string) (Message, error) {
	switch m := Message(name); m {
	case V1, V2:
		return m, nil
	default:
		return "", fmt.Errorf("%q is no message of remote write: use %s or %s", name, V1, V2)
	}
}

// Options say what is sent where. URL and Client are required.
type Options struct {
	// URL is the whole of the endpoint's.
	URL    *url.URL
	Client *http.Client
	Header http.Header
	// Message is what is sent; empty means V1.
	Message Message
	// Labels are added to each series. Where it has such a label already, that is renamed: job to exported_job.
	Labels map[string]string
	// Now is the time of samples that have none of their own.
	Now time.Time
}

// Sent says what was in a request.
type Sent struct{ Series, Samples, Exemplars int }

// Push reads an exposition, in OpenMetrics if it ends as that does and else in Prometheus's text format, and sends it in one
// request. An answer other than success is an error.
func Push(ctx context.Context, body []byte, opts Options) (Sent, error) {
	b, err := read(body, &opts)
	if err != nil {
		return Sent{}, err
	}
	sent := b.count()
	message := b.v1()
	if opts.Message == V2 {
		message = b.v2()
	}
	r, err := request(ctx, message, &opts)
	if err != nil {
		return sent, err
	}
	resp, err := opts.Client.Do(r)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // Its text names the URL, which this one does, too.
		}
		return sent, fmt.Errorf("write to %s: %w", opts.URL.Redacted(), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return sent, fmt.Errorf("%s answers %s%s", opts.URL.Redacted(), resp.Status, apiclient.Reason(resp.Body))
	}
	if opts.Message == V2 {
		if err := confirmed(resp.Header, &sent); err != nil {
			return sent, fmt.Errorf("%s answers %s, but %w", opts.URL.Redacted(), resp.Status, err)
		}
	}
	return sent, nil // Whatever else it says.
}

func request(ctx context.Context, message []byte, opts *Options) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, opts.URL.String(), bytes.NewReader(s2.EncodeSnappy(nil, message)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("User-Agent", "narthex/push")
	if opts.Message == V2 {
		r.Header.Set("Content-Type", "application/x-protobuf;proto="+string(V2))
		r.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	} else {
		r.Header.Set("Content-Type", "application/x-protobuf")
		r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	}
	maps.Copy(r.Header, opts.Header)
	if host := opts.Header.Get("Host"); host != "" {
		r.Host = host
	}
	return r, nil
}

// confirmed looks at what a receiver of 2.0 says to have stored.
func confirmed(header http.Header, sent *Sent) error {
	const field = "X-Prometheus-Remote-Write-Samples-Written"
	text := strings.TrimSpace(header.Get(field))
	if text == "" && sent.Samples > 0 {
		return fmt.Errorf("does not say in %s how much it has stored: it may not know %s; try %s", field, V2, V1)
	}
	if n, err := strconv.Atoi(cmp.Or(text, "0")); err != nil || n != sent.Samples {
		return fmt.Errorf("has stored %s of %d samples", text, sent.Samples)
	}
	return nil
}
