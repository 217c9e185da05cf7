package kubernetes_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/plugins/sd-kubernetes/kubernetes"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

func follow(t *testing.T, config map[string]any) *sdktest.Followed {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := kubernetes.Plugin().NewDiscovery(text, sdktest.NewHost(t).SDK())
	if err != nil {
		t.Fatal(err)
	}
	return sdktest.Follow(t, d)
}

// targetsOf are the addresses of what each role finds in testdata/cluster.yaml.
var targetsOf = map[string][]string{
	"node":          {"10.9.0.1:10250", "n2.internal:10250"},
	"pod":           {"10.0.0.1", "10.0.0.1:7070", "10.0.0.1:8080", "10.0.0.1:9090", "fd00::1"},
	"service":       {"web.shop.svc:80", "web.shop.svc:9090", "away.other.svc:443"},
	"endpoints":     {"10.0.0.1:7070", "10.0.0.1:8080", "10.0.0.1:9090", "10.0.0.9:8080"},
	"endpointslice": {"10.0.0.1:7070", "10.0.0.1:8080", "10.0.0.1:9090", "10.0.0.9:8080", "10.0.0.9:9090"},
	"ingress":       {"a.example.com", "b.c.example.com", "plain.org", "open.org"},
}

// TestRoles compares the targets of each role with a golden file, which was compared with those of Prometheus.
func TestRoles(t *testing.T) {
	all := map[string]any{"node": true, "namespace": true, "deployment": true, "job": true, "cronjob": true}
	for role, addresses := range targetsOf {
		for _, attach := range []string{"", "attached"} {
			t.Run(role+attach, func(t *testing.T) {
				config := map[string]any{"api_server": newAPI(t, "testdata/cluster.yaml").URL, "role": role}
				if attach != "" {
					config["attach_metadata"] = all
				}
				golden(t, filepath.Join("testdata", role+attach+".golden"), follow(t, config).Wait(addresses...))
			})
		}
	}
}

func golden(t *testing.T, path string, targets map[string]map[string]string) {
	t.Helper()
	var b strings.Builder
	for _, address := range slices.Sorted(maps.Keys(targets)) {
		fmt.Fprintln(&b, address)
		for _, name := range slices.Sorted(maps.Keys(targets[address])) {
			fmt.Fprintf(&b, "\t%s=%q\n", name, targets[address][name])
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestChanges: what changes behind a target changes the target.
func TestChanges(t *testing.T) {
	a := newAPI(t, "testdata/cluster.yaml")
	f := follow(t, map[string]any{"api_server": a.URL, "role": "endpoints", "attach_metadata": map[string]any{"node": true, "namespace": true}})
	all := []string{"10.0.0.1:7070", "10.0.0.1:8080", "10.0.0.1:9090", "10.0.0.9:8080"}
	f.Wait(all...)
	metadata := func(field, key, value string) func(map[string]any) {
		return func(o map[string]any) {
			m := o["metadata"].(map[string]any)
			m[field] = map[string]any{key: value}
		}
	}
	expect := func(address, label, value string) {
		t.Helper()
		f.WaitFor(func(targets map[string]map[string]string) bool { return targets[address][label] == value })
	}
	a.change("Pod", "web-1", metadata("labels", "version", "2"))
	expect("10.0.0.1:8080", "__meta_kubernetes_pod_label_version", "2")
	a.change("Node", "n1", metadata("labels", "rack", "7"))
	expect("10.0.0.1:8080", "__meta_kubernetes_node_label_rack", "7")
	a.change("Node", "n2", metadata("labels", "rack", "8"))
	expect("10.0.0.9:8080", "__meta_kubernetes_node_label_rack", "8")
	a.change("Service", "web", metadata("annotations", "probe", "no"))
	expect("10.0.0.9:8080", "__meta_kubernetes_service_annotation_probe", "no")
	a.change("Namespace", "shop", metadata("labels", "team", "other"))
	expect("10.0.0.9:8080", "__meta_kubernetes_namespace_label_team", "other")
	a.change("Pod", "web-1", nil)
	f.Wait("10.0.0.1:8080", "10.0.0.9:8080")
	a.change("Endpoints", "web", nil)
	f.Wait()
}

// TestSlices: a service is attached to its slices by their label, whatever their names are.
func TestSlices(t *testing.T) {
	a := newAPI(t, "testdata/cluster.yaml")
	f := follow(t, map[string]any{"api_server": a.URL, "role": "endpointslice"})
	f.Wait("10.0.0.1:7070", "10.0.0.1:8080", "10.0.0.1:9090", "10.0.0.9:8080", "10.0.0.9:9090")
	a.change("Service", "web", func(o map[string]any) { o["metadata"].(map[string]any)["labels"] = map[string]any{"svc": "new"} })
	f.WaitFor(func(targets map[string]map[string]string) bool {
		return targets["10.0.0.9:8080"]["__meta_kubernetes_service_label_svc"] == "new"
	})
	a.change("EndpointSlice", "web-abc", nil)
	f.Wait()
}

func TestNamespacesAndSelectors(t *testing.T) {
	a := newAPI(t, "testdata/cluster.yaml")
	config := map[string]any{
		"api_server": a.URL, "role": "pod", "namespaces": map[string]any{"names": []string{"shop"}},
		"selectors": []any{map[string]any{"role": "pod", "label": "app=web", "field": "spec.nodeName=n1"}},
	}
	follow(t, config).Wait("10.0.0.1", "10.0.0.1:7070", "10.0.0.1:8080", "10.0.0.1:9090")
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, question := range a.asked {
		if want := "/api/v1/namespaces/shop/pods?label=app=web&field=spec.nodeName=n1"; question != want {
			t.Errorf("asked %s, want %s", question, want)
		}
	}
}

func TestParseConfig(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:               "role: missing",
		`{"role": "pods"}`: `role: "pods" is none of`,
		`{"role": "pod", "api_server": "10.0.0.1"}`:                                         "api_server: ",
		`{"role": "pod", "api_server": "https://a", "kubeconfig_file": "b"}`:                "kubeconfig_file: there is api_server too",
		`{"role": "pod", "api_server": "https://a", "namespaces": {"own_namespace": true}}`: "namespaces.own_namespace: ",
		`{"role": "pod", "selectors": [{"role": "service"}]}`:                               "selectors[0].role: the role pod does not read",
		`{"role": "pod", "selectors": [{"role": "pod"}, {"role": "pod"}]}`:                  "selectors[1].role: there is a selector",
		`{"role": "pod", "selectors": [{"role": "pod", "label": "a in"}]}`:                  "selectors[0].label: ",
		`{"role": "pod", "selectors": [{"role": "pod", "field": "a,b"}]}`:                   "selectors[0].field: ",
		`{"role": "pod", "attach": {}}`:                                                     "attach: unknown field; there are ",
		`{"role": "pod", "api_server": "https://a", "attach_metadata": {"node": 1}}`:        "attach_metadata.node: ",
	} {
		if _, err := kubernetes.ParseConfig(sdk.Config(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := kubernetes.Plugin().NewDiscovery(sdk.Config(`{"role": "pod"}`), sdktest.NewHost(t).SDK()); err == nil ||
		!strings.Contains(err.Error(), "api_server: missing, and this is not a pod of a cluster") {
		t.Errorf("outside of a cluster: %v", err)
	}
}
