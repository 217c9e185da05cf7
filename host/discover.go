package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/sdk"
)

// quietTime is how long nothing new must come, after each discovery has answered, for the answer to be taken as complete.
const quietTime = time.Second

// discoverUserAgent is what discoveries call themselves that are run by themselves.
const discoverUserAgent = "narthex/discover"

// Discovered is what the discoveries of a job have found.
type Discovered struct {
	Targets []scrape.Candidate
	// Silent says of each discovery that has not answered in time why that is, if it is known.
	Silent []error
}

// Discover runs the discoveries of one job of a configuration and returns what they find: when each has answered and there
// was nothing new for a second, or after the timeout. Nothing is scraped.
func Discover(ctx context.Context, file, job string, timeout time.Duration, opts CheckOptions) (found Discovered, err error) {
	cfg, err := load(file, opts.Getenv)
	if err != nil {
		return found, err
	}
	i := slices.IndexFunc(cfg.ScrapeConfigs, func(c *scrape.Config) bool { return c.JobName == job })
	if i < 0 {
		return found, unknownJob(cfg, file, job)
	}
	one := cfg.ScrapeConfigs[i]
	signing := &signers{}
	needs := newNeeds(discoverUserAgent, signing)
	needs.addDiscoveries(job, &one.Discovery, cfg.Origins[i])
	if err := needs.complete(); err != nil {
		return found, err
	}
	catalogue, err := opts.catalogue()
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, catalogue.Close()) }()
	change, err := catalogue.Prepare(ctx, cfg.Plugins, needs.uses)
	if err != nil {
		return found, err
	}
	signing.add(needs.signing.running(change))
	change.Apply()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	groups, silent, err := runDiscoveries(ctx, needs.discoveryJob(job, &one.Discovery, change))
	return Discovered{Targets: one.Candidates(groups), Silent: silent}, err
}

func unknownJob(cfg *config.Config, file, job string) error {
	var names []string
	for _, c := range cfg.ScrapeConfigs {
		names = append(names, c.JobName)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s has no job %q: it has no scrape_configs", file, job)
	}
	return fmt.Errorf("%s has no job %q; it has %s", file, job, strings.Join(names, ", "))
}

// runDiscoveries runs the discoveries of a job for a while and returns the last groups.
func runDiscoveries(ctx context.Context, job discovery.Job) (groups []sdk.Group, silent []error, err error) {
	if len(job.Providers) == 0 {
		return job.Static, nil, nil
	}
	manager, err := discovery.New(discovery.Options{
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Name: "scrape", ReloadInterval: quietTime / 10,
	})
	if err != nil {
		return nil, nil, err
	}
	change, err := manager.Prepare(ctx, []discovery.Job{job})
	if err != nil {
		return nil, nil, err
	}
	change.Apply()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Run(running) }()
	groups = gather(ctx, manager, job.Name)
	for _, p := range manager.Providers() {
		if !p.Updated {
			reason := p.Err
			if reason == nil {
				reason = context.DeadlineExceeded
			}
			silent = append(silent, fmt.Errorf("%s has not answered: %w", p.Name, reason))
		}
	}
	stop()
	for range manager.Updates() { // Run closes it in the end.
	}
	return groups, silent, <-ended
}

// gather takes updates until each provider has sent one and then no more come for a while, or ctx is done.
func gather(ctx context.Context, manager *discovery.Manager, job string) (groups []sdk.Group) {
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	for ; ; quiet.Reset(quietTime) {
		complete := !slices.ContainsFunc(manager.Providers(), func(p discovery.ProviderStatus) bool { return !p.Updated })
		select {
		case <-ctx.Done():
			return groups
		case all := <-manager.Updates():
			groups = all[job]
		case <-quiet.C:
			if complete {
				return groups
			}
		}
	}
}
