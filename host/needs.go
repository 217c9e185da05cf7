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
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/host/web/access"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/sdk"
)

// needs are all places of a configuration that need a plugin, and which use each of them is.
type needs struct {
	uses []plugin.Use
	// discoveries are the first uses of each list of discoveries, whose others follow; receivers and auth are where the receivers
	// of alerts begin, and what judges requests to the web server.
	discoveries map[*discovery.Configs]int
	exporting   map[exporterKey]int
	parsing     map[scrape.ParserKey]int
	receivers   int
	auth        int
}

func needsOf(cfg *config.Config, userAgent string) (*needs, error) {
	n := &needs{discoveries: map[*discovery.Configs]int{}, exporting: map[exporterKey]int{}, parsing: map[scrape.ParserKey]int{}}
	for i, job := range cfg.ScrapeConfigs {
		origin := cfg.Origins[i]
		if err := n.addDiscoveries(job.JobName, &job.Discovery, origin, userAgent); err != nil {
			return nil, err
		}
		n.addExporters(job, origin)
		n.addParsers(cfg, job, origin)
	}
	for i, am := range cfg.Alerting.Alertmanagers {
		origin := cfg.Origin(strictyaml.Index("alerting.alertmanagers", i))
		if err := n.addDiscoveries("alertmanagers", &am.Discovery, origin, userAgent); err != nil {
			return nil, err
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

func (n *needs) addDiscoveries(owner string, from *discovery.Configs, origin config.Origin, userAgent string) error {
	n.discoveries[from] = len(n.uses)
	for _, d := range from.Plugins {
		use, err := pluginUse(owner, d.Key, d.Name(), d.JSON, origin, userAgent)
		if err != nil {
			return err
		}
		n.uses = append(n.uses, use)
	}
	return nil
}

func (n *needs) addExporters(job *scrape.Config, origin config.Origin) {
	for i, e := range job.Exporters {
		n.exporting[exporterKey{e.Plugin, string(e.JSON)}] = len(n.uses)
		n.uses = append(n.uses, plugin.Use{
			Plugin:   e.Plugin,
			Config:   e.JSON,
			BaseDir:  origin.Dir,
			Position: origin.Position(strictyaml.Index("exporters", i)),
		})
	}
}

// addParsers adds the parsers of a job. Those that many jobs inherit are one use.
func (n *needs) addParsers(cfg *config.Config, job *scrape.Config, origin config.Origin) {
	all, inherited := job.AllParsers()
	for i, p := range all {
		if _, known := n.parsing[p.Key()]; known && inherited {
			continue
		}
		place := strictyaml.Index("parsers", i)
		switch {
		case job.Parser != nil:
			place = "parser"
		case inherited:
			origin = cfg.Origin("global")
		}
		n.parsing[p.Key()] = len(n.uses)
		n.uses = append(n.uses, plugin.Use{
			Kind: sdk.KindParser, Plugin: p.Plugin, Config: p.JSON, BaseDir: p.Dir(), Position: origin.Position(place),
		})
	}
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
	for i, job := range cfg.ScrapeConfigs {
		jobs[i] = n.discoveryJob(job.JobName, &job.Discovery, change)
	}
	return jobs
}

// alertmanagers returns what the discovery manager of notification is to run.
func (n *needs) alertmanagers(cfg *config.Config, change *plugin.Change) []discovery.Job {
	jobs := make([]discovery.Job, len(cfg.Alerting.Alertmanagers))
	for i, am := range cfg.Alerting.Alertmanagers {
		jobs[i] = n.discoveryJob(notify.JobName(i), &am.Discovery, change)
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

// discoveryJob returns a job with the plugins of a list of discoveries.
func (n *needs) discoveryJob(name string, from *discovery.Configs, change *plugin.Change) discovery.Job {
	job := discovery.Job{Name: name, Static: from.Groups()}
	for i, d := range from.Plugins {
		found := change.Discovery(n.discoveries[from] + i)
		job.Providers = append(job.Providers, discovery.Provider{
			Name: d.Name(), Fingerprint: found.Fingerprint(), Discovery: found,
		})
	}
	return job
}

// exporters returns the exporters in use by plugin and config.
func (n *needs) exporters(change *plugin.Change) map[exporterKey]*plugin.Exporter {
	found := map[exporterKey]*plugin.Exporter{}
	for key, i := range n.exporting {
		found[key] = change.Exporter(i)
	}
	return found
}

// parsed are the parsers in use.
type parsed map[scrape.ParserKey]*plugin.Parser

// types returns which media types the plugins themselves name.
func (p parsed) types() scrape.ParserTypes {
	return func(key scrape.ParserKey) []string {
		if found := p[key]; found != nil {
			return found.ContentTypes()
		}
		return nil
	}
}

// parsers returns the parsers in use. That it is not clear which of them is to read a body is an error.
func (n *needs) parsers(cfg *config.Config, change *plugin.Change) (parsed, error) {
	found := parsed{}
	for key, i := range n.parsing {
		found[key] = change.Parser(i)
	}
	for i, job := range cfg.ScrapeConfigs {
		err := job.CheckParsers(found.types())
		if err == nil {
			continue
		}
		origin := cfg.Origins[i]
		if _, inherited := job.AllParsers(); inherited {
			origin = cfg.Origin("global")
		}
		if at, ok := errors.AsType[*strictyaml.Error](err); ok {
			return nil, fmt.Errorf("%s: %w", origin.Position(at.Path), at.Err)
		}
		return nil, fmt.Errorf("%s: %w", origin.Position(""), err)
	}
	return found, nil
}
