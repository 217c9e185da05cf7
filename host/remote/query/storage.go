package query

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	httpconfig "github.com/prometheus/common/config"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/merge"
)

// Options are what a [Storage] needs. Local, LocalStart, Registerer and Log are required.
type Options struct {
	Local storage.Queryable
	// LocalStart returns, in Unix milliseconds, since when the local storage has everything.
	LocalStart func() int64
	// MaxBytes bounds the memory that all answers take together; zero means no bound.
	MaxBytes int64
	// UserAgent is sent with each request.
	UserAgent string
	// Signers finds the plugins behind sections of auth plugins; required if a config has one.
	Signers    httpclient.Signers
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Storage is the local storage and all remotes as one. [Storage.Prepare] and [Change.Apply] exchange the remotes. Its methods may
// be called at the same time.
type Storage struct {
	opts    Options
	metrics *metrics
	memory  shared
	remotes atomic.Pointer[[]*remote]
}

// New returns a storage without remotes.
func New(opts Options) (*Storage, error) {
	s := &Storage{opts: opts, memory: shared{max: opts.MaxBytes}}
	s.remotes.Store(&[]*remote{})
	var err error
	if s.metrics, err = newMetrics(opts.Registerer); err != nil {
		return nil, err
	}
	return s, nil
}

// Querier returns a snapshot of the local storage over which the remotes are laid: where several have a sample of the same series
// and time, that of the local storage counts, and else that of the remote which is configured first.
func (s *Storage) Querier(mint, maxt int64) (storage.Querier, error) {
	local, err := s.opts.Local.Querier(mint, maxt)
	remotes := *s.remotes.Load()
	if err != nil || len(remotes) == 0 { // Fast path: most servers read from no other.
		return local, err
	}
	all := []storage.Querier{local}
	for _, r := range remotes {
		until := maxt
		if !r.cfg.ReadRecent {
			start := s.opts.LocalStart()
			if mint > start {
				continue
			}
			until = min(maxt, start)
		}
		all = append(all, newQuerier(r, mint, until))
	}
	return merge.Queriers(all...), nil
}

// Change is a new section that was found to be good. Exactly one of its methods is to be called.
type Change struct {
	s       *Storage
	remotes []*remote
	// clients are those that were made for the change.
	clients []*http.Client
}

// Prepare makes what a new, complete section needs and changes nothing. external are the labels of this server. Only one change
// may be open at a time. Errors are of package strictyaml, with paths from the section on.
func (s *Storage) Prepare(entries []*Config, external labels.Labels) (*Change, error) {
	c := &Change{s: s}
	old := *s.remotes.Load()
	var errs []error
	for i, cfg := range entries {
		r := newRemote(s, cfg, external)
		for _, o := range old {
			if r.client == nil && o.name == r.name && o.url == r.url && reflect.DeepEqual(o.cfg.HTTPClient, cfg.HTTPClient) {
				r.client = o.client
			}
		}
		if r.client == nil {
			client, err := httpclient.New(cfg.HTTPClient, httpclient.Options{Name: "remote_storage_read_client", UserAgent: s.opts.UserAgent, Signers: s.opts.Signers})
			if err != nil {
				if cfg.HTTPClient.TLSConfig != (httpconfig.TLSConfig{}) {
					err = strictyaml.At("tls_config", err) // The other fields have been checked with the file.
				}
				errs = append(errs, strictyaml.At(strictyaml.Index("remote_read", i), fmt.Errorf("make HTTP client: %w", err)))
				continue
			}
			r.client = &ownedClient{Client: client}
			c.clients = append(c.clients, client)
		}
		c.remotes = append(c.remotes, r)
	}
	if len(errs) > 0 {
		c.Discard()
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// Discard drops the change.
func (c *Change) Discard() {
	for _, client := range c.clients {
		client.CloseIdleConnections()
	}
}

// Apply makes the section the current one. Queries under way go on with the remotes that they began with.
func (c *Change) Apply() {
	old := *c.s.remotes.Load()
	c.s.metrics.exchange(old, c.remotes)
	c.s.remotes.Store(&c.remotes)
	used := map[*ownedClient]bool{}
	for _, r := range c.remotes {
		used[r.client] = true
	}
	for _, r := range old {
		if !used[r.client] {
			r.client.retire()
		}
	}
}

// Close closes connections that nobody uses. Queries that are under way must have ended.
func (s *Storage) Close() error {
	for _, r := range *s.remotes.Load() {
		r.client.retire()
	}
	return nil
}

// ownedClient is an HTTP client whose connections are not kept once no section needs it.
type ownedClient struct {
	*http.Client
	retired atomic.Bool
}

// retire closes connections, now and when those in use get free.
func (c *ownedClient) retire() {
	c.retired.Store(true)
	c.CloseIdleConnections()
}

// done says that a request has ended.
func (c *ownedClient) done() {
	if c.retired.Load() {
		c.CloseIdleConnections()
	}
}
