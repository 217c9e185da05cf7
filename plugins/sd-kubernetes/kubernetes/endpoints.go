package kubernetes

import (
	"net"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/narthex-io/narthex/sdk"
)

func endpointsSource(namespace, name string) string { return "endpoints/" + namespace + "/" + name }

func endpointSliceSource(namespace, name string) string {
	return "endpointslice/" + namespace + "/" + name
}

// endpoints returns a target for each port of each address, and one for each port of the pods behind them that no
// endpoint names.
//
//nolint:staticcheck // Kubernetes deprecates the kind; Prometheus has the role, and clusters have the objects
func (c *cluster) endpoints(e *corev1.Endpoints) []sdk.Group {
	t := targets{source: endpointsSource(e.Namespace, e.Name), common: labelSet{}}
	t.common.set("namespace", e.Namespace)
	t.common.metadata("endpoints", &e.ObjectMeta)
	c.namespaceLabels(t.common, e.Namespace)
	c.serviceLabels(t.common, e.Namespace, e.Name)
	behind := backends{cluster: c, targets: &t}
	for s := range e.Subsets {
		subset := &e.Subsets[s]
		for p := range subset.Ports {
			port := &subset.Ports[p]
			add := func(a *corev1.EndpointAddress, ready bool) {
				l := labelSet{}
				l.set("endpoint_port_name", port.Name)
				l.set("endpoint_port_protocol", string(port.Protocol))
				l.set("endpoint_ready", strconv.FormatBool(ready))
				if a.TargetRef != nil {
					l.set("endpoint_address_target_kind", a.TargetRef.Kind)
					l.set("endpoint_address_target_name", a.TargetRef.Name)
				}
				if a.NodeName != nil {
					l.set("endpoint_node_name", *a.NodeName)
				}
				if a.Hostname != "" {
					l.set("endpoint_hostname", a.Hostname)
				}
				node := a.NodeName
				if node == nil {
					node = nodeOf(a.TargetRef)
				}
				behind.add(net.JoinHostPort(a.IP, strconv.Itoa(int(port.Port))), l, node, a.TargetRef, &port.Port)
			}
			for i := range subset.Addresses {
				add(&subset.Addresses[i], true)
			}
			for i := range subset.NotReadyAddresses {
				add(&subset.NotReadyAddresses[i], false)
			}
		}
	}
	behind.rest()
	return t.done()
}

// endpointSlice is endpoints for the kind that came after it.
func (c *cluster) endpointSlice(e *discoveryv1.EndpointSlice) []sdk.Group {
	t := targets{source: endpointSliceSource(e.Namespace, e.Name), common: labelSet{}}
	t.common.set("namespace", e.Namespace)
	t.common.metadata("endpointslice", &e.ObjectMeta)
	t.common.set("endpointslice_address_type", string(e.AddressType))
	c.namespaceLabels(t.common, e.Namespace)
	c.serviceLabels(t.common, e.Namespace, e.Labels[discoveryv1.LabelServiceName])
	behind := backends{cluster: c, targets: &t}
	for p := range e.Ports {
		port := &e.Ports[p]
		for i := range e.Endpoints {
			endpoint := &e.Endpoints[i]
			node := nodeOf(endpoint.TargetRef)
			if node == nil {
				node = endpoint.NodeName
			}
			for _, ip := range endpoint.Addresses {
				address := ip
				if port.Port != nil {
					address = net.JoinHostPort(ip, strconv.Itoa(int(*port.Port)))
				}
				behind.add(address, sliceLabels(endpoint, port), node, endpoint.TargetRef, port.Port)
			}
		}
	}
	behind.rest()
	return t.done()
}

func sliceLabels(e *discoveryv1.Endpoint, port *discoveryv1.EndpointPort) labelSet {
	l := labelSet{}
	text := func(name string, v *string) {
		if v != nil {
			l.set(name, *v)
		}
	}
	condition := func(name string, v *bool) {
		if v != nil {
			l.set("endpointslice_endpoint_conditions_"+name, strconv.FormatBool(*v))
		}
	}
	text("endpointslice_port_name", port.Name)
	text("endpointslice_port_protocol", (*string)(port.Protocol))
	text("endpointslice_port_app_protocol", port.AppProtocol)
	if port.Port != nil {
		l.set("endpointslice_port", strconv.Itoa(int(*port.Port)))
	}
	condition("ready", e.Conditions.Ready)
	condition("serving", e.Conditions.Serving)
	condition("terminating", e.Conditions.Terminating)
	text("endpointslice_endpoint_hostname", e.Hostname)
	text("endpointslice_endpoint_node_name", e.NodeName)
	text("endpointslice_endpoint_zone", e.Zone)
	if e.TargetRef != nil {
		l.set("endpointslice_address_target_kind", e.TargetRef.Kind)
		l.set("endpointslice_address_target_name", e.TargetRef.Name)
	}
	for k, v := range e.DeprecatedTopology {
		l.set("endpointslice_endpoint_topology_"+sanitize(k), v)
		l.set("endpointslice_endpoint_topology_present_"+sanitize(k), "true")
	}
	return l
}

// nodeOf returns the name of the node that an address is of, or nil.
func nodeOf(ref *corev1.ObjectReference) *string {
	if ref == nil || ref.Kind != "Node" {
		return nil
	}
	return &ref.Name
}

// backends adds what is known of the pods and nodes behind addresses, and remembers the pods.
type backends struct {
	cluster *cluster
	targets *targets
	pods    []*backend
}

// backend is a pod and the ports of it that addresses name.
type backend struct {
	pod   *corev1.Pod
	ports []int32
}

// add adds a target with labels l. The node, the object and the port behind it may be nil.
func (b *backends) add(address string, l labelSet, node *string, ref *corev1.ObjectReference, port *int32) {
	c := b.cluster
	if c.config.Attach.Node && node != nil {
		c.nodeLabels(l, *node)
	}
	if pod := b.find(ref); pod != nil {
		c.podLabels(l, pod.pod)
		if port != nil {
			pod.ports = append(pod.ports, *port)
			if container, init, p := containerAt(pod.pod, *port); container != nil {
				l.container(container, init, p)
			}
		}
	}
	b.targets.add(address, l)
}

func (b *backends) find(ref *corev1.ObjectReference) *backend {
	if ref == nil || ref.Kind != "Pod" {
		return nil
	}
	for _, known := range b.pods {
		if known.pod.Namespace == ref.Namespace && known.pod.Name == ref.Name {
			return known
		}
	}
	p := lookUp[*corev1.Pod](b.cluster.pods, ref.Namespace, ref.Name)
	if p == nil {
		return nil
	}
	b.pods = append(b.pods, &backend{pod: p})
	return b.pods[len(b.pods)-1]
}

// containerAt returns the container that declares a port.
func containerAt(p *corev1.Pod, port int32) (*corev1.Container, bool, *corev1.ContainerPort) {
	for c, init := range containers(p) {
		for i := range c.Ports {
			if c.Ports[i].ContainerPort == port {
				return c, init, &c.Ports[i]
			}
		}
	}
	return nil, false, nil
}

// rest adds the ports of the pods that no address named.
func (b *backends) rest() {
	for _, known := range b.pods {
		p := known.pod
		if p.Status.PodIP == "" {
			continue
		}
		for c, init := range containers(p) {
			for i := range c.Ports {
				port := &c.Ports[i]
				if slices.Contains(known.ports, port.ContainerPort) {
					continue
				}
				l := labelSet{}
				l.container(c, init, port)
				b.cluster.podLabels(l, p)
				b.targets.add(net.JoinHostPort(p.Status.PodIP, strconv.Itoa(int(port.ContainerPort))), l)
			}
		}
	}
}
