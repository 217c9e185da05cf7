//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documents reads objects of a file below testdata/kubernetes.
func documents(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "kubernetes", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// kubeJobs are a job for each role, with and without what can be attached, and for each way to narrow what is read.
var kubeJobs = map[string]string{
	"node":                   "role: node",
	"pod":                    "role: pod",
	"pod-attached":           "role: pod\nattach_metadata: {node: true, namespace: true, deployment: true, job: true, cronjob: true}",
	"service":                "role: service",
	"service-attached":       "role: service\nattach_metadata: {namespace: true}",
	"endpoints":              "role: endpoints",
	"endpoints-attached":     "role: endpoints\nattach_metadata: {node: true, namespace: true, deployment: true, job: true, cronjob: true}",
	"endpointslice":          "role: endpointslice",
	"endpointslice-attached": "role: endpointslice\nattach_metadata: {node: true, namespace: true, deployment: true, job: true, cronjob: true}",
	"ingress":                "role: ingress",
	"ingress-attached":       "role: ingress\nattach_metadata: {namespace: true}",
	"one-namespace":          "role: pod\nnamespaces: {names: [shop]}",
	"two-namespaces":         "role: endpoints\nnamespaces: {names: [other, shop, absent]}\nattach_metadata: {node: true}",
	"pod-selected":           "role: pod\nselectors: [{role: pod, label: 'app in (web, else)', field: 'status.phase=Running,spec.nodeName!=n2'}]",
	"pod-on-nodes":           "role: pod\nattach_metadata: {node: true}\nselectors: [{role: node, label: 'zone=a'}]",
	"node-selected":          "role: node\nselectors: [{role: node, label: 'zone=a'}]",
	"behind-selected":        "role: endpoints\nselectors: [{role: endpoints, field: metadata.name=web}, {role: pod, label: canary=yes}, {role: service, label: tier=front}]",
	"slice-selected":         "role: endpointslice\nselectors: [{role: endpointslice, label: kubernetes.io/service-name=web}, {role: pod, label: app=web}, {role: service, label: app=web}]",
}

// TestKubernetes: sd-kubernetes finds what Prometheus finds in a real API, and sees each change that it sees, through
// refusals, tokens that change, restarts of the API server and a history that is lost.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	const firstToken, secondToken = "first-token", "second-token"
	c := startCluster(t, firstToken+",rotating,3,system:masters")
	c.apply(documents(t, "cluster.yaml"))
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "token")
	write(t, tokenFile, firstToken)
	api := fmt.Sprintf("api_server: %s\ntls_config: {ca_file: %s}\n", c.base, filepath.Join(c.dir, "ca.pem"))
	config := "scrape_configs:\n"
	for name, section := range kubeJobs {
		config += sdJob(name, "kubernetes", api+"authorization: {credentials: "+adminToken+"}\n"+section)
	}
	config += sdJob("rotated", "kubernetes", api+"authorization: {credentials_file: "+tokenFile+"}\nrole: pod")
	config += sdJob("reader", "kubernetes", api+"authorization: {credentials: "+readerToken+"}\nrole: pod\nattach_metadata: {node: true}")
	config += sdJob("nobody", "kubernetes", api+"role: service")
	write(t, filepath.Join(dir, "kubeconfig"), fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: u, user: {token: %s}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, c.base, filepath.Join(c.dir, "ca.pem"), adminToken))
	config += sdJob("kubeconfig", "kubernetes", "kubeconfig_file: "+filepath.Join(dir, "kubeconfig")+"\nrole: pod")
	p := startPair(t, dir, config, place{})

	p.wantAll("start", map[string]int{
		"node": 3, "pod": 10, "pod-attached": 8, "service": 7, "service-attached": 7, "endpoints": 12, "endpoints-attached": 12,
		"endpointslice": 17, "endpointslice-attached": 17, "ingress": 7, "ingress-attached": 7, "one-namespace": 8, "two-namespaces": 12,
		"pod-selected": 7, "pod-on-nodes": 7, "node-selected": 1, "behind-selected": 8, "slice-selected": 11, "rotated": 10,
		"kubeconfig": 10, "reader": 0, "nobody": 0,
	})

	c.allow("pods", "nodes")
	c.apply(documents(t, "changes.yaml"))
	p.want("changed", "node", 3, `node_label_zone="c"`, `node_condition_ready="false"`)
	p.want("changed", "pod", 11, `pod_label_canary="yes"`)
	p.want("changed", "pod-attached", 8, `node_label_zone="c"`, `namespace_label_team="checkout"`)
	p.want("changed", "service-attached", 6, `service_label_tier="front"`, `namespace_label_team="checkout"`)
	p.want("changed", "endpoints-attached", 6, `service_label_tier="front"`, `node_label_zone="c"`, `pod_label_canary="yes"`)
	p.want("changed", "endpointslice-attached", 12, `conditions_ready="false"`, `pod_label_canary="yes"`, `namespace_label_team="checkout"`)
	p.want("changed", "ingress-attached", 2, `ingress_path="/b"`, `namespace_label_team="checkout"`)
	p.wantAll("changed", map[string]int{
		"service": 6, "endpoints": 6, "endpointslice": 12, "ingress": 2, "one-namespace": 9, "two-namespaces": 6,
		"pod-selected": 8, "pod-on-nodes": 0, "node-selected": 0, "behind-selected": 2, "slice-selected": 6, "rotated": 11,
		"kubeconfig": 11, "reader": 8,
	})

	shop := "/namespaces/shop/"
	c.remove("/api/v1/nodes/n2", "/api/v1"+shop+"pods/web-1", "/api/v1"+shop+"services/web", "/apis/networking.k8s.io/v1"+shop+"ingresses/shop",
		"/api/v1"+shop+"endpoints/nobody", "/apis/discovery.k8s.io/v1"+shop+"endpointslices/web-s1")
	c.apply(documents(t, "removed.yaml"))
	p.wantAll("removed", map[string]int{
		"node": 2, "pod": 5, "pod-attached": 1, "service": 5, "service-attached": 5, "endpoints": 1, "endpoints-attached": 1,
		"endpointslice": 4, "endpointslice-attached": 4, "ingress": 1, "ingress-attached": 1, "one-namespace": 3, "two-namespaces": 1,
		"behind-selected": 2, "slice-selected": 2, "rotated": 5, "kubeconfig": 5, "reader": 1,
	})

	// While nobody whom the servers know is there, things change, and what led there is forgotten.
	first := c.base
	c.kill()
	c.setTokens(secondToken + ",rotating,3,system:masters")
	c.run("https://127.0.0.1:" + freePort(t))
	c.remove("/api/v1"+shop+"pods/web-2", "/api/v1/nodes/n3")
	c.apply(documents(t, "later.yaml"))
	c.forget()
	c.kill()
	c.run(first)
	p.wantAll("restarted", map[string]int{
		"node": 2, "pod": 5, "pod-attached": 2, "service": 6, "service-attached": 6, "endpointslice": 3, "endpointslice-attached": 3, "slice-selected": 1, "ingress": 1, "one-namespace": 3, "pod-on-nodes": 1, "node-selected": 1, "kubeconfig": 5, "reader": 2,
	})
	// Endpoints that Prometheus saw before their pod have to change before it sees the two together.
	c.apply(`apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: shop, annotations: {seen: "yes"}}
subsets: [{addresses: [{ip: 10.2.0.30, nodeName: n4, targetRef: {kind: Pod, name: web-3, namespace: shop}}], ports: [{name: http, port: 8080}]}]`)
	p.want("endpoints", "endpoints", 2, `pod_name="web-3"`)
	p.want("endpoints", "endpoints-attached", 2, `node_label_zone="a"`)
	p.want("endpoints", "two-namespaces", 2, `service_label_again="yes"`)
	p.want("before the token", "rotated", 5, `pod_name="web-2"`) // The last answer holds.
	write(t, tokenFile, secondToken)
	p.want("after the token", "rotated", 5, `pod_name="web-3"`)

	output := p.ours.output()
	for _, reason := range []string{
		`User \"reader\" cannot list resource \"nodes\"`, `User \"system:anonymous\" cannot list resource \"services\"`, `Unauthorized`,
	} {
		if !strings.Contains(output, reason) {
			t.Errorf("the log does not tell Kubernetes's reason %s", reason)
		}
	}
}
