package kubernetes

import (
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/narthex-io/narthex/sdk"
)

func podSource(namespace, name string) string { return "pod/" + namespace + "/" + name }

// pod returns a target for each port of each container; a container without ports is one target without a port.
func (c *cluster) pod(p *corev1.Pod) []sdk.Group {
	t := targets{source: podSource(p.Namespace, p.Name), common: labelSet{}}
	if p.Status.PodIP == "" {
		return t.done() // not scheduled yet, or evicted
	}
	if c.config.Attach.Node {
		if !c.nodeLabels(t.common, p.Spec.NodeName) {
			return t.done() // the selector of nodes is one of pods, too
		}
	}
	t.common.set("namespace", p.Namespace)
	c.podLabels(t.common, p)
	c.namespaceLabels(t.common, p.Namespace)
	for container, init := range containers(p) {
		own := func(port *corev1.ContainerPort) labelSet {
			l := labelSet{}
			l.container(container, init, port)
			l.set("pod_container_id", containerID(p, container.Name, init))
			return l
		}
		if len(container.Ports) == 0 {
			t.add(p.Status.PodIP, own(nil))
		}
		for i := range container.Ports {
			port := &container.Ports[i]
			t.add(net.JoinHostPort(p.Status.PodIP, strconv.Itoa(int(port.ContainerPort))), own(port))
		}
	}
	return t.done()
}

func containerID(p *corev1.Pod, name string, init bool) string {
	statuses := p.Status.ContainerStatuses
	if init {
		statuses = p.Status.InitContainerStatuses
	}
	for i := range statuses {
		if statuses[i].Name == name {
			return statuses[i].ContainerID
		}
	}
	return ""
}

// podLabels sets what describes a pod, wherever one stands behind a target.
func (c *cluster) podLabels(l labelSet, p *corev1.Pod) {
	l.metadata("pod", &p.ObjectMeta)
	l.set("pod_ip", p.Status.PodIP)
	l.set("pod_ready", ready(p))
	l.set("pod_phase", string(p.Status.Phase))
	l.set("pod_node_name", p.Spec.NodeName)
	l.set("pod_host_ip", p.Status.HostIP)
	l.set("pod_uid", string(p.UID))
	owner := metav1.GetControllerOf(p)
	if owner == nil {
		return
	}
	if owner.Kind != "" {
		l.set("pod_controller_kind", owner.Kind)
	}
	if owner.Name != "" {
		l.set("pod_controller_name", owner.Name)
	}
	c.workloadLabels(l, p.Namespace, owner)
}

func ready(p *corev1.Pod) string {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return strings.ToLower(string(condition.Status))
		}
	}
	return "unknown"
}

// workloadLabels names what stands behind a pod's controller: the deployment of a replica set, the cron job of a job.
func (c *cluster) workloadLabels(l labelSet, namespace string, owner *metav1.OwnerReference) {
	switch owner.Kind {
	case "ReplicaSet":
		if d := c.ownerOf(c.replicaSets, namespace, owner.Name, "Deployment"); d != "" && c.config.Attach.Deployment {
			l.set("pod_deployment_name", d)
		}
	case "Job":
		if c.config.Attach.Job {
			l.set("pod_job_name", owner.Name)
		}
		if cron := c.ownerOf(c.jobs, namespace, owner.Name, "CronJob"); cron != "" && c.config.Attach.CronJob {
			l.set("pod_cronjob_name", cron)
		}
	}
}
