package consul_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/plugins/sd-consul/consul"
	"github.com/narthex-io/narthex/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent answers as a Consul agent does: questions with the index of the present state wait for another state.
type agent struct {
	mu       sync.Mutex
	index    uint64
	changed  chan struct{}
	services map[string]map[string]any // instances' ports by id, by service
	broken   bool
	asked    []url.Values
}

func newAgent() *agent {
	return &agent{index: 1, changed: make(chan struct{}), services: map[string]map[string]any{}}
}

// edit changes the state and wakes those who wait.
func (a *agent) edit(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	a.index++
	close(a.changed)
	a.changed = make(chan struct{})
}

// set replaces the instances of a service; without any, the service is gone.
func (a *agent) set(service string, ports ...int) {
	a.edit(func() {
		delete(a.services, service)
		for i, p := range ports {
			if a.services[service] == nil {
				a.services[service] = map[string]any{}
			}
			a.services[service][service+strconv.Itoa(i)] = p
		}
	})
}

func (a *agent) Do(ctx context.Context, r sdk.Request) (*sdk.Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	a.mu.Lock()
	a.asked = append(a.asked, q)
	broken := a.broken
	a.mu.Unlock()
	if broken {
		return nil, errors.New("connection refused")
	}
	if u.Path == "/v1/agent/self" {
		return answer(0, map[string]any{"Config": map[string]any{"Datacenter": "dc7"}})
	}
	if err := a.wait(ctx, q); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if u.Path == "/v1/catalog/services" {
		tags := map[string][]string{}
		for name := range a.services {
			tags[name] = []string{"v1", name}
		}
		return answer(a.index, tags)
	}
	list := []any{}
	instances := a.services[strings.TrimPrefix(u.Path, "/v1/health/service/")]
	for _, id := range slices.Sorted(maps.Keys(instances)) {
		list = append(list, map[string]any{
			"Node":    map[string]any{"Node": "n1", "Address": "10.0.0.1"},
			"Service": map[string]any{"ID": id, "Port": instances[id], "Tags": []string{"v1"}},
		})
	}
	return answer(a.index, list)
}

func (a *agent) wait(ctx context.Context, q url.Values) error {
	known, _ := strconv.ParseUint(q.Get("index"), 10, 64)
	limit, _ := time.ParseDuration(q.Get("wait"))
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		a.mu.Lock()
		now, changed := a.index, a.changed
		a.mu.Unlock()
		if now != known {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func answer(index uint64, v any) (*sdk.Response, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &sdk.Response{
		Status: 200,
		Header: map[string][]string{"X-Consul-Index": {strconv.FormatUint(index, 10)}},
		Body:   io.NopCloser(strings.NewReader(string(text))),
	}, nil
}

// scene runs a discovery in a bubble.
type scene struct {
	*agent
	t       *testing.T
	updates chan []sdk.Group
}

func play(t *testing.T, config string, f func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := consul.ParseConfig(sdk.Config(config))
		if err != nil {
			t.Fatal(err)
		}
		s := &scene{agent: newAgent(), t: t, updates: make(chan []sdk.Group)}
		d := consul.New(c, sdk.Host{Log: slog.New(slog.DiscardHandler), HTTP: s.agent})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx, s.updates) }()
		f(s)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// want checks the next update, which comes within a refresh interval or so.
func (s *scene) want(want string) {
	s.t.Helper()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	select {
	case groups := <-s.updates:
		var parts []string
		for _, g := range groups {
			parts = append(parts, g.Source+strings.Join(append([]string{""}, g.Targets...), "="))
		}
		if got := strings.Join(parts, " "); got != want {
			s.t.Errorf("got %q, want %q", got, want)
		}
	case <-timeout.C:
		s.t.Errorf("no update, want %q", want)
	}
}

// quiet checks that nothing comes in a while.
func (s *scene) quiet() {
	s.t.Helper()
	select {
	case groups := <-s.updates:
		s.t.Errorf("got %v, want nothing", groups)
	case <-time.After(10 * time.Minute):
	}
}

func TestAllServices(t *testing.T) {
	play(t, `{}`, func(s *scene) {
		s.want("") // an empty catalog is news
		s.set("web", 80, 81)
		s.want("web=10.0.0.1:80 web=10.0.0.1:81")
		s.set("db", 5432)
		s.want("db=10.0.0.1:5432")
		s.quiet()
		s.set("web", 80)
		s.want("web=10.0.0.1:80")
		s.set("db")
		s.want("db")
		s.quiet()
		s.set("db", 5432)
		s.want("db=10.0.0.1:5432")
	})
}

// TestFirst: one update holds everything, so that whoever takes over from another guest loses nothing in between.
func TestFirst(t *testing.T) {
	play(t, `{}`, func(s *scene) {
		s.edit(func() {
			s.services["a"] = map[string]any{"a0": 1}
			s.services["b"] = map[string]any{"b0": 2}
		})
		s.want("a=10.0.0.1:1 b=10.0.0.1:2")
	})
}

func TestNamedServices(t *testing.T) {
	play(t, `{"services": ["web"], "datacenter": "dc1"}`, func(s *scene) {
		s.want("")
		s.set("db", 1)
		s.quiet()
		s.set("web", 80)
		s.want("web=10.0.0.1:80")
		s.set("web")
		s.want("web")
	})
}

func TestTags(t *testing.T) {
	play(t, `{"tags": ["v1", "web"]}`, func(s *scene) {
		s.want("")
		s.set("db", 1)
		s.set("web", 80)
		s.want("web=10.0.0.1:80")
		s.quiet()
	})
}

// TestFailure: targets stay while Consul is away.
func TestFailure(t *testing.T) {
	play(t, `{}`, func(s *scene) {
		s.want("")
		s.set("web", 80)
		s.want("web=10.0.0.1:80")
		s.edit(func() { s.broken = true })
		s.quiet()
		s.edit(func() { s.broken = false })
		s.quiet()
		s.set("web", 81)
		s.want("web=10.0.0.1:81")
	})
}

// TestManyServices: with more services than may wait, all are followed still.
func TestManyServices(t *testing.T) {
	play(t, `{}`, func(s *scene) {
		s.edit(func() {
			for i := range 200 {
				s.services["s"+strconv.Itoa(i)] = map[string]any{"x": i}
			}
		})
		if groups := <-s.updates; len(groups) != 200 {
			s.t.Fatalf("%d groups", len(groups))
		}
		s.quiet()
		s.set("s7", 1007)
		s.want("s7=10.0.0.1:1007")
		s.set("s8")
		s.want("s8")
		s.quiet()
	})
}

func TestQuestions(t *testing.T) {
	play(t, `{"datacenter": "dc1", "namespace": "ns1", "partition": "p1", "node_meta": {"rack": "7"}, "filter": "F", "health_filter": "H", "tags": ["v1"]}`, func(s *scene) {
		s.edit(func() { s.services["web"] = map[string]any{"w": 80} })
		s.want("web=10.0.0.1:80")
		s.mu.Lock()
		defer s.mu.Unlock()
		if got, want := s.asked[0].Encode(), "dc=dc1&filter=F&node-meta=rack%3A7&ns=ns1&partition=p1&stale="; got != want {
			s.t.Errorf("the list of services: got %s, want %s", got, want)
		}
		if got, want := s.asked[1].Encode(), "dc=dc1&filter=H&node-meta=rack%3A7&ns=ns1&partition=p1&stale=&tag=v1"; got != want {
			s.t.Errorf("a service: got %s, want %s", got, want)
		}
	})
}

func TestParseConfig(t *testing.T) {
	c, err := consul.ParseConfig(sdk.Config(`{}`))
	if err != nil || c.Server != "localhost:8500" || c.Scheme != "http" || c.TagSeparator != "," || !c.AllowStale || c.RefreshInterval != 30*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
	for text, want := range map[string]string{
		`{"server": ""}`:             "server: missing",
		`{"scheme": "ftp"}`:          `scheme: "ftp" is neither`,
		`{"servers": ["x"]}`:         "servers: unknown field; there are server, path_prefix, ",
		`{"refresh_interval": "1"}`:  "refresh_interval: ",
		`{"allow_stale": "yes"}`:     "allow_stale: a string is not what belongs here",
		`{"node_meta": {"rack": 7}}`: "node_meta",
	} {
		if _, err := consul.ParseConfig(sdk.Config(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
