package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Pool holds the informers of all sections in this process: those that read the same, with the same credentials, have one. An
// informer runs as long as somebody uses it.
type Pool struct {
	mu        sync.Mutex
	informers map[question]*informer
}

// NewPool returns an empty pool.
func NewPool() *Pool { return &Pool{informers: map[question]*informer{}} }

// question is what an informer asks the API, and as whom.
type question struct {
	login, kind, namespace, label, field string
}

// user is who uses informers: one Run of a section.
type user struct {
	ctx     context.Context //nolint:containedctx // its end hands what the user reads over to another one
	clients clients
	log     *slog.Logger
}

// informer is one for all users that want to know the same. The first of them reads, through its own clients; when it goes, the next
// one goes on from there.
type informer struct {
	cache.SharedIndexInformer
	question question
	kind     listWatch
	stop     context.CancelFunc
	stopped  chan struct{} // closed when nothing of it runs any more

	mu    sync.Mutex
	users []*user
}

// enter returns the informer that answers a question, for u. The caller leaves it.
func (p *Pool) enter(u *user, q question, kind listWatch) *informer {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.informers[q]
	if i == nil || q.login == "" {
		i = newInformer(q, kind)
		if q.login != "" {
			p.informers[q] = i
		}
	}
	i.mu.Lock()
	i.users = append(i.users, u)
	first := len(i.users) == 1
	i.mu.Unlock()
	if first {
		ctx, cancel := context.WithCancel(context.WithoutCancel(u.ctx))
		i.stop = cancel
		go func() { // the last to leave waits for it
			defer close(i.stopped)
			i.RunWithContext(ctx)
		}()
	}
	return i
}

// leave ends u's use. The last user stops the informer and waits for it.
func (p *Pool) leave(u *user, i *informer) {
	p.mu.Lock()
	i.mu.Lock()
	i.users = slices.DeleteFunc(i.users, func(other *user) bool { return other == u })
	last := len(i.users) == 0
	i.mu.Unlock()
	if last && p.informers[i.question] == i {
		delete(p.informers, i.question)
	}
	p.mu.Unlock()
	if last {
		i.stop()
		<-i.stopped
	}
}

func newInformer(q question, kind listWatch) *informer {
	i := &informer{question: q, kind: kind, stopped: make(chan struct{})}
	i.SharedIndexInformer = cache.NewSharedIndexInformer(
		&cache.ListWatch{ListWithContextFunc: i.list, WatchFuncWithContext: i.watch}, kind.example, 0, indexers())
	// Managed fields are often the larger half of an object, and nothing here reads them.
	_ = i.SetTransform(func(o any) (any, error) { // fails for a running informer
		if m, err := meta.Accessor(o); err == nil {
			m.SetManagedFields(nil)
		}
		return o, nil
	})
	_ = i.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) { // likewise
		if u := i.reader(); u != nil && ctx.Err() == nil {
			u.log.Error("reading from the Kubernetes API failed, keeping the last targets", "kind", fmt.Sprintf("%T", kind.example), "namespace", q.namespace, "err", err)
		}
	})
	return i
}

// reader returns the user that reads now; nil when all are about to leave.
func (i *informer) reader() *user {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, u := range i.users {
		if u.ctx.Err() == nil {
			return u
		}
	}
	return nil
}

// as calls read with the clients of the user that reads, and again with those of the next one if that one leaves meanwhile. The
// context that read gets ends with the user, or when cancel is called.
func (i *informer) as(ctx context.Context, read func(ctx context.Context, cancel context.CancelFunc, c clients) error) error {
	for {
		u := i.reader()
		if u == nil {
			return context.Canceled
		}
		own, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(u.ctx, cancel) //nolint:contextcheck // it ends with both
		err := read(own, func() { stop(); cancel() }, u.clients)
		if err == nil || u.ctx.Err() == nil || ctx.Err() != nil {
			return err
		}
	}
}

func (i *informer) narrow(o metav1.ListOptions) metav1.ListOptions {
	o.LabelSelector, o.FieldSelector = i.question.label, i.question.field
	return o
}

func (i *informer) list(ctx context.Context, o metav1.ListOptions) (list runtime.Object, err error) {
	err = i.as(ctx, func(ctx context.Context, cancel context.CancelFunc, c clients) (err error) {
		defer cancel()
		list, err = i.kind.list(ctx, c, i.question.namespace, i.narrow(o))
		return err
	})
	return list, err
}

func (i *informer) watch(ctx context.Context, o metav1.ListOptions) (changes watch.Interface, err error) {
	err = i.as(ctx, func(ctx context.Context, cancel context.CancelFunc, c clients) error {
		w, err := i.kind.watch(ctx, c, i.question.namespace, i.narrow(o))
		if err != nil {
			cancel()
			return err
		}
		changes = hand(ctx, w, cancel)
		return nil
	})
	return changes, err
}

// handed is a watch that ends in good order when who watches leaves, so that another one can go on from where it was.
type handed struct {
	watch.Interface
	out    chan watch.Event
	cancel context.CancelFunc
}

// hand passes on what w sees until ctx is done.
func hand(ctx context.Context, w watch.Interface, cancel context.CancelFunc) watch.Interface {
	h := &handed{Interface: w, out: make(chan watch.Event), cancel: cancel}
	go func() { // ends with ctx, which Stop cancels
		defer close(h.out)
		defer w.Stop()
		for {
			select {
			case e, ok := <-w.ResultChan():
				if !ok || ctx.Err() != nil { // A broken connection is no mistake then.
					return
				}
				select {
				case h.out <- e:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return h
}

// ResultChan implements watch.Interface.
func (h *handed) ResultChan() <-chan watch.Event { return h.out }

// Stop implements watch.Interface.
func (h *handed) Stop() {
	h.cancel()
	h.Interface.Stop()
}
