package send

import (
	"context"
	"crypto/md5" //nolint:gosec // A name for what is configured, as upstream makes it.
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	httpconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
)

// Options are what a [Manager] needs. Log and Registerer are required.
type Options struct {
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// FlushDeadline is how long a queue that is to end may go on sending what it has; zero means a minute.
	FlushDeadline time.Duration
	// UserAgent is sent with each request.
	UserAgent string
	// TypeAndUnit takes the metadata of 2.0 from the labels __type__ and __unit__.
	TypeAndUnit bool
	// Metadata returns the families of all targets, for 1.0; nil has none sent.
	Metadata func() []Family
	// Signers finds the plugins behind sections of auth plugins; required if a config has one.
	Signers httpclient.Signers
	// NewClient replaces how HTTP clients are made.
	NewClient func(*Config) (*http.Client, error)
}

// Manager sends to the receivers of a configuration. [Manager.Prepare] and [Change.Apply] exchange that, before or while
// [Manager.Run] does the work. Its methods may be called at the same time.
type Manager struct {
	opts    Options
	metrics *metrics
	// in is how much was stored, tallies and lateTallies what each segment of the logs has.
	in                   atomic.Int64
	tallies, lateTallies tallies
	// wake are the queues that follow the log.
	wake atomic.Pointer[[]*queue]

	mu     sync.Mutex
	queues []*queue
	// run is nil while the manager does not run.
	run *running
}

// running is what Run works with.
type running struct {
	src Source
	// start runs a queue in goroutines of its own.
	start func(*queue)
}

// New returns a manager that sends to nobody.
func New(opts Options) (*Manager, error) {
	if opts.Log == nil || opts.Registerer == nil {
		return nil, errors.New("remote write: options Log and Registerer are required")
	}
	if opts.FlushDeadline <= 0 {
		opts.FlushDeadline = time.Minute
	}
	m := &Manager{opts: opts}
	if m.opts.NewClient == nil {
		m.opts.NewClient = m.newClient
	}
	m.wake.Store(&[]*queue{})
	var err error
	m.metrics, err = newMetrics(opts.Registerer)
	return m, err
}

func (m *Manager) newClient(cfg *Config) (*http.Client, error) {
	opts := httpclient.Options{Name: "remote_storage_write_client", UserAgent: m.opts.UserAgent, Signers: m.opts.Signers}
	if cfg.RoundRobinDNS {
		dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
		opts.Dial = roundRobin(net.DefaultResolver.LookupHost, dialer.DialContext)
	}
	return httpclient.New(cfg.HTTPClient, opts)
}

// Commit describes a batch that was stored: its samples are in Segment of the log, and those that came out of order in
// LateSegment of the other one.
type Commit struct {
	Segment, LateSegment          int
	Floats, Histograms, Exemplars int
	LateFloats, LateHistograms    int
	// MaxTime is the time of the newest sample of all, in milliseconds.
	MaxTime int64
}

// Committed tells of a batch. It never waits.
func (m *Manager) Committed(c Commit) {
	inOrder := counts{floats: c.Floats, histograms: c.Histograms, exemplars: c.Exemplars}
	m.tallies.add(c.Segment, inOrder)
	all := inOrder
	if c.LateFloats+c.LateHistograms > 0 {
		m.lateTallies.add(c.LateSegment, counts{floats: c.LateFloats, histograms: c.LateHistograms})
		all[floats] += c.LateFloats
		all[histograms] += c.LateHistograms
	}
	for k, n := range all {
		if n > 0 {
			m.metrics.in[k].Add(float64(n))
		}
	}
	m.in.Add(int64(all.sum()))
	if c.MaxTime > m.metrics.highest.Load() {
		m.metrics.highest.Store(c.MaxTime)
	}
	for _, q := range *m.wake.Load() {
		select {
		case q.wake <- struct{}{}:
		default:
			q.metrics.skipped.Inc()
		}
	}
}

// tallies are counts by segment.
type tallies struct {
	mu  sync.Mutex
	all []segmentTally
}

type segmentTally struct {
	segment int
	counts
}

// maxTallies is the number of segments of which is known what they have.
const maxTallies = 4096

func (t *tallies) add(segment int, c counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.all); n == 0 || t.all[n-1].segment != segment {
		if n >= maxTallies {
			t.all = append(t.all[:0], t.all[n/2:]...)
		}
		t.all = append(t.all, segmentTally{segment: segment})
	}
	last := &t.all[len(t.all)-1]
	for k, n := range c {
		last.counts[k] += n
	}
}

func (t *tallies) sum(first, last int) (c counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.all {
		if first <= s.segment && s.segment <= last {
			for k, n := range s.counts {
				c[k] += n
			}
		}
	}
	return c
}

// Change is a new configuration that was found to be good. Exactly one of its methods is to be called.
type Change struct {
	m *Manager
	// queues are those of the configuration, in its order; fresh says which of them are new.
	queues []*queue
	fresh  map[*queue]bool
	// clients take the place of those that kept queues have.
	clients map[*queue]*client
}

// Prepare makes what new, complete entries need and changes nothing. external are the labels that series get. Only one change may
// be open at a time. Errors are of package strictyaml, with paths that begin with the section.
func (m *Manager) Prepare(cfgs []*Config, external labels.Labels) (*Change, error) {
	c := &Change{m: m, fresh: map[*queue]bool{}, clients: map[*queue]*client{}}
	m.mu.Lock()
	before := map[string]*queue{}
	for _, q := range m.queues {
		if labels.Equal(q.external, external) {
			before[q.hash] = q
		}
	}
	m.mu.Unlock()
	var errs []error
	for i, cfg := range cfgs {
		fail := func(err error) { errs = append(errs, strictyaml.At(strictyaml.Index("remote_write", i), err)) }
		hash, err := cfg.hash()
		if err != nil {
			fail(err)
			continue
		}
		q := before[hash]
		if q != nil && q.client.Load().same(cfg) {
			c.queues = append(c.queues, q)
			continue
		}
		client, err := m.opts.NewClient(cfg)
		if err != nil {
			if cfg.HTTPClient.TLSConfig != (httpconfig.TLSConfig{}) {
				err = strictyaml.At("tls_config", err) // The client's other fields have been checked with the file.
			}
			fail(err)
			continue
		}
		if q == nil {
			q = m.newQueue(cfg, hash, external)
			q.client.Store(newClient(cfg, client))
			c.fresh[q] = true
		} else {
			c.clients[q] = newClient(cfg, client)
		}
		c.queues = append(c.queues, q)
	}
	if len(errs) > 0 {
		c.Discard()
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// hash returns a digest of the entry, without its secrets.
func (c *Config) hash() (string, error) {
	text, err := yaml.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("digest of the entry: %w", err)
	}
	sum := md5.Sum(text) //nolint:gosec // as above
	return hex.EncodeToString(sum[:]), nil
}

func (m *Manager) newQueue(cfg *Config, hash string, external labels.Labels) *queue {
	name := cfg.Name
	if name == "" {
		name = hash[:6]
	}
	return &queue{
		m: m, cfg: cfg, hash: hash, name: name, external: external,
		log:  m.opts.Log.With("remote_name", name, "url", cfg.URL.Redacted()),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Discard drops the change.
func (c *Change) Discard() {
	for q := range c.fresh {
		q.client.Load().http.CloseIdleConnections()
	}
	for _, client := range c.clients {
		client.http.CloseIdleConnections()
	}
}

// Apply makes the configuration the current one. Queues that it still has go on as they are. Others send, in the background and
// for up to the flush deadline, what was stored until now; those that take their place begin with what is stored from now on.
func (c *Change) Apply() {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := map[*queue]bool{}
	for _, q := range c.queues {
		kept[q] = !c.fresh[q]
	}
	for q, next := range c.clients {
		q.client.Swap(next).http.CloseIdleConnections()
	}
	var ended []*queue
	for _, q := range m.queues {
		if !kept[q] {
			ended = append(ended, q)
		}
	}
	var begin []*queue
	for _, q := range c.queues {
		if c.fresh[q] {
			q.metrics = m.metrics.acquire(q.name, q.cfg.URL.Redacted(), &q.cfg.QueueConfig)
			begin = append(begin, q)
		}
	}
	m.queues = c.queues
	m.replace(ended, begin)
	wake := append([]*queue(nil), m.queues...)
	m.wake.Store(&wake)
}

// replace ends queues and begins others. The caller holds mu.
func (m *Manager) replace(ended, begin []*queue) {
	if m.run == nil {
		for _, q := range ended {
			q.metrics.release() // It has never run.
			q.client.Load().http.CloseIdleConnections()
		}
		return
	}
	limits := map[*queue]bounds{}
	for _, q := range ended {
		limits[q] = q.end(m.run.src)
	}
	// follow has a queue take the place of one that ends and fits, if there is one.
	follow := func(q *queue, fits func(old *queue) bool) {
		for _, old := range ended {
			limit, free := limits[old]
			if q.before == nil && free && old.receiver() == q.receiver() && fits(old) {
				q.before, q.from, q.lateFrom = old, &limit.end, limit.late
				delete(limits, old)
			}
		}
	}
	for _, q := range begin {
		follow(q, func(old *queue) bool { return old.name == q.name })
	}
	for _, q := range begin {
		follow(q, func(*queue) bool { return true })
		if q.before == nil {
			from := endOf(m.run.src)
			q.from, q.lateFrom = &from.end, from.late
		}
		m.run.start(q)
	}
}

// receiver names who gets what the queue sends, without the password, which may have changed since.
func (q *queue) receiver() string { return q.cfg.URL.Redacted() }

// Run follows the logs of src, from where they began when they were opened, until ctx is done. Then it sends what is left, for up to
// the flush deadline.
func (m *Manager) Run(ctx context.Context, src Source) error {
	var queues sync.WaitGroup
	all := context.WithoutCancel(ctx) // Queues are told when to end.
	m.mu.Lock()
	m.run = &running{src: src, start: func(q *queue) {
		soft, stopSoft := context.WithCancel(all)
		hard, stopHard := context.WithCancel(all)
		q.stopSoft, q.stopHard = stopSoft, stopHard
		queues.Go(func() { q.run(soft, hard, src) })
	}}
	for _, q := range m.queues {
		m.run.start(q)
	}
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.run = nil
	for _, q := range m.queues {
		q.end(src)
	}
	m.queues = nil
	m.mu.Unlock()
	queues.Wait()
	return nil
}
