//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rootToken may do everything in the agents of tests.
const rootToken = "5d1bd3f5-6a35-4f0c-8b53-6b2dc4c8a9c1"

// consulAgent is a Consul server with access control, alone in its datacenter dc1.
type consulAgent struct {
	t       *testing.T
	path    string
	dir     string
	args    []string
	address string // of its HTTP API
	// serverPort is that of the service consul, which each agent registers.
	serverPort string
	*process
}

func newConsulAgent(t *testing.T) *consulAgent {
	t.Helper()
	a := &consulAgent{t: t, path: built(t, "consul"), dir: t.TempDir(), address: "127.0.0.1:" + freePort(t), serverPort: freePort(t)}
	write(t, filepath.Join(a.dir, "agent.json"), fmt.Sprintf(`{
		"node_name": "first", "node_meta": {"rack": "r1", "os-version": "12"}, "performance": {"raft_multiplier": 1},
		"log_level": "WARN", "disable_update_check": true, "enable_debug": false,
		"acl": {"enabled": true, "default_policy": "deny", "tokens": {"initial_management": %q, "agent": %[1]q}}
	}`, rootToken))
	_, port, _ := strings.Cut(a.address, ":")
	a.args = []string{
		"agent", "-server", "-bootstrap-expect=1", "-config-file=agent.json", "-data-dir=data", "-bind=127.0.0.1", "-client=127.0.0.1",
		"-http-port=" + port, "-server-port=" + a.serverPort, "-serf-lan-port=" + freePort(t),
		"-dns-port=-1", "-serf-wan-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
	}
	return a
}

// run starts the agent and waits until it knows itself.
func (a *consulAgent) run() {
	a.t.Helper()
	a.process = launch(a.t, a.dir, a.path, a.args...)
	a.killAtEnd()
	eventually(a.t, startTimeout, "Consul knows its node", func() error {
		if a.ended() {
			a.t.Fatalf("Consul ended: %v", a.cmd.ProcessState)
		}
		var nodes []json.RawMessage
		status, body, err := a.try(http.MethodGet, "/v1/health/service/consul", "")
		if err == nil {
			err = json.Unmarshal([]byte(body), &nodes)
		}
		if err == nil && len(nodes) != 1 {
			err = errors.New("it does not")
		}
		if err != nil {
			return fmt.Errorf("it answers %d %s: %w", status, body, err)
		}
		return nil
	})
}

// try sends a request to the agent's API.
func (a *consulAgent) try(method, path, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(a.t.Context(), method, "http://"+a.address+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("X-Consul-Token", rootToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// put has the agent do something.
func (a *consulAgent) put(path, body string) string {
	a.t.Helper()
	status, text, err := a.try(http.MethodPut, path, body)
	if err != nil || status != http.StatusOK {
		a.t.Fatalf("Consul answers %d %s (%v) to PUT %s %s", status, text, err, path, body)
	}
	return text
}

// token makes one that may read what rules say.
func (a *consulAgent) token(rules string) string {
	a.t.Helper()
	quoted, err := json.Marshal(rules)
	if err != nil {
		a.t.Fatal(err)
	}
	a.put("/v1/acl/policy", fmt.Sprintf(`{"Name": "readers", "Rules": %s}`, quoted))
	var made struct{ SecretID string }
	if err := json.Unmarshal([]byte(a.put("/v1/acl/token", `{"Policies": [{"Name": "readers"}]}`)), &made); err != nil {
		a.t.Fatal(err)
	}
	return made.SecretID
}

// secured is the agent behind a proxy that wants a password and has it below /consul.
func (a *consulAgent) secured() string {
	target := &url.URL{Scheme: "http", Host: a.address}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/consul")
			r.Out.Header.Set("X-Consul-Token", rootToken)
		},
		ErrorLog: log.New(io.Discard, "", 0), // The agent is stopped on purpose.
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "guest" || password != "secret" || !strings.HasPrefix(r.URL.Path, "/consul/v1/") {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	a.t.Cleanup(func() {
		srv.CloseClientConnections() // of questions that wait
		srv.Close()
	})
	return strings.TrimPrefix(srv.URL, "http://")
}

const (
	consulWeb1 = `{"ID": "web-1", "Name": "web", "Tags": ["prod", "blue"], "Port": 8080, "Address": "10.1.0.1",
		"Meta": {"version": "1", "odd-key": "ü"}, "TaggedAddresses": {"wan": {"Address": "192.0.2.1", "Port": 80}},
		"Checks": [{"CheckID": "web-1-a", "Name": "a", "TTL": "1h", "Status": "passing"}, {"CheckID": "web-1-b", "Name": "b", "TTL": "1h", "Status": "warning"}]}`
	consulWeb2 = `{"ID": "web-2", "Name": "web", "Tags": ["prod"], "Port": 8081, "Meta": {"version": "2"}}`
	consulDB   = `{"ID": "db", "Name": "db", "Tags": [], "Port": 0, "Address": "fd00::5"}`
	// A node that runs no agent, with a service and a check.
	consulOutside = `{"Node": "outside", "Address": "10.9.9.9", "NodeMeta": {"rack": "r2", "external-node": "true"}, "TaggedAddresses": {"lan": "10.9.9.9", "wan": "198.51.100.9"},
		"Service": {"ID": "mail-1", "Service": "mail", "Tags": ["prod", "a|b"], "Port": 25, "Address": "mail.example.org", "Meta": {"version": "2"}},
		"Check": {"Node": "outside", "CheckID": "service:mail-1", "Name": "mail", "Status": "critical", "ServiceID": "mail-1"}}`
)

// TestConsul: sd-consul finds what Prometheus finds in a real agent, and sees each change that it sees.
func TestConsul(t *testing.T) {
	t.Parallel()
	a := newConsulAgent(t)
	a.run()
	a.put("/v1/agent/service/register", consulWeb1)
	a.put("/v1/agent/service/register", consulDB)
	readers := a.token(`service "web" { policy = "read" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }`)

	config := "scrape_configs:\n"
	job := func(name, section string) {
		config += sdJob(name, "consul", fmt.Sprintf("server: %s\nrefresh_interval: 1s\n%s", a.address, section))
	}
	asRoot := "token: " + rootToken + "\n"
	job("all", asRoot)
	job("named", asRoot+"services: [web, nothing]")
	job("tagged", asRoot+"tags: [prod]\ntag_separator: '|'")
	job("two-tags", asRoot+"services: [web, db]\ntags: [prod, blue]\nallow_stale: false")
	job("rack", asRoot+"node_meta: {rack: r2}")
	job("filter", asRoot+`filter: 'ServiceTags contains "prod" and ServiceName != "mail"'`)
	job("health-filter", asRoot+`health_filter: 'Service.Meta.version == "2"'`)
	job("datacenter", asRoot+"datacenter: dc1\nservices: [web]")
	job("no-datacenter", asRoot+"datacenter: dc2")
	job("namespace", asRoot+"namespace: team")
	job("bad-filter", asRoot+"filter: 'Nothing == 1'")
	job("readers", "token: "+readers)
	job("nobody", "token: 00000000-1111-2222-3333-444444444444")
	config += sdJob("proxy", "consul", fmt.Sprintf("server: %s\npath_prefix: /consul\nusername: guest\npassword: secret\nrefresh_interval: 1s", a.secured()))
	p := startPair(t, t.TempDir(), config, place{})

	p.want("start", "all", 3, `__meta_consul_service="consul"`, `__meta_consul_health="warning"`, `__address__="[fd00::5]:0"`,
		`__meta_consul_service_metadata_odd_key="ü"`, `__meta_consul_metadata_os_version="12"`, `__meta_consul_tags=",prod,blue,"`)
	p.want("start", "named", 1)
	p.want("start", "tagged", 1, `__meta_consul_tags="|prod|blue|"`)
	p.want("start", "two-tags", 1)
	p.want("start", "rack", 0)
	p.want("start", "filter", 1)
	p.want("start", "health-filter", 0)
	p.want("start", "datacenter", 1)
	p.want("start", "readers", 1, `__meta_consul_service="web"`)
	p.want("start", "proxy", 3)

	a.put("/v1/catalog/register", consulOutside)
	a.put("/v1/agent/service/register", consulWeb2)
	p.want("more", "all", 5, `__meta_consul_tagged_address_wan="198.51.100.9"`, `__address__="127.0.0.1:8081"`, `__meta_consul_health="critical"`)
	p.want("more", "named", 2)
	p.want("more", "tagged", 3, `__meta_consul_tags="|prod|a|b|"`)
	p.want("more", "two-tags", 1)
	p.want("more", "rack", 1, `__meta_consul_metadata_external_node="true"`)
	p.want("more", "filter", 2)
	p.want("more", "health-filter", 2)
	p.want("more", "proxy", 5)

	a.put("/v1/agent/check/update/web-1-b", `{"Status": "critical", "Output": "down"}`)
	a.put("/v1/agent/service/maintenance/web-2?enable=true&reason=repair", "")
	p.want("health", "named", 2, `__meta_consul_health="critical"`, `__meta_consul_health="maintenance"`)
	p.want("health", "readers", 2, `__meta_consul_health="critical"`, `__meta_consul_health="maintenance"`)

	a.put("/v1/agent/service/maintenance/web-2?enable=false", "")
	a.put("/v1/agent/maintenance?enable=true&reason=move", "")
	a.put("/v1/agent/service/register", strings.Replace(consulWeb2, `["prod"]`, `["prod", "blue"]`, 1))
	a.put("/v1/agent/service/deregister/web-1", "")
	p.want("node", "all", 4, `__meta_consul_health="maintenance"`)
	p.want("node", "two-tags", 1, `__meta_consul_service_id="web-2"`)
	p.want("node", "proxy", 4)

	a.put("/v1/catalog/deregister", `{"Node": "outside"}`)
	a.put("/v1/agent/maintenance?enable=false", "")
	a.put("/v1/agent/service/deregister/db", "")
	p.want("fewer", "all", 2)
	p.want("fewer", "rack", 0)
	p.want("fewer", "tagged", 1)

	a.kill()
	p.want("stopped", "all", 2) // The last answer holds.
	a.run()
	a.put("/v1/agent/service/register", strings.Replace(consulDB, `[]`, `["prod"]`, 1))
	p.want("again", "all", 3, `__meta_consul_service="db"`)
	p.want("again", "tagged", 2)

	a.kill()
	if err := os.RemoveAll(filepath.Join(a.dir, "data")); err != nil {
		t.Fatal(err)
	}
	a.run() // It counts its changes from the beginning.
	a.put("/v1/agent/service/register", consulWeb1)
	// Who asks it for changes after a count that it has not reached waits for two minutes. Prometheus does so always; ours only
	// if it did not notice that the agent was away, so only ours is asked.
	p.ours.awaitInstances(settle+2*time.Minute, "all", "10.1.0.1:8080", "127.0.0.1:"+a.serverPort)
	p.ours.awaitInstances(settle+2*time.Minute, "named", "10.1.0.1:8080")

	for _, job := range []string{"no-datacenter", "namespace", "bad-filter", "nobody"} {
		p.want("end", job, 0)
	}
	output := p.ours.output()
	for _, reason := range []string{
		`No path to datacenter`, `Namespaces are a Consul Enterprise feature`, `ACL not found`, `Selector \"Nothing\" is not valid`,
	} {
		if !strings.Contains(output, reason) {
			t.Errorf("the log does not tell Consul's reason %s", reason)
		}
	}
}
