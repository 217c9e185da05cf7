package http

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/httpsd"
)

// urlLabel holds the URL that a target came from.
const urlLabel = "__meta_url"

// contentType is what an endpoint must call its answer.
var contentType = regexp.MustCompile(`^(?i:application/json(;\s*charset=("utf-8"|utf-8))?)$`)

// endpoint is asked for targets.
type endpoint struct {
	config Config
	http   sdk.HTTPClient
}

func (e endpoint) find(ctx context.Context) ([]sdk.Group, error) {
	resp, err := e.http.Do(ctx, sdk.Request{Method: "GET", URL: e.config.URL, Header: map[string][]string{
		"Accept":                                {"application/json"},
		"X-Prometheus-Refresh-Interval-Seconds": {strconv.FormatFloat(e.config.RefreshInterval.Seconds(), 'f', -1, 64)},
	}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing more is wanted of it
	if resp.Status != 200 {
		return nil, fmt.Errorf("the endpoint answered with HTTP status %d", resp.Status)
	}
	if got := header(resp, "Content-Type"); !contentType.MatchString(got) {
		return nil, fmt.Errorf("the endpoint's content type is %q, it must be application/json", got)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return Parse(e.config.URL, body)
}

func header(r *sdk.Response, name string) string {
	if values := r.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Parse returns a group for each entry of an answer, with the source url:index. An answer with anything that is not a
// group is refused as a whole.
func Parse(url string, answer []byte) ([]sdk.Group, error) {
	entries, err := httpsd.Parse(answer)
	if err != nil {
		return nil, fmt.Errorf("the endpoint's answer: %w", err)
	}
	groups := make([]sdk.Group, len(entries))
	for i, e := range entries {
		groups[i] = e.Group(url+":"+strconv.Itoa(i), urlLabel, url)
	}
	return groups, nil
}
