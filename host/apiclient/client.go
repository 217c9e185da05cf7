// Package apiclient asks servers over HTTP, for the commands that do not serve themselves: this server, Prometheus, or
// whatever else has the same API.
//
// Start with [ParseURL], [New] and [Client.Query]; [Client.Ask] reaches endpoints that have no method of their own, and
// [Client.Fetch] pages beside the API. The package prints nothing, and decides nothing about flags.
package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// ParseURL reads the URL of a server. Without a scheme it is http.
func ParseURL(text string) (*url.URL, error) {
	full := text
	if strings.HasPrefix(full, "//") {
		full = "http:" + full
	} else if host, _, _ := strings.Cut(full, "/"); !strings.Contains(full, "://") {
		if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
			full = "http://" + full
		}
	}
	u, err := url.Parse(full)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no URL of a server such as http://localhost:9090", text)
	}
	return u, nil
}

// Error is what a server answers to a request that it refuses.
type Error struct {
	// Server is the URL that was asked, without a password.
	Server string
	// Type is what the server calls this kind of error, such as bad_data; it may be empty.
	Type string
	Text string
}

// Error names the server, the type and the text.
func (e *Error) Error() string {
	if e.Type == "" {
		return e.Server + ": " + e.Text
	}
	return e.Server + ": " + e.Type + ": " + e.Text
}

// Client asks one server. It is safe for concurrent use.
type Client struct {
	base   *url.URL
	client *http.Client
	header http.Header
}

// New returns a client of the server at base, which sends its requests through client with the fields of header, which may
// be nil. Name and password in base are sent, too.
func New(base *url.URL, client *http.Client, header http.Header) *Client {
	return &Client{base: base, client: client, header: header}
}

// Server returns the server's URL for messages: without a password.
func (c *Client) Server() string { return c.base.Redacted() }

// Ask asks an endpoint below /api/v1 and decodes the data of the answer, unless data is nil or there is no content. A nil
// form sends no body. Where POST is not allowed, GET is tried.
func (c *Client) Ask(ctx context.Context, method, path string, form url.Values, data any) (warnings []string, err error) {
	status, body, err := c.exchange(ctx, method, "api/v1/"+path, form)
	if refused := status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented; err == nil && refused && form != nil && method == http.MethodPost {
		status, body, err = c.exchange(ctx, http.MethodGet, "api/v1/"+path, form)
	}
	if err != nil || status == http.StatusNoContent {
		return nil, err
	}
	var answer struct {
		Status, ErrorType, Error string
		Data                     json.RawMessage
		Warnings                 []string
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status == "" {
		return nil, fmt.Errorf("%s answers %d %s, and not as an API of this kind", c.Server(), status, http.StatusText(status))
	}
	if answer.Status != "success" {
		return answer.Warnings, &Error{Server: c.Server(), Type: answer.ErrorType, Text: answer.Error}
	}
	if data == nil {
		return answer.Warnings, nil
	}
	if err := json.Unmarshal(answer.Data, data); err != nil {
		return answer.Warnings, fmt.Errorf("decode the answer of %s: %w", c.Server(), err)
	}
	return answer.Warnings, nil
}

// exchange sends a request, with the form in the body, or in the URL for GET, and returns status and body of the answer.
func (c *Client) exchange(ctx context.Context, method, path string, form url.Values) (status int, body []byte, err error) {
	var content io.Reader
	u := c.resolve(path)
	if form != nil && method == http.MethodGet {
		u.RawQuery = form.Encode()
	} else if form != nil {
		content = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s: %w", c.Server(), err)
	}
	if content != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil, fmt.Errorf("read the answer of %s: %w", c.Server(), err)
	}
	return resp.StatusCode, body, nil
}

// resolve returns the URL of a path below the server's, which is escaped as it is to be sent.
func (c *Client) resolve(path string) *url.URL {
	return c.base.JoinPath(path)
}

func (c *Client) do(r *http.Request) (*http.Response, error) {
	for name, values := range c.header {
		r.Header[name] = values
		if name == "Host" && len(values) > 0 {
			r.Host = values[0]
		}
	}
	resp, err := c.client.Do(r)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // Its text names the URL, which this one does, too.
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Server(), err)
	}
	return resp, nil
}

// Fetch gets a page, such as "metrics" or "debug/pprof/profile?seconds=5", and writes its content to w. Any status but 200
// is an error with the start of the content.
func (c *Client) Fetch(ctx context.Context, page string, w io.Writer) error {
	path, query, _ := strings.Cut(page, "?")
	u := c.resolve(path)
	u.RawQuery = query
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.Server(), err)
	}
	resp, err := c.do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s%s", u.Redacted(), resp.Status, Reason(resp.Body))
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("read the answer of %s: %w", u.Redacted(), err)
	}
	return nil
}

// maxReason is how many bytes of an answer are shown as the reason of an error.
const maxReason = 512

// Reason returns the first line of a body behind a colon, or nothing if there is none.
func Reason(body io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(body, maxReason)) // What came before an error is the reason all the same.
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return ""
	}
	return ": " + strings.ToValidUTF8(line, "\uFFFD")
}
