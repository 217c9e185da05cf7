package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/narthex-io/narthex/sdk"
)

// batchTime is how long changes are collected before they are sent.
const batchTime = 100 * time.Millisecond

// Discovery follows the objects of a role. It implements sdk.Discovery.
type Discovery struct {
	config     Config
	host       sdk.Host
	pool       *Pool
	login      string // who reads, for the pool; empty when nobody else reads the same
	clients    clients
	namespaces []string
}

// New returns a Discovery for a config that [ParseConfig] made. It uses the informers of p.
func New(c Config, h sdk.Host, p *Pool) (*Discovery, error) {
	r, login, err := restConfig(c, h)
	if err != nil {
		return nil, err
	}
	clients, err := newClients(r)
	if err != nil {
		return nil, err
	}
	names, err := namespaces(c)
	if err != nil {
		return nil, err
	}
	return &Discovery{config: c, host: h, pool: p, login: login, clients: clients, namespaces: names}, nil
}

// Run implements sdk.Discovery. The first update holds the targets of all objects; a later one those of what changed.
func (d *Discovery) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	ctx, cancel := context.WithCancel(ctx)
	r := &run{
		Discovery: d, user: &user{ctx: ctx, clients: d.clients, log: d.host.Log},
		cluster: cluster{config: d.config, log: d.host.Log}, changed: map[string]struct{}{}, wake: make(chan struct{}, 1),
	}
	defer r.leave()
	defer cancel()
	r.watch() //nolint:contextcheck // the run's user has the context
	if err := r.handle(); err != nil {
		return err
	}
	for _, f := range r.followed {
		if !cache.WaitForCacheSync(ctx.Done(), f.registration.HasSynced) {
			return ctx.Err()
		}
	}
	if err := r.send(ctx, updates, true); err != nil {
		return err
	}
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-time.After(batchTime):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := r.send(ctx, updates, false); err != nil {
			return err
		}
	}
}

// run is one Run.
type run struct {
	*Discovery
	user     *user
	cluster  cluster
	followed []*followed
	primary  []cache.Indexer // of the objects that become targets

	mu      sync.Mutex
	changed map[string]struct{} // keys of objects whose targets have to be made anew
	wake    chan struct{}
}

// followed is an informer whose changes a run hears of.
type followed struct {
	informer     *informer
	affected     func(o metav1.Object) []string // keys of objects whose targets a change may change
	registration cache.ResourceEventHandlerRegistration
}

// send sends the targets of all objects or of those that changed.
func (r *run) send(ctx context.Context, updates chan<- []sdk.Group, all bool) error {
	r.mu.Lock()
	keys := make([]string, 0, len(r.changed))
	for k := range r.changed {
		keys = append(keys, k)
	}
	clear(r.changed)
	r.mu.Unlock()
	if all {
		keys = keys[:0]
		for _, store := range r.primary {
			keys = append(keys, store.ListKeys()...)
		}
	}
	slices.Sort(keys)
	groups := []sdk.Group{}
	for _, k := range keys {
		groups = append(groups, r.groups(k)...)
	}
	if len(groups) == 0 && !all {
		return nil
	}
	select {
	case updates <- groups:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// groups makes the targets of the object with a key; one that is gone has none.
func (r *run) groups(key string) []sdk.Group {
	for _, store := range r.primary {
		o, ok, err := store.GetByKey(key)
		if !ok || err != nil {
			continue
		}
		switch o := o.(type) {
		case *corev1.Node:
			return r.cluster.node(o)
		case *corev1.Pod:
			return r.cluster.pod(o)
		case *corev1.Service:
			return r.cluster.service(o)
		case *networkingv1.Ingress:
			return r.cluster.ingress(o)
		case *discoveryv1.EndpointSlice:
			return r.cluster.endpointSlice(o)
		case *corev1.Endpoints: //nolint:staticcheck // see endpoints
			return r.cluster.endpoints(o)
		}
	}
	return empty(r.config.Role.source(key))
}

// source returns the name of the source that targets of an object of the role come from.
func (r Role) source(key string) string {
	if r == RoleService {
		return "svc/" + key
	}
	return string(r) + "/" + key
}

// touch marks objects as changed.
func (r *run) touch(keys ...string) {
	r.mu.Lock()
	for _, k := range keys {
		r.changed[k] = struct{}{}
	}
	r.mu.Unlock()
	if len(keys) > 0 {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// watch takes an informer for everything that the config needs.
func (r *run) watch() {
	c, attach := &r.cluster, r.config.Attach
	for _, i := range r.watchRole() {
		r.primary = append(r.primary, i.GetIndexer())
	}
	follow := func(into *stores, list []*informer, affected func(o metav1.Object) []string) {
		for _, i := range list {
			*into = append(*into, i.GetStore())
		}
		r.follow(list, affected)
	}
	behind := r.config.Role == RoleEndpoints || r.config.Role == RoleEndpointSlice
	if behind {
		follow(&c.services, r.inform(services, RoleService), r.byService)
		follow(&c.pods, r.inform(pods, RolePod), func(o metav1.Object) []string { return r.indexed(indexPod, o.GetNamespace()+"/"+o.GetName()) })
	}
	if attach.Node && (behind || r.config.Role == RolePod) {
		follow(&c.nodes, r.informAll(nodes, r.config.selector(RoleNode)), func(o metav1.Object) []string { return r.indexed(indexNode, o.GetName()) })
	}
	if attach.Namespace && r.config.Role != RoleNode {
		follow(&c.namespaces, r.informAll(namespaceKind, Selector{}), func(o metav1.Object) []string { return r.indexed(cache.NamespaceIndex, o.GetName()) })
	}
	if behind || r.config.Role == RolePod {
		if attach.Deployment {
			follow(&c.replicaSets, r.informMetadata(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}), r.byOwner("ReplicaSet"))
		}
		if attach.CronJob {
			follow(&c.jobs, r.informMetadata(batchv1.SchemeGroupVersion.WithResource("jobs")), r.byOwner("Job"))
		}
	}
}

// follow notes what a change of an object of informers affects.
func (r *run) follow(list []*informer, affected func(o metav1.Object) []string) {
	for _, i := range list {
		r.followed = append(r.followed, &followed{informer: i, affected: affected})
	}
}

// handle calls touch with what an object affects, whenever one changes. The run is complete by then, because an informer
// that others use too may say at once what there is.
func (r *run) handle() error {
	for _, f := range r.followed {
		on := func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if m, err := meta.Accessor(o); err == nil {
				r.touch(f.affected(m)...)
			}
		}
		var err error
		f.registration, err = f.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    on,
			UpdateFunc: func(_, o any) { on(o) },
			DeleteFunc: on,
		})
		if err != nil {
			return fmt.Errorf("watch objects: %w", err)
		}
	}
	return nil
}

// leave gives all informers back.
func (r *run) leave() {
	for _, f := range r.followed {
		if f.registration != nil {
			_ = f.informer.RemoveEventHandler(f.registration) // fails for one that has stopped
		}
		r.pool.leave(r.user, f.informer)
	}
}

func (r *run) indexed(index, value string) []string {
	var keys []string
	for _, store := range r.primary {
		if found, err := store.IndexKeys(index, value); err == nil {
			keys = append(keys, found...)
		}
	}
	return keys
}

// byOwner returns what belongs to a controller of pods, which may become known after them.
func (r *run) byOwner(kind string) func(metav1.Object) []string {
	return func(o metav1.Object) []string {
		owner := kind + "/" + o.GetNamespace() + "/" + o.GetName()
		if r.config.Role == RolePod {
			return r.indexed(indexOwner, owner)
		}
		var keys []string
		for _, store := range r.cluster.pods {
			pods, err := store.(cache.Indexer).IndexKeys(indexOwner, owner) // an informer's store is one
			for i := 0; err == nil && i < len(pods); i++ {
				keys = append(keys, r.indexed(indexPod, pods[i])...)
			}
		}
		return keys
	}
}

// byService returns the endpoints of a service, or its slices.
func (r *run) byService(o metav1.Object) []string {
	if r.config.Role == RoleEndpointSlice {
		return r.indexed(indexService, o.GetNamespace()+"/"+o.GetName())
	}
	return []string{o.GetNamespace() + "/" + o.GetName()}
}

// listWatch is how a kind is read: its objects at once, and then their changes.
type listWatch struct {
	name    string
	example runtime.Object
	list    func(ctx context.Context, c clients, namespace string, o metav1.ListOptions) (runtime.Object, error)
	watch   func(ctx context.Context, c clients, namespace string, o metav1.ListOptions) (watch.Interface, error)
}

// inform takes an informer of a kind for each namespace, bounded by the config's selector for it.
func (r *run) inform(kind func() listWatch, role Role) []*informer {
	s := r.config.selector(role)
	list := make([]*informer, len(r.namespaces))
	for i, namespace := range r.namespaces {
		list[i] = r.informer(kind(), namespace, s)
	}
	return list
}

// informAll takes an informer of a kind that is in no namespace.
func (r *run) informAll(kind func() listWatch, s Selector) []*informer {
	return []*informer{r.informer(kind(), "", s)}
}

// informMetadata takes an informer of the metadata of a kind for each namespace.
func (r *run) informMetadata(kind schema.GroupVersionResource) []*informer {
	return r.inform(func() listWatch {
		return listWatch{
			name:    kind.Resource,
			example: &metav1.PartialObjectMetadata{},
			list: func(ctx context.Context, c clients, namespace string, o metav1.ListOptions) (runtime.Object, error) {
				return c.metadata.Resource(kind).Namespace(namespace).List(ctx, o)
			},
			watch: func(ctx context.Context, c clients, namespace string, o metav1.ListOptions) (watch.Interface, error) {
				return c.metadata.Resource(kind).Namespace(namespace).Watch(ctx, o)
			},
		}
	}, "")
}

func (r *run) informer(kind listWatch, namespace string, s Selector) *informer {
	return r.pool.enter(r.user, question{login: r.login, kind: kind.name, namespace: namespace, label: s.Label, field: s.Field}, kind)
}
