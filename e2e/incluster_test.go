//go:build e2e && linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// podPlace is a place that looks like a pod of the cluster: with the address of the API, and with the files of an account.
func podPlace(t *testing.T, c *kubeCluster, account string) place {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(c.base, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	const where = "/run/secrets/kubernetes.io/serviceaccount"
	in := place{
		env: []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port},
		wrap: []string{
			"unshare", "--mount", "sh", "-c",
			"mount -t tmpfs none /run && mkdir -p " + where + ` && mount --bind "$0" ` + where + ` && exec "$@"`, account,
		},
	}
	if out, err := exec.Command(in.wrap[0], append(in.wrap[1:], "true")...).CombinedOutput(); err != nil {
		missed.lack(t, "mounts", fmt.Sprintf("a pod's files cannot be put in place: %v: %s", err, out))
	}
	return in
}

// TestKubernetesPod: in a pod, sd-kubernetes finds the API and its account there, as Prometheus does.
func TestKubernetesPod(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.apply(documents(t, "cluster.yaml"))
	c.allow("pods", "services", "endpoints", "endpointslices", "nodes", "namespaces")
	account := t.TempDir()
	authority, err := os.ReadFile(filepath.Join(c.dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(account, "ca.crt"), string(authority))
	write(t, filepath.Join(account, "namespace"), "own")
	write(t, filepath.Join(account, "token"), c.accountToken("own", "monitor"))

	config := "scrape_configs:\n"
	config += sdJob("all", "kubernetes", "role: pod")
	config += sdJob("own", "kubernetes", "role: pod\nnamespaces: {own_namespace: true}\nattach_metadata: {namespace: true}")
	config += sdJob("own-and-other", "kubernetes", "role: pod\nnamespaces: {own_namespace: true, names: [other]}")
	config += sdJob("forbidden", "kubernetes", "role: ingress")
	p := startPair(t, t.TempDir(), config, podPlace(t, c, account))
	p.wantAll("start", map[string]int{"all": 10, "own": 1, "own-and-other": 2, "forbidden": 0})

	c.allow("pods", "namespaces", "ingresses")
	p.want("allowed", "forbidden", 7)
	c.remove("/api/v1/namespaces/own/pods/own-1")
	p.wantAll("removed", map[string]int{"all": 9, "own": 0, "own-and-other": 1})
	if reason := `User \"system:serviceaccount:own:monitor\" cannot list resource \"ingresses\"`; !strings.Contains(p.ours.output(), reason) {
		t.Errorf("the log does not tell Kubernetes's reason %s", reason)
	}
}
