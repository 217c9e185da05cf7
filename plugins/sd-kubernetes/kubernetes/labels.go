package kubernetes

import (
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/narthex-io/narthex/sdk"
)

const prefix = "__meta_kubernetes_"

// labelSet are labels of a target, without the common prefix where the methods add it.
type labelSet map[string]string

// set sets a label below the prefix.
func (l labelSet) set(name, value string) { l[prefix+name] = value }

// metadata sets the name of an object of a kind, and what it is labelled and annotated with.
func (l labelSet) metadata(kind string, m *metav1.ObjectMeta) {
	l.set(kind+"_name", m.Name)
	l.attributes(kind, m)
}

func (l labelSet) attributes(kind string, m *metav1.ObjectMeta) {
	for k, v := range m.Labels {
		k = sanitize(k)
		l.set(kind+"_label_"+k, v)
		l.set(kind+"_labelpresent_"+k, "true")
	}
	for k, v := range m.Annotations {
		k = sanitize(k)
		l.set(kind+"_annotation_"+k, v)
		l.set(kind+"_annotationpresent_"+k, "true")
	}
}

// sanitize replaces what may not stand in a label's name.
func sanitize(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, s)
}

// targets collects the targets of one object.
type targets struct {
	source string
	common labelSet
	groups []sdk.Group
}

// add adds a target with labels of its own, which win over the common ones.
func (t *targets) add(address string, own labelSet) {
	l := make(map[string]string, len(t.common)+len(own))
	maps.Copy(l, t.common)
	maps.Copy(l, own)
	t.groups = append(t.groups, sdk.Group{Source: t.source, Targets: []string{address}, Labels: l})
}

// done returns the groups, at least an empty one.
func (t *targets) done() []sdk.Group {
	if len(t.groups) == 0 {
		return empty(t.source)
	}
	return t.groups
}

func empty(source string) []sdk.Group { return []sdk.Group{{Source: source, Targets: []string{}}} }

// containers are those of a pod, the ones that initialize it last.
func containers(p *corev1.Pod) func(yield func(c *corev1.Container, init bool) bool) {
	return func(yield func(*corev1.Container, bool) bool) {
		for i := range p.Spec.Containers {
			if !yield(&p.Spec.Containers[i], false) {
				return
			}
		}
		for i := range p.Spec.InitContainers {
			if !yield(&p.Spec.InitContainers[i], true) {
				return
			}
		}
	}
}

// container sets the labels of a container, and of a port of it unless that is nil.
func (l labelSet) container(c *corev1.Container, init bool, port *corev1.ContainerPort) {
	l.set("pod_container_name", c.Name)
	l.set("pod_container_image", c.Image)
	l.set("pod_container_init", strconv.FormatBool(init))
	if port != nil {
		l.set("pod_container_port_name", port.Name)
		l.set("pod_container_port_number", strconv.Itoa(int(port.ContainerPort)))
		l.set("pod_container_port_protocol", string(port.Protocol))
	}
}
