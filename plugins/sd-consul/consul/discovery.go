package consul

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

const (
	// retryInterval is the pause after a question that failed.
	retryInterval = 15 * time.Second
	// maxWaiting is how many questions may wait in Consul at a time. With more services than that, each is asked at
	// every refresh interval instead, which costs neither side an open connection.
	maxWaiting = 48
	// maxAsking is how many questions that don't wait are asked at a time.
	maxAsking = 8
)

// Discovery follows services and their instances. It implements sdk.Discovery.
type Discovery struct {
	config Config
	client client
	log    *slog.Logger
}

// New returns a Discovery for a config that [ParseConfig] made.
func New(c Config, h sdk.Host) *Discovery {
	return &Discovery{config: c, client: client{config: c, http: h.HTTP}, log: h.Log.With("server", c.Server)}
}

// Run implements sdk.Discovery. The first update holds the instances of all services; a later one those of a service.
func (d *Discovery) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	r := &run{
		Discovery:  d,
		datacenter: d.config.Datacenter,
		updates:    updates,
		asking:     make(chan struct{}, maxAsking),
		watches:    map[string]*watch{},
	}
	defer r.stop()
	if err := r.follow(ctx); err != nil {
		return err
	}
	return ctx.Err()
}

// run is one Run.
type run struct {
	*Discovery
	datacenter string
	updates    chan<- []sdk.Group
	asking     chan struct{} // a semaphore for questions that don't wait
	many       atomic.Bool   // too many services to wait for each of them
	watches    map[string]*watch
}

// follow keeps a watch on each service that the config wants.
func (r *run) follow(ctx context.Context) error {
	err := r.until(ctx, func() (err error) {
		if r.datacenter == "" {
			r.datacenter, err = r.client.datacenter(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(r.config.Services) > 0 && len(r.config.ServiceTags) == 0 && len(r.config.NodeMeta) == 0 && r.config.Filter == "" {
		if err := r.first(ctx, r.config.Services); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	var index uint64
	for first := true; ; first = false {
		var tags map[string][]string
		began := time.Now()
		err := r.until(ctx, func() (err error) {
			tags, index, err = r.client.services(ctx, index)
			return err
		})
		if err != nil {
			return err
		}
		wanted := r.wanted(tags)
		if first {
			err = r.first(ctx, wanted)
		} else {
			err = r.change(ctx, wanted)
		}
		if err != nil {
			return err
		}
		if err := pause(ctx, r.config.RefreshInterval-time.Since(began)); err != nil {
			return err
		}
	}
}

// until calls f until it succeeds, with pauses, and returns the context's error if that comes first.
func (r *run) until(ctx context.Context, f func() error) error {
	for {
		err := f()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			return nil
		}
		r.log.Error("asking Consul failed, keeping the last targets", "err", err)
		if err := pause(ctx, retryInterval); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wanted returns the names of the services that the config is about, in order.
func (r *run) wanted(tags map[string][]string) []string {
	var names []string
	for name, has := range tags {
		named := len(r.config.Services) == 0 || slices.Contains(r.config.Services, name)
		lacks := slices.ContainsFunc(r.config.ServiceTags, func(t string) bool { return !slices.Contains(has, t) })
		if named && !lacks {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// first sends the instances of all services in one update and starts to watch them.
func (r *run) first(ctx context.Context, names []string) error {
	r.many.Store(len(names) > maxWaiting)
	watches := make([]*watch, len(names))
	var work sync.WaitGroup
	for i, name := range names {
		watches[i] = &watch{run: r, service: name}
		work.Go(func() {
			if err := watches[i].ask(ctx); err != nil && ctx.Err() == nil {
				r.log.Error("asking Consul for a service failed, trying again", "service", name, "err", err)
			}
		})
	}
	work.Wait()
	groups := []sdk.Group{}
	for _, w := range watches {
		groups = append(groups, w.groups...)
	}
	if err := r.send(ctx, groups); err != nil {
		return err
	}
	for _, w := range watches {
		w.sent = w.groups
		w.start(ctx)
		r.watches[w.service] = w
	}
	return nil
}

// change starts to watch the services that are new, and drops those that are gone.
func (r *run) change(ctx context.Context, names []string) error {
	r.many.Store(len(names) > maxWaiting)
	for _, name := range slices.Sorted(maps.Keys(r.watches)) {
		if slices.Contains(names, name) {
			continue
		}
		w := r.watches[name]
		w.stop()
		delete(r.watches, name)
		if len(w.sent) == 0 {
			continue
		}
		if err := r.send(ctx, []sdk.Group{{Source: name, Targets: []string{}}}); err != nil {
			return err
		}
	}
	for _, name := range names {
		if r.watches[name] == nil {
			w := &watch{run: r, service: name}
			w.start(ctx)
			r.watches[name] = w
		}
	}
	return nil
}

func (r *run) send(ctx context.Context, groups []sdk.Group) error {
	select {
	case r.updates <- groups:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends all watches.
func (r *run) stop() {
	for _, w := range r.watches {
		w.cancel()
	}
	for _, w := range r.watches {
		w.stop()
	}
}

// watch follows the instances of one service.
type watch struct {
	*run
	service string
	cancel  context.CancelFunc
	ended   chan struct{}

	asked  time.Time // the zero time: never
	index  uint64
	groups []sdk.Group // the last answer
	sent   []sdk.Group // the last update
}

func (w *watch) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		w.follow(ctx)
	}()
}

func (w *watch) stop() {
	w.cancel()
	<-w.ended
}

// follow sends the service's instances whenever they change.
func (w *watch) follow(ctx context.Context) {
	for {
		if pause(ctx, w.config.RefreshInterval-time.Since(w.asked)) != nil {
			return
		}
		if w.many.Load() {
			w.index = 0
		}
		err := w.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.log.Error("asking Consul for a service failed, keeping its last targets", "service", w.service, "err", err)
			if pause(ctx, retryInterval) != nil {
				return
			}
		case len(w.sent)+len(w.groups) > 0 && !reflect.DeepEqual(w.sent, w.groups):
			update := w.groups
			if len(update) == 0 {
				update = []sdk.Group{{Source: w.service, Targets: []string{}}}
			}
			if w.send(ctx, update) != nil {
				return
			}
			w.sent = w.groups
		}
	}
}

// ask gets the service's instances; if they are known, it waits for others.
func (w *watch) ask(ctx context.Context) error {
	if w.index == 0 {
		select {
		case w.asking <- struct{}{}:
			defer func() { <-w.asking }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.asked = time.Now()
	found, index, err := w.client.instances(ctx, w.service, w.index)
	if err != nil {
		w.index = 0
		return err
	}
	w.index = index
	w.groups = make([]sdk.Group, len(found))
	for i := range found {
		w.groups[i] = found[i].group(w.service, w.datacenter, w.config.TagSeparator)
	}
	return nil
}
