//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client asks a server that speaks Prometheus's HTTP API.
type client struct {
	t    *testing.T
	base string // such as http://127.0.0.1:9090
	// token is sent as a bearer token, unless it is empty.
	token string
}

// do sends a request and returns status and body. A form goes into the body of a POST, and into the URL otherwise.
func (c client) do(method, path string, form url.Values) (status int, body string) {
	c.t.Helper()
	status, body, err := c.try(method, path, form)
	if err != nil {
		c.t.Fatal(err)
	}
	return status, body
}

// try is do for servers that may not be there.
func (c client) try(method, path string, form url.Values) (status int, body string, err error) {
	target, content := c.base+path, io.Reader(nil)
	switch {
	case method == http.MethodPost:
		content = strings.NewReader(form.Encode())
	case len(form) > 0:
		target += "?" + form.Encode()
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, target, content)
	if err != nil {
		return 0, "", err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// awaitStatus waits until a page of a process answers with status.
func (c client) awaitStatus(path string, status int, p *process) {
	c.t.Helper()
	eventually(c.t, readyTimeout, path+" answers", func() error {
		if p.ended() {
			c.t.Fatalf("%s ended: %v", p.cmd.Path, p.cmd.ProcessState)
		}
		got, body, err := c.try(http.MethodGet, path, nil)
		if err == nil && got != status {
			err = fmt.Errorf("it answers %d %s", got, body)
		}
		return err
	})
}

// envelope is what every endpoint of the API answers.
type envelope struct {
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
	Warnings  []string        `json:"warnings"`
}

// ask calls an endpoint below /api/v1.
func (c client) ask(method, path string, form url.Values) (status int, e envelope) {
	c.t.Helper()
	status, body := c.do(method, "/api/v1"+path, form)
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		c.t.Fatalf("%s %s answers no JSON: %v: %s", method, path, err, body)
	}
	return status, e
}

// get calls an endpoint that has to succeed and decodes its data.
func (c client) get(path string, form url.Values, data any) {
	c.t.Helper()
	c.decode(http.MethodGet, path, form, data)
}

// decode is get by any method.
func (c client) decode(method, path string, form url.Values, data any) {
	c.t.Helper()
	status, e := c.ask(method, path, form)
	if status != http.StatusOK || e.Status != "success" {
		c.t.Fatalf("%s %s %v answers %d %s %s", method, path, form, status, e.ErrorType, e.Error)
	}
	if err := json.Unmarshal(e.Data, data); err != nil {
		c.t.Fatalf("%s %s %v: %v: %s", method, path, form, err, e.Data)
	}
}

// point is a sample of a series, as the API writes it: [seconds, "value"].
type point struct {
	t int64 // milliseconds
	v float64
}

// UnmarshalJSON reads a point.
func (p *point) UnmarshalJSON(text []byte) error {
	var seconds float64
	var value string
	if err := json.Unmarshal(text, &[]any{&seconds, &value}); err != nil {
		return err
	}
	p.t = int64(math.Round(seconds * 1000))
	var err error
	p.v, err = strconv.ParseFloat(value, 64)
	return err
}

// equals compares values so that NaN equals NaN.
func (p point) equals(q point) bool {
	return p.t == q.t && math.Float64bits(p.v) == math.Float64bits(q.v)
}

// series is one entry of a query's result: Value is set by instant vectors, Values by matrices.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  point             `json:"value"`
	Values []point           `json:"values"`
}

// name is the metric as text, with its labels in order.
func (s series) name() string {
	var pairs []string
	for k, v := range s.Metric {
		pairs = append(pairs, fmt.Sprintf("%s=%q", k, v))
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ", ") + "}"
}

// query evaluates an expression that yields series, now or at a time.
func (c client) query(expr string, at ...time.Time) []series {
	c.t.Helper()
	form := url.Values{"query": {expr}}
	if len(at) > 0 {
		form.Set("time", seconds(at[0]))
	}
	var data struct{ Result []series }
	c.get("/query", form, &data)
	return data.Result
}

// seconds formats a time as the API takes it.
func seconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

// await waits until an expression yields series, and returns them.
func (c client) await(within time.Duration, expr string) (found []series) {
	c.t.Helper()
	eventually(c.t, within, expr+" has a result", func() error {
		if found = c.query(expr); len(found) == 0 {
			return fmt.Errorf("it is empty")
		}
		return nil
	})
	return found
}

// metric returns the sum of a metric of the server's own over all series whose labels contain the given text.
func (c client) metric(name, labels string) (sum float64, found bool) {
	c.t.Helper()
	_, body := c.do(http.MethodGet, "/metrics", nil)
	for line := range strings.Lines(body) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if bare, rest, _ := strings.Cut(key, "{"); bare != name || !strings.Contains(rest, labels) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			c.t.Fatal(err)
		}
		sum, found = sum+v, true
	}
	return sum, found
}

// target is an entry of the answer of /api/v1/targets.
type target struct {
	DiscoveredLabels map[string]string `json:"discoveredLabels"`
	Labels           map[string]string `json:"labels"`
	ScrapePool       string            `json:"scrapePool"`
	Health           string            `json:"health"`
	LastError        string            `json:"lastError"`
}

// targets returns the active targets of a job.
func (c client) targets(job string) []target {
	c.t.Helper()
	var data struct{ ActiveTargets []target }
	c.get("/targets", url.Values{"scrapePool": {job}}, &data)
	return data.ActiveTargets
}

// instances returns the labels instance of a job's active targets, in order.
func (c client) instances(job string) []string {
	c.t.Helper()
	found := []string{}
	for _, target := range c.targets(job) {
		found = append(found, target.Labels["instance"])
	}
	slices.Sort(found)
	return found
}

// awaitInstances waits until a job has exactly these targets.
func (c client) awaitInstances(within time.Duration, job string, want ...string) {
	c.t.Helper()
	slices.Sort(want)
	eventually(c.t, within, fmt.Sprintf("targets of %s are %v", job, want), func() error {
		if got := c.instances(job); !slices.Equal(got, want) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}

// plugin is an entry of the answer of /api/v1/plugins.
type plugin struct {
	Name, State, Transport, Path, LastError string
	Kinds, Keys                             []string
	Digest, RefusedChange                   string
	Restarts                                int
	MemoryBytes                             uint64
	Uses                                    []useOfPlugin
	Signature                               struct{ State, KeyID, Comment string }
	Asks, Given                             struct{ Env []string }
	Used                                    struct {
		Refused struct{ Last string }
	}
}

// useOfPlugin is one use of a plugin, and the process that serves it.
type useOfPlugin struct {
	Name    string
	Process int
}

// plugin returns what the server says about one plugin.
func (c client) plugin(name string) plugin {
	c.t.Helper()
	var data struct{ Plugins []plugin }
	c.get("/plugins", nil, &data)
	i := slices.IndexFunc(data.Plugins, func(p plugin) bool { return p.Name == name })
	if i < 0 {
		c.t.Fatalf("no plugin %s is listed: %v", name, data.Plugins)
	}
	return data.Plugins[i]
}
