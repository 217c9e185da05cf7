package kubernetes

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// resource is the typed client of a kind.
type resource[L runtime.Object] interface {
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// kindOf makes a listWatch of a typed client.
func kindOf[L runtime.Object, R resource[L]](example runtime.Object, in func(c clients, namespace string) R) listWatch {
	return listWatch{
		name:    fmt.Sprintf("%T", example),
		example: example,
		list: func(ctx context.Context, c clients, namespace string, o metav1.ListOptions) (runtime.Object, error) {
			return in(c, namespace).List(ctx, o)
		},
		watch: func(ctx context.Context, c clients, namespace string, o metav1.ListOptions) (watch.Interface, error) {
			return in(c, namespace).Watch(ctx, o)
		},
	}
}

func pods() listWatch {
	return kindOf(&corev1.Pod{}, func(c clients, ns string) resource[*corev1.PodList] { return c.objects.CoreV1().Pods(ns) })
}

func services() listWatch {
	return kindOf(&corev1.Service{}, func(c clients, ns string) resource[*corev1.ServiceList] { return c.objects.CoreV1().Services(ns) })
}

func nodes() listWatch {
	return kindOf(&corev1.Node{}, func(c clients, _ string) resource[*corev1.NodeList] { return c.objects.CoreV1().Nodes() })
}

func namespaceKind() listWatch {
	return kindOf(&corev1.Namespace{}, func(c clients, _ string) resource[*corev1.NamespaceList] { return c.objects.CoreV1().Namespaces() })
}

func ingresses() listWatch {
	return kindOf(&networkingv1.Ingress{}, func(c clients, ns string) resource[*networkingv1.IngressList] {
		return c.objects.NetworkingV1().Ingresses(ns)
	})
}

//nolint:staticcheck // see endpoints
func endpoints() listWatch {
	return kindOf(&corev1.Endpoints{}, func(c clients, ns string) resource[*corev1.EndpointsList] { return c.objects.CoreV1().Endpoints(ns) })
}

func endpointSlices() listWatch {
	return kindOf(&discoveryv1.EndpointSlice{}, func(c clients, ns string) resource[*discoveryv1.EndpointSliceList] {
		return c.objects.DiscoveryV1().EndpointSlices(ns)
	})
}

// watchRole takes the informers of the objects that become targets.
func (r *run) watchRole() []*informer {
	kinds := map[Role]func() listWatch{
		RoleNode: nodes, RolePod: pods, RoleService: services, RoleIngress: ingresses, RoleEndpoints: endpoints, RoleEndpointSlice: endpointSlices,
	}
	var list []*informer
	if r.config.Role == RoleNode {
		list = r.informAll(nodes, r.config.selector(RoleNode))
	} else {
		list = r.inform(kinds[r.config.Role], r.config.Role)
	}
	r.follow(list, func(o metav1.Object) []string {
		if o.GetNamespace() == "" {
			return []string{o.GetName()}
		}
		return []string{o.GetNamespace() + "/" + o.GetName()}
	})
	return list
}

// Indexes of the objects that become targets, by what else their targets' labels come from.
const (
	indexPod     = "pod"
	indexNode    = "node"
	indexService = "service"
	indexOwner   = "owner"
)

func indexers() cache.Indexers {
	by := func(f func(o any, add func(string))) cache.IndexFunc {
		return func(o any) ([]string, error) {
			var keys []string
			f(o, func(k string) { keys = append(keys, k) })
			return keys, nil
		}
	}
	return cache.Indexers{
		cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
		indexPod:             by(podsOf),
		indexNode:            by(nodesOf),
		indexOwner: by(func(o any, add func(string)) {
			if p, ok := o.(*corev1.Pod); ok {
				if owner := metav1.GetControllerOf(p); owner != nil {
					add(owner.Kind + "/" + p.Namespace + "/" + owner.Name)
				}
			}
		}),
		indexService: by(func(o any, add func(string)) {
			if s, ok := o.(*discoveryv1.EndpointSlice); ok {
				add(s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName])
			}
		}),
	}
}

// podsOf finds the pods behind endpoints.
func podsOf(o any, add func(string)) {
	eachAddress(o, func(ref *corev1.ObjectReference, _ *string) {
		if ref != nil && ref.Kind == "Pod" {
			add(ref.Namespace + "/" + ref.Name)
		}
	})
}

// nodesOf finds the nodes that something runs on.
func nodesOf(o any, add func(string)) {
	if p, ok := o.(*corev1.Pod); ok {
		add(p.Spec.NodeName)
		return
	}
	eachAddress(o, func(ref *corev1.ObjectReference, node *string) {
		if node != nil {
			add(*node)
		}
		if named := nodeOf(ref); named != nil {
			add(*named)
		}
	})
}

// eachAddress calls f with the object and the node behind each address of endpoints, either of which may be nil.
func eachAddress(o any, f func(ref *corev1.ObjectReference, node *string)) {
	switch o := o.(type) {
	case *discoveryv1.EndpointSlice:
		for i := range o.Endpoints {
			f(o.Endpoints[i].TargetRef, o.Endpoints[i].NodeName)
		}
	case *corev1.Endpoints: //nolint:staticcheck // see endpoints
		for _, s := range o.Subsets {
			for i := range s.Addresses {
				f(s.Addresses[i].TargetRef, s.Addresses[i].NodeName)
			}
			for i := range s.NotReadyAddresses {
				f(s.NotReadyAddresses[i].TargetRef, s.NotReadyAddresses[i].NodeName)
			}
		}
	}
}
