package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/host/web/access"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/sdk"
)

// needs are all places of a configuration that need a plugin: for each job its discoveries, then its exporters; then the
// discoveries of each entry of alertmanagers; then the receivers of alerts; then what judges requests to the web server.
type needs struct {
	uses []plugin.Use
	// receivers and auth are where those of the last two begin.
	receivers, auth int
}

func needsOf(cfg *config.Config, userAgent string) (*needs, error) {
	n := &needs{}
	for i, job := range cfg.ScrapeConfigs {
		origin := cfg.Origins[i]
		for _, d := range job.Discovery.Plugins {
			use, err := pluginUse(job.JobName, d.Key, d.Name(), d.JSON, origin, userAgent)
			if err != nil {
				return nil, err
			}
			n.uses = append(n.uses, use)
		}
		for j, e := range job.Exporters {
			n.uses = append(n.uses, plugin.Use{
				Plugin:   e.Plugin,
				Config:   e.JSON,
				BaseDir:  origin.Dir,
				Position: origin.Position(strictyaml.Index("exporters", j)),
			})
		}
	}
	for i, am := range cfg.Alerting.Alertmanagers {
		origin := cfg.Origin(strictyaml.Index("alerting.alertmanagers", i))
		for _, d := range am.Discovery.Plugins {
			use, err := pluginUse("alertmanagers", d.Key, d.Name(), d.JSON, origin, userAgent)
			if err != nil {
				return nil, err
			}
			n.uses = append(n.uses, use)
		}
	}
	n.receivers = len(n.uses)
	for _, r := range cfg.Alerting.Receivers {
		origin, name := cfg.Origin("alerting"), strictyaml.Index(r.Key, r.Index)
		use, err := pluginUse(r.Name, r.Key, name, r.JSON, origin, userAgent)
		if err != nil {
			return nil, err
		}
		n.uses = append(n.uses, use)
	}
	n.auth = len(n.uses)
	for i, e := range cfg.Web.Auth {
		use, err := pluginUse("web", e.Key, strictyaml.Join(strictyaml.Index("auth", i), e.Key), e.JSON, cfg.Origin("web"), userAgent)
		if err != nil {
			return nil, err
		}
		use.Kind = sdk.KindAuthInbound
		n.uses = append(n.uses, use)
	}
	return n, nil
}

// pluginUse takes the fields of the HTTP client out of a section, so that the guest never sees a credential, and makes the
// client that its requests go through. owner is whom the section belongs to, place where it is below origin.
func pluginUse(owner, key, place string, text json.RawMessage, origin config.Origin, userAgent string) (plugin.Use, error) {
	use := plugin.Use{Key: key, Config: text, BaseDir: origin.Dir, Position: origin.Position(place)}
	var section map[string]json.RawMessage
	if err := json.Unmarshal(text, &section); err != nil {
		return use, fmt.Errorf("%s: a mapping is needed here: %w", use.Position, err)
	}
	taken := takeClient(section)
	if len(taken) == 0 {
		return use, nil
	}
	var err error
	if use.Config, err = json.Marshal(section); err != nil {
		return use, err
	}
	settings, err := json.Marshal(taken)
	if err != nil {
		return use, err
	}
	use.HTTPFields = slices.Sorted(maps.Keys(taken))
	sum := sha256.Sum256(settings)
	use.HTTPKey = hex.EncodeToString(sum[:])
	use.HTTPClient, err = pluginClient(owner, key, settings, origin.Dir, userAgent)
	if at, ok := errors.AsType[*strictyaml.Error](err); ok {
		return use, fmt.Errorf("%s: %w", origin.Position(strictyaml.Join(place, at.Path)), at.Err)
	}
	if err != nil {
		return use, fmt.Errorf("%s: %w", use.Position, err)
	}
	return use, nil
}

// takeClient takes the fields of the HTTP client out of a section.
func takeClient(section map[string]json.RawMessage) map[string]json.RawMessage {
	taken := map[string]json.RawMessage{}
	for _, field := range httpclient.Fields() {
		if value, ok := section[field]; ok {
			taken[field] = value
			delete(section, field)
		}
	}
	return taken
}

// connectTimeout is for connections of plugins, and their keep-alive.
const connectTimeout = 30 * time.Second

func pluginClient(job, key string, settings []byte, dir, userAgent string) (*http.Client, error) {
	cfg, err := httpclient.Parse(settings)
	if err != nil {
		return nil, err
	}
	cfg.SetDirectory(dir)
	return httpclient.New(cfg, httpclient.Options{
		Name: job + "/" + key, UserAgent: userAgent, Dial: grant.Dial(net.Dialer{Timeout: connectTimeout, KeepAlive: connectTimeout}),
	})
}

// jobs returns what the discovery manager of scraping is to run.
func (n *needs) jobs(cfg *config.Config, change *plugin.Change) []discovery.Job {
	jobs := make([]discovery.Job, len(cfg.ScrapeConfigs))
	i := 0
	for j, job := range cfg.ScrapeConfigs {
		jobs[j] = discoveryJob(job.JobName, &job.Discovery, change, i)
		i += len(job.Discovery.Plugins) + len(job.Exporters)
	}
	return jobs
}

// alertmanagers returns what the discovery manager of notification is to run.
func (n *needs) alertmanagers(cfg *config.Config, change *plugin.Change) []discovery.Job {
	jobs := make([]discovery.Job, len(cfg.Alerting.Alertmanagers))
	i := 0
	for _, job := range cfg.ScrapeConfigs {
		i += len(job.Discovery.Plugins) + len(job.Exporters)
	}
	for j, am := range cfg.Alerting.Alertmanagers {
		jobs[j] = discoveryJob(notify.JobName(j), &am.Discovery, change, i)
		i += len(am.Discovery.Plugins)
	}
	return jobs
}

// notifiers returns the plugins behind the receivers of alerts.
func (n *needs) notifiers(cfg *config.Config, change *plugin.Change) []sdk.Notifier {
	out := make([]sdk.Notifier, len(cfg.Alerting.Receivers))
	for i := range out {
		out[i] = change.Notifier(n.receivers + i)
	}
	return out
}

// access returns who is let into the web server.
func (n *needs) access(cfg *config.Config, change *plugin.Change) access.Policy {
	p := access.Policy{PublicPaths: cfg.Web.PublicPaths}
	for i, e := range cfg.Web.Auth {
		p.Entries = append(p.Entries, access.Authenticator{
			Name: strictyaml.Index("web.auth", i) + "." + e.Key, Authenticator: change.Authenticator(n.auth + i),
		})
	}
	return p
}

// discoveryJob returns a job whose plugins are those of change from first on.
func discoveryJob(name string, from *discovery.Configs, change *plugin.Change, first int) discovery.Job {
	job := discovery.Job{Name: name, Static: from.Groups()}
	for i, d := range from.Plugins {
		found := change.Discovery(first + i)
		job.Providers = append(job.Providers, discovery.Provider{
			Name: d.Name(), Fingerprint: found.Fingerprint(), Discovery: found,
		})
	}
	return job
}

// exporters returns the exporters in use by plugin and config.
func (n *needs) exporters(cfg *config.Config, change *plugin.Change) map[exporterKey]*plugin.Exporter {
	found := map[exporterKey]*plugin.Exporter{}
	i := 0
	for _, job := range cfg.ScrapeConfigs {
		i += len(job.Discovery.Plugins)
		for _, e := range job.Exporters {
			found[exporterKey{e.Plugin, string(e.JSON)}] = change.Exporter(i)
			i++
		}
	}
	return found
}
