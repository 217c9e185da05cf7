// Package kubernetes discovers targets in a Kubernetes cluster, as Prometheus's kubernetes_sd_configs does.
//
// Start with [Plugin] and [Config]; [Discovery] follows the objects of a role through client-go's informers, which sections that
// read the same have in common ([Pool]), and the files
// node.go, pod.go, service.go and endpoints.go say which targets become of an object. With api_server in the config, requests
// go through the host, which adds the credentials; else the plugin logs in by itself, as a pod of the cluster or with a
// kubeconfig.
package kubernetes

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/httpadapter"
)

// Plugin returns the plugin for guest.Main.
func Plugin() sdk.Plugin {
	pool := NewPool()
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "sd-kubernetes",
			Version: "0.1.0",
			Kinds:   []sdk.Kind{sdk.KindDiscovery},
			Keys:    []string{"kubernetes_sd_configs"},
			Asks:    sdk.Asks{HTTP: []string{"api_server"}, Files: []string{"kubeconfig_file"}},
			Shared:  true,
		},
		NewDiscovery: func(c sdk.Config, h sdk.Host) (sdk.Discovery, error) {
			config, err := ParseConfig(c)
			if err != nil {
				return nil, err
			}
			return New(config, h, pool)
		},
	}
}

// namespaceFile holds the namespace of the pod that the plugin runs in.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// restConfig says where the API is and how to log in. The string is the same for configs for which both are; it is empty when
// nothing may be shared.
func restConfig(c Config, h sdk.Host) (*rest.Config, string, error) {
	var r *rest.Config
	var err error
	login := "pod"
	switch {
	case c.APIServer != "":
		login = "host " + h.Access + " " + c.APIServer
		r = &rest.Config{Host: c.APIServer, Transport: httpadapter.Transport{Host: h.HTTP}}
	case c.KubeConfig != "":
		login = "file " + c.KubeConfig + digest(c.KubeConfig)
		r, err = clientcmd.BuildConfigFromFlags("", c.KubeConfig)
		if err != nil {
			err = fmt.Errorf("kubeconfig_file: %w", err)
		}
	default:
		r, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			err = errors.New("api_server: missing, and this is not a pod of a cluster; say where the API is there or in kubeconfig_file")
		}
	}
	if err != nil {
		return nil, "", err
	}
	if h.Access == "" {
		login = ""
	}
	r.UserAgent = "narthex/sd-kubernetes"
	r.ContentType = "application/vnd.kubernetes.protobuf"
	r.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	return r, login, nil
}

// digest tells the states of a file apart.
func digest(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "" // which is an error elsewhere
	}
	return fmt.Sprintf(" %x", sha256.Sum256(text))
}

// clients are for whole objects and for their metadata.
type clients struct {
	objects  kubernetes.Interface
	metadata metadata.Interface
}

func newClients(r *rest.Config) (clients, error) {
	objects, err := kubernetes.NewForConfig(r)
	if err != nil {
		return clients{}, fmt.Errorf("make a client of the Kubernetes API: %w", err)
	}
	meta, err := metadata.NewForConfig(r)
	if err != nil {
		return clients{}, fmt.Errorf("make a client of the Kubernetes API: %w", err)
	}
	return clients{objects, meta}, nil
}

// namespaces returns those to read; the empty one stands for all.
func namespaces(c Config) ([]string, error) {
	names := append([]string{}, c.Namespaces.Names...)
	if c.Namespaces.Own {
		own, err := os.ReadFile(namespaceFile)
		if err != nil {
			return nil, fmt.Errorf("namespaces.own_namespace: this is not a pod of a cluster: %w", err)
		}
		names = append(names, strings.TrimSpace(string(own)))
	}
	if len(names) == 0 {
		return []string{""}, nil
	}
	return names, nil
}
