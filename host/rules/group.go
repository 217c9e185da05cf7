package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// Notifier takes alerts that somebody has to know of. It does not block for long.
type Notifier interface {
	Send(ctx context.Context, alerts ...notify.Alert)
}

// Engine answers queries; a [promql.Engine] does.
type Engine interface {
	Instant(ctx context.Context, q storage.Queryable, query string, opts promql.QueryOptions, at time.Time) (*promql.Result, error)
}

// Storage is what rules read and write.
type Storage interface {
	storage.Queryable
	storage.Appendable
}

// Options are what rules work with. Log, Engine and Storage are required.
type Options struct {
	Log *slog.Logger
	// Registerer receives the metrics; nil for nobody.
	Registerer prometheus.Registerer
	Engine     Engine
	// Storage takes what rules record, and has the state of alerts.
	Storage Storage
	// Queried is what expressions read from; nil stands for Storage.
	Queried storage.Queryable
	// Notifier receives alerts; nil for nobody.
	Notifier Notifier
	// OutageTolerance is how long a server may have been down for its alerts to be restored. Zero means one hour.
	OutageTolerance time.Duration
	// GracePeriod is the least time between the restoring of an alert and its firing; alerts that wait for less are not
	// restored. Zero means none.
	GracePeriod time.Duration
	// ResendDelay is the least time between two notifications of one alert.
	ResendDelay time.Duration
	// Concurrency is how many rules, of all groups, may be evaluated beside those that are each group's turn; zero means
	// that the rules of a group are evaluated one after the other.
	Concurrency int
}

// Config is what the groups are made of.
type Config struct {
	Files []*File
	// Interval and QueryOffset are those of groups that have none of their own.
	Interval, QueryOffset time.Duration
	ExternalLabels        labels.Labels
	// ExternalURL is where others reach the server; nil is nowhere.
	ExternalURL *url.URL
}

// env is what all groups share.
type env struct {
	Options
	metrics *metrics
	// places bounds the concurrency; nil if there is none.
	places chan struct{}
}

func newEnv(opts Options) (*env, error) {
	if opts.Log == nil || opts.Engine == nil || opts.Storage == nil {
		return nil, errors.New("rules: options Log, Engine and Storage are required")
	}
	if opts.Queried == nil {
		opts.Queried = opts.Storage
	}
	if opts.OutageTolerance == 0 {
		opts.OutageTolerance = time.Hour
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics of rules: %w", err)
	}
	e := &env{Options: opts, metrics: m}
	if opts.Concurrency > 0 {
		e.places = make(chan struct{}, opts.Concurrency)
	}
	return e, nil
}

// Group is a group of rules at work. One goroutine at a time evaluates it; its status may be read meanwhile.
type Group struct {
	env *env
	log *slog.Logger
	// key names the group among all files.
	key, name, file  string
	interval, offset time.Duration
	limit            int
	rules            []*rule
	// batches are the rules in the order of their evaluation, by index; nil for one after the other.
	batches     [][]int
	fingerprint string
	externalURL string
	// restoring says that the state of alerts from before the start is still to be read.
	restoring bool
	// rounds counts the evaluations of the group and of its earlier versions.
	rounds int
	// orphans are series that rules made that are not there any more.
	orphans []series

	mu sync.Mutex
	// took is how long the last evaluation took, evaluated when it began.
	took      time.Duration
	evaluated time.Time
}

// NewGroups makes the groups of a configuration, in the order of the files. They do not restore alerts. The caller
// evaluates them at times of his choice.
func NewGroups(opts Options, cfg Config) ([]*Group, error) {
	e, err := newEnv(opts)
	if err != nil {
		return nil, err
	}
	return e.groups(cfg)
}

func (e *env) groups(cfg Config) (groups []*Group, err error) {
	external := &url.URL{}
	if cfg.ExternalURL != nil {
		external = cfg.ExternalURL
	}
	for _, f := range cfg.Files {
		for _, gc := range f.Groups {
			g, err := e.group(f.Path, gc, &cfg, external)
			if err != nil {
				return nil, fmt.Errorf("%s: group %q: %w", f.Path, gc.Name, err)
			}
			groups = append(groups, g)
		}
	}
	return groups, nil
}

func (e *env) group(file string, gc *GroupConfig, cfg *Config, external *url.URL) (*Group, error) {
	g := &Group{
		env: e, key: file + ";" + gc.Name, name: gc.Name, file: file, limit: gc.Limit,
		interval: time.Duration(gc.Interval), offset: cfg.QueryOffset, externalURL: external.String(),
		log: e.Log.With("file", file, "group", gc.Name),
	}
	if g.interval == 0 {
		g.interval = cfg.Interval
	}
	if gc.QueryOffset != nil {
		g.offset = time.Duration(*gc.QueryOffset)
	}
	labelMap := cfg.ExternalLabels.Map()
	for _, rc := range gc.Rules {
		r, err := newRule(rc, gc.Labels, labelMap, external)
		if err != nil {
			return nil, err
		}
		g.rules = append(g.rules, r)
	}
	if e.places != nil {
		g.batches = batches(g.rules)
	}
	g.fingerprint = g.describe(cfg.ExternalLabels)
	return g, nil
}

// describe returns a text that is the same for a group that means the same.
func (g *Group) describe(external labels.Labels) string {
	var all []string
	for _, r := range g.rules {
		all = append(all, r.name, r.query, r.labels.String())
		if a := r.alerting; a != nil {
			all = append(all, a.hold.String(), a.keep.String(), fmt.Sprintf("%q", a.annotations))
		}
	}
	return fmt.Sprintf("%q %v %v %d %q %q %q", g.key, g.interval, g.offset, g.limit, all, external.String(), g.externalURL)
}

// query evaluates the expression of a rule, or one in its texts.
func (g *Group) query(ctx context.Context, q string, at time.Time) (promql.Vector, error) {
	res, err := g.env.Engine.Instant(ctx, g.env.Queried, q, promql.QueryOptions{
		Origin: promql.Origin{Rule: &promql.RuleOrigin{File: g.file, Name: g.name}},
	}, at)
	if err != nil {
		return nil, err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return v, nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	default:
		return nil, errors.New("rule result is not a vector or scalar")
	}
}

// takeOver gives the group the state of an earlier version, which is not evaluated any more.
func (g *Group) takeOver(old *Group) {
	g.mu.Lock()
	old.mu.Lock()
	g.took, g.evaluated = old.took, old.evaluated
	old.mu.Unlock()
	g.mu.Unlock()
	g.rounds = old.rounds
	g.setRestoring(old.restoring)
	before := map[string][]*rule{}
	for _, r := range old.rules {
		before[r.identity()] = append(before[r.identity()], r)
	}
	for _, r := range g.rules {
		same := before[r.identity()]
		if len(same) == 0 {
			continue
		}
		r.produced = same[0].produced
		if r.alerting != nil && same[0].alerting != nil {
			r.alerting.adopt(same[0].alerting)
		}
		same[0].copyStatus(r)
		before[r.identity()] = same[1:]
	}
	g.orphans = append(g.orphans, old.orphans...)
	for _, r := range old.rules { // In the order of the file, not of the map.
		for _, gone := range before[r.identity()] {
			if gone == r {
				g.orphans = append(g.orphans, r.made()...)
			}
		}
	}
}

// setRestoring says whether the alerts are still to be restored.
func (g *Group) setRestoring(on bool) {
	g.restoring = on
	for _, r := range g.rules {
		if r.alerting != nil {
			r.alerting.restoring = on
		}
	}
}
