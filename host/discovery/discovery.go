// Package discovery runs what finds targets and publishes the groups of each job.
//
// Start with [Manager] and [Job]. A job's groups are its static ones and those of its providers, discovery plugins that
// are handed in as values and run here: supervised, exchanged without a gap on reload, their last good groups kept
// whatever happens. [Configs] is the part of a config section that says where targets come from. The package does not
// know what a target is scraped or used for, nor how a plugin works inside.
package discovery

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/sdk"
)

// Job is what one scrape job, or one group of Alertmanagers, gets its targets from.
type Job struct {
	Name string
	// Static are groups that never change.
	Static []sdk.Group
	// Providers are run for the job.
	Providers []Provider
}

// Provider is a discovery that can be run.
type Provider struct {
	// Name tells the providers of a job apart and stays the same when the config behind it changes, such as
	// file_sd_configs[0].
	Name string
	// Fingerprint stands for everything that the discovery is made of, its code and its whole config: equal ones are
	// taken to behave alike. Providers with equal fingerprints, in whichever jobs, are run once, and a provider whose
	// fingerprint was there before a reload goes on running untouched.
	Fingerprint string
	// Discovery is started if no provider with the fingerprint runs yet, and otherwise left alone.
	Discovery sdk.Discovery
}

// Options are what a [Manager] needs. Log, Registerer and Name are required.
type Options struct {
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Name is the label "name" of the manager's metrics: scrape or notify.
	Name string
	// ReloadInterval is the least time between two publications that have no better reason than an update of a
	// provider; the default is 5 s.
	ReloadInterval time.Duration
	// HandoverTimeout is how long a replaced provider goes on beside the new one that has not sent an update yet; the
	// default is 30 s.
	HandoverTimeout time.Duration
}

// settleTime gathers what comes at once, such as the first updates of many providers, into one publication.
const settleTime = 100 * time.Millisecond

// Bounds of the pause before a provider that ended is started again; it doubles from one to the other.
const minBackoff, maxBackoff = time.Second, time.Minute

func (o Options) withDefaults() (Options, error) {
	if o.Log == nil || o.Registerer == nil || o.Name == "" {
		return o, errors.New("discovery: options Log, Registerer and Name are required")
	}
	if o.ReloadInterval <= 0 {
		o.ReloadInterval = 5 * time.Second
	}
	if o.HandoverTimeout <= 0 {
		o.HandoverTimeout = 30 * time.Second
	}
	return o, nil
}

func checkJobs(jobs []Job) error {
	var errs []error
	names := map[string]bool{}
	for _, j := range jobs {
		if names[j.Name] {
			errs = append(errs, fmt.Errorf("job %q: given twice", j.Name))
		}
		names[j.Name] = true
		providers := map[string]bool{}
		for _, p := range j.Providers {
			switch {
			case providers[p.Name]:
				errs = append(errs, fmt.Errorf("job %q: provider %s: given twice", j.Name, p.Name))
			case p.Discovery == nil:
				errs = append(errs, fmt.Errorf("job %q: provider %s: no discovery", j.Name, p.Name))
			case p.Fingerprint == "":
				errs = append(errs, fmt.Errorf("job %q: provider %s: no fingerprint", j.Name, p.Name))
			}
			providers[p.Name] = true
		}
	}
	return errors.Join(errs...)
}
