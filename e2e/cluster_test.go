//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// The users of the cluster, by their tokens.
const (
	adminToken  = "admin-token"  // may do everything
	readerToken = "reader-token" // may do what a test lets it do
)

// kubeCluster is a Kubernetes API with nothing behind it: no controllers and no kubelets, so that objects are what tests say.
type kubeCluster struct {
	t         *testing.T
	dir       string // with ca.pem, for clients
	apiserver string
	etcdURL   string
	base      string // of the API
	client    *http.Client
	*process         // the API server
	tokens    string // its file of tokens
}

// startCluster starts etcd and an API server, for more users if lines for its file of tokens are given.
func startCluster(t *testing.T, users ...string) *kubeCluster {
	t.Helper()
	etcd := built(t, "etcd")
	c := &kubeCluster{t: t, dir: t.TempDir(), apiserver: built(t, "kube-apiserver"), base: "https://127.0.0.1:" + freePort(t)}
	c.etcdURL = "http://127.0.0.1:" + freePort(t)
	peer := "http://127.0.0.1:" + freePort(t)
	store := launch(t, c.dir, etcd, "--data-dir=etcd", "--listen-client-urls="+c.etcdURL, "--advertise-client-urls="+c.etcdURL,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
		"--unsafe-no-fsync", "--log-level=error")
	store.killAtEnd()
	c.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.certificates()}}}
	t.Cleanup(c.client.CloseIdleConnections)
	c.setTokens(users...)
	c.run(c.base)
	return c
}

// certificates writes the files that the API server proves itself and signs tokens with, and returns who vouches for it.
func (c *kubeCluster) certificates() *x509.CertPool {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		c.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(c.t, filepath.Join(c.dir, "ca.pem"), string(certificate))
	write(c.t, filepath.Join(c.dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return pool
}

// setTokens says which users there are beside those that there always are, when the API server starts the next time.
func (c *kubeCluster) setTokens(users ...string) {
	c.t.Helper()
	c.tokens = filepath.Join(c.dir, "tokens.csv")
	lines := append([]string{adminToken + ",admin,1,system:masters", readerToken + ",reader,2"}, users...)
	write(c.t, c.tokens, strings.Join(lines, "\n")+"\n")
}

// run starts an API server at a URL and waits until it is ready.
func (c *kubeCluster) run(base string) {
	c.t.Helper()
	c.base = base
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(base, "https://"))
	c.process = launch(c.t, c.dir, c.apiserver, "--etcd-servers="+c.etcdURL, "--bind-address=127.0.0.1", "--secure-port="+port,
		"--advertise-address=127.0.0.1", "--tls-cert-file=ca.pem", "--tls-private-key-file=key.pem", "--client-ca-file=ca.pem",
		"--token-auth-file="+c.tokens, "--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=key.pem", "--service-account-signing-key-file=key.pem", "--service-cluster-ip-range=10.0.0.0/24",
		"--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount", "--allow-privileged=true")
	c.killAtEnd()
	eventually(c.t, 2*startTimeout, "the Kubernetes API is ready", func() error {
		if c.ended() {
			c.t.Fatalf("the API server ended: %v", c.cmd.ProcessState)
		}
		status, text, err := c.try(http.MethodGet, "/readyz", "", "")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("it answers %d %.300s", status, text)
		}
		return err
	})
}

// try sends a request as the administrator.
func (c *kubeCluster) try(method, path, contentType, body string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(all), err
}

// do sends a request that has to succeed.
func (c *kubeCluster) do(method, path, contentType, body string) string {
	c.t.Helper()
	status, text, err := c.try(method, path, contentType, body)
	if err != nil || status >= 300 {
		c.t.Fatalf("Kubernetes answers %d %s (%v) to %s %s", status, text, err, method, path)
	}
	return text
}

// object is what is needed of one to say where it is.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Status     yaml.Node
}

// path is where the object is in the API.
func (o object) path() string {
	path := "/api/" + o.APIVersion
	if strings.Contains(o.APIVersion, "/") {
		path = "/apis/" + o.APIVersion
	}
	if o.Metadata.Namespace != "" {
		path += "/namespaces/" + o.Metadata.Namespace
	}
	plural := strings.ToLower(o.Kind)
	switch {
	case strings.HasSuffix(plural, "ss"):
		plural += "es"
	case !strings.HasSuffix(plural, "s"):
		plural += "s"
	}
	return path + "/" + plural + "/" + o.Metadata.Name
}

// apply makes objects, or changes them, to be as documents in YAML say.
func (c *kubeCluster) apply(documents string) {
	c.t.Helper()
	for document := range strings.SplitSeq(documents, "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			c.t.Fatal(err)
		}
		const how, query = "application/apply-patch+yaml", "?fieldManager=e2e&force=true"
		c.do(http.MethodPatch, o.path()+query, how, document)
		if !o.Status.IsZero() {
			c.do(http.MethodPatch, o.path()+"/status"+query, how, document)
		}
	}
}

// remove deletes objects at once.
func (c *kubeCluster) remove(paths ...string) {
	c.t.Helper()
	for _, path := range paths {
		c.do(http.MethodDelete, path+"?gracePeriodSeconds=0", "", "")
	}
}

// allow lets the user reader list and watch kinds.
func (c *kubeCluster) allow(kinds ...string) {
	c.t.Helper()
	c.apply(fmt.Sprintf(`apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: ["", apps, batch, discovery.k8s.io, networking.k8s.io], resources: ['%s'], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: User, name: reader, apiGroup: rbac.authorization.k8s.io}, {kind: ServiceAccount, name: monitor, namespace: own}]`,
		strings.Join(kinds, "', '")))
}

// accountToken makes a token for a service account, as a pod gets one.
func (c *kubeCluster) accountToken(namespace, name string) string {
	c.t.Helper()
	c.apply(fmt.Sprintf("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: %s, namespace: %s}", name, namespace))
	answer := c.do(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+name+"/token", "application/json",
		`{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}`)
	var made struct{ Status struct{ Token string } }
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		c.t.Fatal(err)
	}
	return made.Status.Token
}

// forget has etcd forget how objects were before now, so that who asks for the changes since then has to read all anew.
func (c *kubeCluster) forget() {
	c.t.Helper()
	type reply struct {
		Header struct{ Revision string }
	}
	ask := func(path, body string) (answer reply) {
		req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.etcdURL+path, bytes.NewReader([]byte(body)))
		if err != nil {
			c.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			c.t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
			c.t.Fatalf("etcd answers %s to %s (%v)", resp.Status, path, err)
		}
		return answer
	}
	now := ask("/v3/kv/range", `{"key": "YQ=="}`).Header.Revision
	ask("/v3/kv/compaction", fmt.Sprintf(`{"revision": %q, "physical": true}`, now))
}
