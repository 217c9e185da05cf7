package kubernetes_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/narthex-io/narthex/plugins/sd-kubernetes/kubernetes"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

// section is one that runs beside others in a process until stop is called.
type section struct {
	*sdktest.Followed
	sdk.Discovery
	stop    func()
	stopped chan struct{}
	ended   chan struct{}
}

// Run implements sdk.Discovery.
func (s *section) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	defer close(s.ended)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Discovery.Run(ctx, updates) }()
	select {
	case <-s.stopped:
	case <-ctx.Done():
	}
	cancel()
	return <-ended
}

// leave stops the section and waits until nothing of it runs.
func (s *section) leave() {
	s.stop()
	<-s.ended
}

// sections starts one for each config, all in one process with one access.
func sections(t *testing.T, p sdk.Plugin, access string, configs ...map[string]any) []*section {
	t.Helper()
	var all []*section
	for _, config := range configs {
		text, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		h := sdktest.NewHost(t).SDK()
		h.Access = access
		d, err := p.NewDiscovery(text, h)
		if err != nil {
			t.Fatal(err)
		}
		s := &section{Discovery: d, stopped: make(chan struct{}), ended: make(chan struct{})}
		s.stop = sync.OnceFunc(func() { close(s.stopped) })
		s.Followed = sdktest.Follow(t, s)
		all = append(all, s)
	}
	return all
}

// wantWatches waits until as many watches as want says are open, by kind.
func (a *api) wantWatches(t *testing.T, want map[string]int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := map[string]int{}
		a.mu.Lock()
		for _, resource := range a.watchers {
			for kind, path := range resources {
				if path == resource {
					got[kind]++
				}
			}
		}
		a.mu.Unlock()
		if maps.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("watches are %v, want %v", got, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// lists counts the requests so far that were no watches.
func (a *api) lists() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.listed
}

var roles = []string{"node", "pod", "service", "endpoints", "endpointslice", "ingress"}

// TestOneWatchEach: however many sections there are, each kind is watched once.
func TestOneWatchEach(t *testing.T) {
	everything := map[string]any{"node": true, "namespace": true, "deployment": true, "job": true, "cronjob": true}
	jobs := func(a *api) (configs []map[string]any) {
		for range 3 {
			for _, role := range roles {
				configs = append(configs, map[string]any{"api_server": a.URL, "role": role, "attach_metadata": everything})
			}
		}
		return configs
	}
	each := func(n int) map[string]int {
		return map[string]int{
			"Node": 4 * n, "Pod": 3 * n, "Service": 3 * n, "Endpoints": n, "EndpointSlice": n, "Ingress": n, "Namespace": 5 * n, "ReplicaSet": 3 * n, "Job": 3 * n,
		}
	}
	apart := newAPI(t, "testdata/cluster.yaml")
	sections(t, kubernetes.Plugin(), "", jobs(apart)...)
	apart.wantWatches(t, each(3))

	one := map[string]int{}
	for kind := range each(1) {
		one[kind] = 1
	}
	together := newAPI(t, "testdata/cluster.yaml")
	all := sections(t, kubernetes.Plugin(), "same", jobs(together)...)
	together.wantWatches(t, one)
	for i, s := range all { // all find what they would find alone
		golden(t, "testdata/"+roles[i%len(roles)]+"attached.golden", s.Wait(targetsOf[roles[i%len(roles)]]...))
	}
	if n := together.lists(); n != 2*len(one) { // the newer way to list, which this server does not know, and the older
		t.Errorf("%d requests were no watches, want %d", n, 2*len(one))
	}
	for _, s := range all {
		s.leave()
	}
	together.wantWatches(t, map[string]int{})
}

// TestApart: what differs in the place, the credentials, the namespaces or the selectors is read apart.
func TestApart(t *testing.T) {
	a := newAPI(t, "testdata/cluster.yaml")
	p := kubernetes.Plugin()
	with := func(fields map[string]any) map[string]any {
		config := map[string]any{"api_server": a.URL, "role": "pod"}
		maps.Copy(config, fields)
		return config
	}
	sections(t, p, "one", with(nil), with(nil), // the first watch
		with(map[string]any{"namespaces": map[string]any{"names": []string{"shop"}}}),
		with(map[string]any{"namespaces": map[string]any{"names": []string{"shop", "shop"}}}),
		with(map[string]any{"selectors": []any{map[string]any{"role": "pod", "label": "app=web"}}}),
		with(map[string]any{"selectors": []any{map[string]any{"role": "pod", "field": "spec.nodeName=n1"}}}),
		with(map[string]any{"api_server": a.URL + "/"}))
	sections(t, p, "other", with(nil))
	sections(t, p, "", with(nil))
	a.wantWatches(t, map[string]int{"Pod": 7})
}

// TestHandOver: when the section through which the others read leaves, the next one goes on, and nothing is read anew.
func TestHandOver(t *testing.T) {
	a := newAPI(t, "testdata/cluster.yaml")
	config := map[string]any{"api_server": a.URL, "role": "service"}
	all := sections(t, kubernetes.Plugin(), "same", config, config, config)
	all[2].Wait(targetsOf["service"]...)
	a.wantWatches(t, map[string]int{"Service": 1})
	a.change("Service", "web", func(map[string]any) {}) // A watch that has seen nothing and ends at once is suspicious.
	all[2].WaitFor(func(map[string]map[string]string) bool { return all[2].Updates() > 1 })
	lists, updates := a.lists(), all[2].Updates()
	all[0].leave()
	a.wantWatches(t, map[string]int{"Service": 1})
	a.change("Service", "away", nil)
	all[1].Wait("web.shop.svc:80", "web.shop.svc:9090")
	all[2].Wait("web.shop.svc:80", "web.shop.svc:9090")
	if n := a.lists() - lists; n != 0 {
		t.Errorf("%d requests were no watches", n)
	}
	if n := all[2].Updates() - updates; n != 1 {
		t.Errorf("the section that stays sent %d updates, want that of the change alone", n)
	}
	all[1].leave()
	a.wantWatches(t, map[string]int{"Service": 1})
	late := sections(t, kubernetes.Plugin(), "same", config)[0]
	late.Wait("web.shop.svc:80", "web.shop.svc:9090")
	all[2].leave()
	late.leave()
	a.wantWatches(t, map[string]int{})
}

// TestLateSection: a section that comes later has everything in its first update, as the others had.
func TestLateSection(t *testing.T) {
	a := newAPI(t, "testdata/cluster.yaml")
	config := map[string]any{"api_server": a.URL, "role": "endpoints"}
	p := kubernetes.Plugin()
	sections(t, p, "same", config)[0].Wait(targetsOf["endpoints"]...)
	h := sdktest.NewHost(t).SDK()
	h.Access = "same"
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.NewDiscovery(text, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	updates, ended := make(chan []sdk.Group), make(chan error, 1)
	go func() { ended <- d.Run(ctx, updates) }()
	var found []string
	for _, g := range <-updates {
		found = append(found, g.Targets...)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	slices.Sort(found)
	want := slices.Sorted(slices.Values(targetsOf["endpoints"]))
	if !slices.Equal(found, want) {
		t.Errorf("the first update has %v, want %v", found, want)
	}
}

// TestConformance: the plugin is what a host expects, alone and with siblings.
func TestConformance(t *testing.T) {
	a := newAPI(t, "testdata/cluster.yaml")
	h := sdktest.NewHost(t).SDK()
	h.Access = "same"
	sdktest.Run(t, sdktest.Case{
		Open: sdktest.InProcess(kubernetes.Plugin(), h), Kind: sdk.KindDiscovery,
		Good: sdk.Config(`{"role": "pod", "api_server": "` + a.URL + `"}`), Bad: []sdk.Config{sdk.Config(`{}`), sdk.Config(`{"role": "pods"}`)},
	})
	a.wantWatches(t, map[string]int{})
}
