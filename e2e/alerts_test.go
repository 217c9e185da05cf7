//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// switches is a target with a series for each alert: 1 has it fire.
type switches struct {
	address string
	mu      sync.Mutex
	on      map[string]bool
}

func newSwitches(t *testing.T) *switches {
	t.Helper()
	s := &switches{on: map[string]bool{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for _, name := range slices.Sorted(maps.Keys(s.on)) {
			fmt.Fprintf(w, "e2e_switch{name=%q} %d\n", name, map[bool]int{true: 1}[s.on[name]])
		}
	}))
	t.Cleanup(srv.Close)
	s.address = strings.TrimPrefix(srv.URL, "http://")
	return s
}

func (s *switches) set(on bool, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.on[name] = on
	}
}

// config is a configuration whose rules follow the switches, with the section alerting indented by two spaces.
func (s *switches) config(t *testing.T, dir, alerting string) string {
	t.Helper()
	write(t, filepath.Join(dir, "rules.yml"), `groups:
- name: switches
  interval: 300ms
  rules:
  - alert: Switched
    expr: max by (name) (e2e_switch{job="switches"}) == 1
    annotations: {summary: "{{ $labels.name }} is on"}
`)
	return "global: {external_labels: {region: eu}}\nrule_files: [rules.yml]\nalerting:\n" + alerting +
		"\nscrape_configs:\n" + staticJob("switches", "200ms", s.address)
}

// alertmanager is a running Alertmanager, or the place for one.
type alertmanager struct {
	t         *testing.T
	path, dir string
	port      string
	*process
}

func newAlertmanager(t *testing.T, path string) *alertmanager {
	t.Helper()
	am := &alertmanager{t: t, path: path, dir: t.TempDir(), port: freePort(t)}
	write(t, filepath.Join(am.dir, "am.yml"), "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
	return am
}

func (am *alertmanager) address() string { return "127.0.0.1:" + am.port }

func (am *alertmanager) run() {
	am.t.Helper()
	am.process = launch(am.t, am.dir, am.path, "--config.file=am.yml", "--storage.path=data",
		"--web.listen-address="+am.address(), "--cluster.listen-address=")
	client{t: am.t, base: "http://" + am.address()}.awaitStatus("/-/ready", http.StatusOK, am.process)
}

// wantAlerts waits until exactly the alerts of those names are active.
func (am *alertmanager) wantAlerts(within time.Duration, want ...string) {
	am.t.Helper()
	eventually(am.t, within, "alerts are in the Alertmanager", func() error {
		resp, err := http.Get("http://" + am.address() + "/api/v2/alerts")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var alerts []struct {
			Labels, Annotations map[string]string
			GeneratorURL        string
		}
		if err := json.NewDecoder(resp.Body).Decode(&alerts); err != nil {
			return err
		}
		var names []string
		for _, a := range alerts {
			name := a.Labels["name"]
			names = append(names, name)
			if a.Labels["region"] != "eu" || a.Annotations["summary"] != name+" is on" || !strings.Contains(a.GeneratorURL, "/graph?g0.expr=") {
				am.t.Errorf("alert is %+v", a)
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, want) {
			return fmt.Errorf("there are %q instead of %q", names, want)
		}
		return nil
	})
}

// hanging returns the address of a server that takes connections and never answers.
func hanging(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range open {
					_ = c.Close()
				}
				return
			}
			open = append(open, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}

// TestAlertmanager: alerts come to real Alertmanagers, an old one and a new one, in time whatever happens to others, are
// resolved, and survive restarts of either side and a reload.
func TestAlertmanager(t *testing.T) {
	t.Parallel()
	first := newAlertmanager(t, component(t, "prometheus-alertmanager", "prometheus-alertmanager"))
	second := newAlertmanager(t, built(t, "alertmanager"))
	first.run()
	dir, sw := t.TempDir(), newSwitches(t)
	section := fmt.Sprintf("  alertmanagers:\n  - timeout: 1s\n    static_configs: [{targets: ['%s', '%s', '%s']}]",
		hanging(t), second.address(), first.address())
	o := options{dir: dir, config: sw.config(t, dir, section), args: []string{"--rules.alert.resend-delay=5s"}}
	s := start(t, o)

	sw.set(true, "a", "b")
	first.wantAlerts(5*time.Second, "a", "b")
	sw.set(false, "a")
	first.wantAlerts(5*time.Second, "b") // Alerts would last for 20 s by themselves.

	first.kill()
	sw.set(true, "c")
	sw.set(false, "b")
	s.await(5*time.Second, `ALERTS{name="c"}`)
	first.run()
	first.wantAlerts(15*time.Second, "c")
	second.run() // It was never there before.
	second.wantAlerts(40*time.Second, "c")

	s.wantReload(strings.Replace(o.config, "timeout: 1s", "timeout: 2s", 1))
	write(t, s.config, strings.Replace(o.config, "timeout: 1s", "tls_config: {ca_file: missing.pem}", 1))
	if status, body := s.reload(); status != http.StatusInternalServerError || !strings.Contains(body, "narthex.yml:5: alerting.alertmanagers[0].tls_config: ") {
		t.Errorf("reload answers %d %s", status, body)
	}
	write(t, s.config, o.config)
	sw.set(true, "d")
	first.wantAlerts(5*time.Second, "c", "d")
	second.wantAlerts(5*time.Second, "c", "d")

	s.kill()
	sw.set(false, "c")
	s = start(t, options{dir: dir, args: o.args})
	first.wantAlerts(30*time.Second, "d") // Nobody says that the other one is over, but it ends by itself.
	s.awaitFiring("d")
	sw.set(false, "d")
	first.wantAlerts(5 * time.Second)
	second.wantAlerts(5 * time.Second)

	var found struct {
		ActiveAlertmanagers []struct{ URL string }
	}
	s.get("/alertmanagers", nil, &found)
	if len(found.ActiveAlertmanagers) != 3 || found.ActiveAlertmanagers[2].URL != "http://"+first.address()+"/api/v2/alerts" {
		t.Errorf("Alertmanagers are %+v", found)
	}
}

// awaitFiring waits until the rules find that the alerts of those names fire, and no others.
func (s *server) awaitFiring(names ...string) {
	s.t.Helper()
	eventually(s.t, 10*time.Second, "alerts fire", func() error {
		var data struct {
			Alerts []struct{ Labels map[string]string }
		}
		s.get("/alerts", nil, &data)
		var firing []string
		for _, a := range data.Alerts {
			firing = append(firing, a.Labels["name"])
		}
		if slices.Sort(firing); !slices.Equal(firing, names) {
			return fmt.Errorf("%q fire", firing)
		}
		return nil
	})
}

// hook is a webhook that can be out of order.
type hook struct {
	url  string
	mu   sync.Mutex
	down bool
	got  []string // "firing a,b" by batch, by order
	ids  map[string]int
	auth string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{ids: map[string]int{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var body struct {
			State string
			Names []string
		}
		if err == nil {
			err = json.Unmarshal(text, &body)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.auth = r.Header.Get("Authorization")
		if h.down || err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.ids[r.Header.Get("Idempotency-Key")]++
		h.got = append(h.got, body.State+" "+strings.Join(body.Names, ","))
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

func (h *hook) setDown(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
}

// want waits until the batches have come, those of before included, and no other.
func (h *hook) want(t *testing.T, batches ...string) {
	t.Helper()
	eventually(t, 20*time.Second, "the webhook is told", func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !slices.Equal(h.got, batches) {
			return fmt.Errorf("it was told %q instead of %q", h.got, batches)
		}
		return nil
	})
}

// TestNotifyWebhook: without an Alertmanager, alerts are told by a plugin, once, though the webhook is down and the server is
// killed meanwhile.
func TestNotifyWebhook(t *testing.T) {
	t.Parallel()
	h, sw, dir := newHook(t), newSwitches(t), t.TempDir()
	section := fmt.Sprintf(`  webhook_notify_configs:
  - url: %s
    body: {state: "{{ status }}", names: {each_alert: "{{ alert.labels.name }}"}}
    authorization: {credentials: hidden-word}
    group_by: [alertname]
    group_wait: 1s
    group_interval: 1s`, h.url)
	s := start(t, options{dir: dir, config: sw.config(t, dir, section)})
	sw.set(true, "a")
	h.want(t, "firing a")
	h.setDown(true)
	sw.set(true, "b")
	eventually(t, 10*time.Second, "a batch waits", func() error {
		failed, _ := s.metric("narthex_notify_batches_total", `receiver="webhook",result="failed"`)
		pending, _ := s.metric("narthex_notify_pending_batches", `receiver="webhook"`)
		if failed == 0 || pending != 1 {
			return fmt.Errorf("%v have failed and %v wait", failed, pending)
		}
		return nil
	})
	s.kill()
	h.setDown(false)
	s = start(t, options{dir: dir})
	h.want(t, "firing a", "firing a,b")
	s.awaitFiring("a", "b")
	sw.set(false, "b")
	h.want(t, "firing a", "firing a,b", "firing a,b") // One that is resolved comes with those that fire.
	sw.set(false, "a")
	h.want(t, "firing a", "firing a,b", "firing a,b", "resolved a")

	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ids) != 4 || h.auth != "Bearer hidden-word" {
		t.Errorf("ids are %v, the credentials %q", h.ids, h.auth)
	}
	p := s.plugin("notify-webhook")
	if p.State != "ready" || len(p.Uses) != 1 || p.Uses[0].Name != "webhook_notify_configs" {
		t.Errorf("the plugin is listed as %+v", p)
	}
	if _, body := s.do(http.MethodGet, "/api/v1/status/config", nil); strings.Contains(body, "hidden-word") || !strings.Contains(body, "webhook_notify_configs") {
		t.Errorf("the configuration is shown as %s", body)
	}
	if strings.Contains(s.output(), "hidden-word") {
		t.Error("a credential is in the log")
	}
}
