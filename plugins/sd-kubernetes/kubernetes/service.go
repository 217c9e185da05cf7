package kubernetes

import (
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/narthex-io/narthex/sdk"
)

func serviceSource(namespace, name string) string { return "svc/" + namespace + "/" + name }

// service returns a target for each port, at the service's name.
func (c *cluster) service(s *corev1.Service) []sdk.Group {
	t := targets{source: serviceSource(s.Namespace, s.Name), common: labelSet{}}
	t.common.set("namespace", s.Namespace)
	t.common.metadata("service", &s.ObjectMeta)
	c.namespaceLabels(t.common, s.Namespace)
	for i := range s.Spec.Ports {
		port, l := &s.Spec.Ports[i], labelSet{}
		l.set("service_port_name", port.Name)
		l.set("service_port_number", strconv.Itoa(int(port.Port)))
		l.set("service_port_protocol", string(port.Protocol))
		l.set("service_type", string(s.Spec.Type))
		if s.Spec.Type == corev1.ServiceTypeExternalName {
			l.set("service_external_name", s.Spec.ExternalName)
		} else {
			l.set("service_cluster_ip", s.Spec.ClusterIP)
		}
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
			l.set("service_loadbalancer_ip", loadBalancer(s))
		}
		t.add(net.JoinHostPort(s.Name+"."+s.Namespace+".svc", strconv.Itoa(int(port.Port))), l)
	}
	return t.done()
}

// loadBalancer is what the load balancer says of its addresses, or what the service asked for.
func loadBalancer(s *corev1.Service) string {
	var ips []string
	for _, i := range s.Status.LoadBalancer.Ingress {
		if i.IP != "" {
			ips = append(ips, i.IP)
		}
	}
	if len(ips) == 0 {
		return s.Spec.LoadBalancerIP
	}
	return strings.Join(ips, ",")
}

// serviceLabels attaches the service in front of a target.
func (c *cluster) serviceLabels(l labelSet, namespace, name string) {
	if s := lookUp[*corev1.Service](c.services, namespace, name); s != nil {
		l.metadata("service", &s.ObjectMeta)
	}
}

func ingressSource(namespace, name string) string { return "ingress/" + namespace + "/" + name }

// ingress returns a target for each path of each rule, at the rule's host.
func (c *cluster) ingress(i *networkingv1.Ingress) []sdk.Group {
	t := targets{source: ingressSource(i.Namespace, i.Name), common: labelSet{}}
	t.common.set("namespace", i.Namespace)
	t.common.metadata("ingress", &i.ObjectMeta)
	c.namespaceLabels(t.common, i.Namespace)
	if i.Spec.IngressClassName != nil {
		t.common.set("ingress_class_name", *i.Spec.IngressClassName)
	}
	for r := range i.Spec.Rules {
		rule := &i.Spec.Rules[r]
		scheme := "http"
		if encrypted(i, rule.Host) {
			scheme = "https"
		}
		for _, path := range paths(rule) {
			l := labelSet{}
			l.set("ingress_scheme", scheme)
			l.set("ingress_host", rule.Host)
			l.set("ingress_path", path)
			t.add(rule.Host, l)
		}
	}
	return t.done()
}

// encrypted reports whether the ingress has TLS for a host. An entry without hosts is for all.
func encrypted(i *networkingv1.Ingress, host string) bool {
	for _, tls := range i.Spec.TLS {
		for _, h := range tls.Hosts {
			if matches(h, host) {
				return true
			}
		}
	}
	return false
}

// matches compares a host with a pattern whose first label may be an asterisk.
func matches(pattern, host string) bool {
	if pattern == host {
		return true
	}
	rest, ok := strings.CutPrefix(pattern, "*.")
	_, domain, _ := strings.Cut(host, ".")
	return ok && rest == domain && host != domain
}

func paths(r *networkingv1.IngressRule) []string {
	if r.HTTP == nil {
		return []string{"/"}
	}
	list := make([]string, len(r.HTTP.Paths))
	for i, p := range r.HTTP.Paths {
		if list[i] = p.Path; p.Path == "" {
			list[i] = "/"
		}
	}
	return list
}
