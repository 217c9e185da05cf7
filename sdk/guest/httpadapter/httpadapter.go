// Package httpadapter makes the host's HTTP look like net/http, for libraries that take an http.Client or an
// http.RoundTripper. Start with [Client]. It is a package of its own because net/http makes a sandboxed guest some 7 MB
// larger; a guest that speaks plain HTTP itself does without.
package httpadapter

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"

	"github.com/narthex-io/narthex/sdk"
)

// Client returns a client that sends everything through the host. Redirects are followed by the host.
func Client(h sdk.HTTPClient) *http.Client { return &http.Client{Transport: Transport{Host: h}} }

// Transport is an http.RoundTripper on the host's HTTP.
type Transport struct {
	Host sdk.HTTPClient
}

// RoundTrip implements http.RoundTripper. The request's body is read whole before anything is sent.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	request := sdk.Request{Method: r.Method, URL: r.URL.String(), Header: r.Header}
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if closeErr := r.Body.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, fmt.Errorf("read the request's body: %w", err)
		}
		request.Body = b
	}
	response, err := t.Host.Do(r.Context(), request)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	maps.Copy(header, response.Header)
	return &http.Response{
		Status:        strconv.Itoa(response.Status) + " " + http.StatusText(response.Status),
		StatusCode:    response.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          response.Body,
		ContentLength: contentLength(r.Method, header),
		Request:       r,
	}, nil
}

// contentLength is -1 where the length is unknown.
func contentLength(method string, h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 || method == http.MethodHead {
		return -1
	}
	return n
}
