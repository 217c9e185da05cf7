package kubernetes

import (
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/narthex-io/narthex/sdk"
)

func nodeSource(name string) string { return "node/" + name }

// node returns one target, the kubelet.
func (c *cluster) node(n *corev1.Node) []sdk.Group {
	t := targets{source: nodeSource(n.Name), common: labelSet{}}
	address := nodeAddress(n)
	if address == "" {
		c.log.Warn("a node has no address", "node", n.Name)
		return t.done()
	}
	l := labelSet{"instance": n.Name}
	l.metadata("node", &n.ObjectMeta)
	l.set("node_provider_id", n.Spec.ProviderID)
	for _, condition := range n.Status.Conditions {
		l.set("node_condition_"+sanitize(strings.ToLower(string(condition.Type))), strings.ToLower(string(condition.Status)))
	}
	seen := map[corev1.NodeAddressType]bool{}
	for _, a := range n.Status.Addresses {
		if !seen[a.Type] {
			seen[a.Type] = true
			l.set("node_address_"+sanitize(string(a.Type)), a.Address)
		}
	}
	t.add(net.JoinHostPort(address, strconv.Itoa(int(n.Status.DaemonEndpoints.KubeletEndpoint.Port))), l)
	return t.done()
}

// nodeAddress is the one to reach a node at, from inside the cluster if there is such a one.
func nodeAddress(n *corev1.Node) string {
	for _, wanted := range []corev1.NodeAddressType{
		corev1.NodeInternalIP, corev1.NodeInternalDNS, corev1.NodeExternalIP, corev1.NodeExternalDNS, "LegacyHostIP", corev1.NodeHostName,
	} {
		for _, a := range n.Status.Addresses {
			if a.Type == wanted {
				return a.Address
			}
		}
	}
	return ""
}

// nodeLabels attaches a node that a target runs on, and reports whether that is known.
func (c *cluster) nodeLabels(l labelSet, name string) bool {
	n := lookUp[*corev1.Node](c.nodes, "", name)
	if n != nil {
		l.metadata("node", &n.ObjectMeta)
	}
	return n != nil
}

// namespaceLabels attaches the namespace that a target is in, where the config wants that.
func (c *cluster) namespaceLabels(l labelSet, name string) {
	if !c.config.Attach.Namespace {
		return
	}
	if n := lookUp[*corev1.Namespace](c.namespaces, "", name); n != nil {
		l.attributes("namespace", &n.ObjectMeta)
	}
}
