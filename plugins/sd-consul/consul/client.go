package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

const (
	// waitTime is how long Consul holds a question back whose answer has not changed.
	waitTime = 2 * time.Minute
	// waitSlack is for the answer's way; Consul adds up to a sixteenth of the time by itself.
	waitSlack = 15*time.Second + waitTime/16
)

// client asks one Consul agent.
type client struct {
	config Config
	http   sdk.HTTPClient
}

// query are the parameters that every question carries.
func (c *client) query() url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("dc", c.config.Datacenter)
	set("ns", c.config.Namespace)
	set("partition", c.config.Partition)
	if c.config.AllowStale {
		q.Set("stale", "")
	}
	for key, value := range c.config.NodeMeta {
		q.Add("node-meta", key+":"+value)
	}
	return q
}

// services returns the tags of each service, and the index of that state. With the index of a state that is known it waits
// until there is another one, or for [waitTime].
func (c *client) services(ctx context.Context, index uint64) (map[string][]string, uint64, error) {
	q := c.query()
	if c.config.Filter != "" {
		q.Set("filter", c.config.Filter)
	}
	var tags map[string][]string
	index, err := c.get(ctx, "/v1/catalog/services", q, index, &tags)
	return tags, index, err
}

// instances returns the instances of a service, like services.
func (c *client) instances(ctx context.Context, service string, index uint64) ([]instance, uint64, error) {
	q := c.query()
	for _, tag := range c.config.ServiceTags {
		q.Add("tag", tag)
	}
	if c.config.HealthFilter != "" {
		q.Set("filter", c.config.HealthFilter)
	}
	var found []instance
	index, err := c.get(ctx, "/v1/health/service/"+url.PathEscape(service), q, index, &found)
	return found, index, err
}

// datacenter returns the agent's own.
func (c *client) datacenter(ctx context.Context) (string, error) {
	var agent struct{ Config struct{ Datacenter string } }
	_, err := c.get(ctx, "/v1/agent/self", url.Values{}, 0, &agent)
	if err == nil && agent.Config.Datacenter == "" {
		err = errors.New("the agent names no datacenter")
	}
	return agent.Config.Datacenter, err
}

// get decodes an answer into v and returns the index of its state.
func (c *client) get(ctx context.Context, path string, q url.Values, index uint64, v any) (uint64, error) {
	if index > 0 {
		q.Set("index", strconv.FormatUint(index, 10))
		q.Set("wait", strconv.FormatInt(waitTime.Milliseconds(), 10)+"ms")
	}
	ctx, cancel := context.WithTimeout(ctx, waitTime+waitSlack)
	defer cancel()
	u := url.URL{Scheme: c.config.Scheme, Host: c.config.Server}
	resp, err := c.http.Do(ctx, sdk.Request{Method: "GET", URL: u.JoinPath(c.config.PathPrefix).String() + path + "?" + q.Encode()})
	if err != nil {
		return 0, fmt.Errorf("ask Consul for %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing more is wanted of it
	if resp.Status != 200 {
		reason, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // what there is of it
		return 0, fmt.Errorf("ask Consul for %s: HTTP status %d: %s", path, resp.Status, reason)
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return 0, fmt.Errorf("decode Consul's answer for %s: %w", path, err)
	}
	var next uint64
	if values := resp.Header["X-Consul-Index"]; len(values) > 0 {
		next, _ = strconv.ParseUint(values[0], 10, 64) // 0, if it is none: the next question does not wait
	}
	if next < index {
		next = 0 // Consul was restored from a snapshot: start anew
	}
	return next, nil
}
