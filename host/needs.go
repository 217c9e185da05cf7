package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
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
	signing     signings
	// empty are the uses of lists that have no entries.
	empty []plugin.Use

	userAgent string
	// finder finds what signs the requests of plugins, when it runs.
	finder httpclient.Signers
	errs   []error
}

func newNeeds(userAgent string, finder httpclient.Signers) *needs {
	return &needs{
		discoveries: map[*discovery.Configs]int{}, exporting: map[exporterKey]int{}, parsing: map[scrape.ParserKey]int{},
		userAgent: userAgent, finder: finder,
	}
}

func needsOf(cfg *config.Config, userAgent string, finder httpclient.Signers) (*needs, error) {
	n := newNeeds(userAgent, finder)
	for i, job := range cfg.ScrapeConfigs {
		origin := cfg.Origins[i]
		n.addDiscoveries(job.JobName, &job.Discovery, origin)
		n.addExporters(job, origin)
		n.addParsers(cfg, job, origin)
		n.sign(job.JobName, job.HTTPClient.Auth, origin, "")
		for _, name := range slices.Sorted(maps.Keys(job.Credentials)) {
			n.sign(job.JobName, job.Credentials[name].HTTPClient.Auth, origin, strictyaml.Join("credentials", name))
		}
	}
	for i, am := range cfg.Alerting.Alertmanagers {
		origin := cfg.Origin(strictyaml.Index("alerting.alertmanagers", i))
		n.addDiscoveries("alertmanagers", &am.Discovery, origin)
		n.sign("alertmanagers", am.HTTPClient.Auth, origin, "")
	}
	for i, rw := range cfg.RemoteWrite {
		n.sign("remote_write", rw.HTTPClient.Auth, cfg.Origin(strictyaml.Index("remote_write", i)), "")
	}
	for i, r := range cfg.RemoteRead {
		n.sign("remote_read", r.HTTPClient.Auth, cfg.Origin(strictyaml.Index("remote_read", i)), "")
	}
	n.receivers = len(n.uses)
	for _, r := range cfg.Alerting.Receivers {
		n.add(n.pluginUse(r.Name, r.Key, strictyaml.Index(r.Key, r.Index), r.JSON, cfg.Origin("alerting")))
	}
	n.auth = len(n.uses)
	for i, e := range cfg.Web.Auth {
		use := n.pluginUse("web", e.Key, strictyaml.Join(strictyaml.Index("auth", i), e.Key), e.JSON, cfg.Origin("web"))
		use.Kind = sdk.KindAuthInbound
		n.add(use)
	}
	return n, n.complete()
}

// complete adds what comes last: the signers, and the lists without entries.
func (n *needs) complete() error {
	n.signing.first = len(n.uses)
	n.uses = append(n.uses, n.signing.uses...)
	n.uses = append(n.uses, n.empty...)
	return errors.Join(n.errs...)
}

func (n *needs) add(u plugin.Use) { n.uses = append(n.uses, u) }

func (n *needs) addDiscoveries(owner string, from *discovery.Configs, origin config.Origin) {
	n.discoveries[from] = len(n.uses)
	for _, d := range from.Plugins {
		n.add(n.pluginUse(owner, d.Key, d.Name(), d.JSON, origin))
	}
	for _, key := range from.Empty {
		n.empty = append(n.empty, plugin.Use{Key: key, Empty: true, Position: origin.Position(key)})
	}
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
func (n *needs) pluginUse(owner, key, place string, text json.RawMessage, origin config.Origin) plugin.Use {
	use := plugin.Use{Key: key, Config: text, BaseDir: origin.Dir, Position: origin.Position(place)}
	var section map[string]json.RawMessage
	err := json.Unmarshal(text, &section)
	if err != nil {
		err = fmt.Errorf("a mapping is needed here: %w", err)
	} else if taken := httpclient.TakeJSON(section); len(taken) > 0 {
		err = n.giveClient(&use, owner, place, section, taken, origin)
	}
	if at, ok := errors.AsType[*strictyaml.Error](err); ok {
		err = fmt.Errorf("%s: %w", origin.Position(strictyaml.Join(place, at.Path)), at.Err)
	} else if err != nil {
		err = fmt.Errorf("%s: %w", use.Position, err)
	}
	n.errs = append(n.errs, err)
	return use
}

// giveClient gives a use the client that fields of its section describe; rest are the others.
func (n *needs) giveClient(use *plugin.Use, owner, place string, rest, fields map[string]json.RawMessage, origin config.Origin) (err error) {
	if use.Config, err = json.Marshal(rest); err != nil {
		return err
	}
	settings, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	use.HTTPFields = slices.Sorted(maps.Keys(fields))
	sum := sha256.Sum256(settings)
	use.HTTPKey = hex.EncodeToString(sum[:])
	client, err := clientOf(settings, origin.Dir)
	if err != nil {
		return err
	}
	n.sign(owner, client.Auth, origin, place)
	use.HTTPClient, err = httpclient.New(client, httpclient.Options{
		Name: owner + "/" + use.Key, UserAgent: n.userAgent, Signers: n.finder,
		Dial: grant.Dial(net.Dialer{Timeout: connectTimeout, KeepAlive: connectTimeout}),
	})
	return err
}

// connectTimeout is for connections of plugins, and their keep-alive.
const connectTimeout = 30 * time.Second

// clientOf reads the fields of the HTTP client, as httpclient.TakeJSON takes them out of a section; files in them start at dir.
func clientOf(fields []byte, dir string) (httpclient.Config, error) {
	client, err := httpclient.Parse(fields)
	client.SetDirectory(dir)
	return client, err
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
