package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/remote/query"
	"github.com/narthex-io/narthex/host/remote/send"
	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/sdk"
)

// CheckOptions say with what a configuration is checked.
type CheckOptions struct {
	Getenv            func(string) string
	PluginDirectories []string
	PluginCache       string
	PluginWorker      string
	PluginTrust       PluginTrust
	// PluginLogger gets what plugins say; nil drops it.
	PluginLogger *slog.Logger
	// Query says which features the expressions of rules may use.
	Query promql.Options
	// IgnoreUnknownFields accepts fields of rule files that mean nothing.
	IgnoreUnknownFields bool
	// SyntaxOnly reads the configuration and nothing else: no rule files, no credentials, no plugins.
	SyntaxOnly bool
}

// Checked is what a good configuration consists of.
type Checked struct {
	// Jobs is the number of scrape configs.
	Jobs      int
	RuleFiles []*rules.File
	// Intervals are the scrape intervals of the jobs by their names.
	Intervals map[string]time.Duration
	// Inert are warnings of sections that change nothing, each with its place.
	Inert []string
}

// CheckConfig loads a configuration and its rule files as a server would, starts the plugins that it uses to have them
// check their sections, and throws everything away.
func CheckConfig(ctx context.Context, file string, opts CheckOptions) (checked Checked, err error) {
	cfg, err := load(file, opts.Getenv)
	if err != nil {
		return checked, err
	}
	if opts.SyntaxOnly {
		return summary(cfg, nil), nil
	}
	needs, err := needsOf(cfg, "", &signers{})
	if err != nil {
		return checked, err
	}
	catalogue, err := opts.catalogue()
	if err != nil {
		return checked, err
	}
	defer func() { err = errors.Join(err, catalogue.Close()) }()
	files, ruleErr := checkRules(cfg, opts)
	change, err := catalogue.Prepare(ctx, cfg.Plugins, needs.uses)
	if err != nil {
		return checked, errors.Join(err, checkStatic(cfg), ruleErr)
	}
	parsing, err := needs.parsers(cfg, change)
	change.Discard()
	if err != nil {
		return checked, err
	}
	if err := errors.Join(checkJobs(cfg, parsing), checkStatic(cfg), checkAlerting(cfg), checkSending(cfg), checkRemoteRead(cfg), checkCredentials(cfg), ruleErr); err != nil {
		return checked, err
	}
	return summary(cfg, files), nil
}

func summary(cfg *config.Config, files []*rules.File) Checked {
	checked := Checked{Jobs: len(cfg.ScrapeConfigs), RuleFiles: files, Intervals: map[string]time.Duration{}, Inert: cfg.Inert()}
	for _, job := range cfg.ScrapeConfigs {
		checked.Intervals[job.JobName] = time.Duration(job.ScrapeInterval)
	}
	return checked
}

// catalogue returns one that runs nothing yet.
func (o CheckOptions) catalogue() (*plugin.Catalogue, error) {
	log := o.PluginLogger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return plugin.New(plugin.Options{
		Directories: o.PluginDirectories,
		CacheDir:    o.PluginCache,
		Worker:      o.PluginWorker,
		OnlyUsed:    true,
		TrustedKeys: o.PluginTrust.Keys,
		Logger:      log,

		RequireSignature: o.PluginTrust.Required,
	})
}

// LockPlugins returns a lock of the plugins that a configuration uses, as their files are now, and the one that lies beside it,
// which is nil when there is none or it cannot be read.
func LockPlugins(ctx context.Context, file string, opts CheckOptions) (now plugin.Lock, before *plugin.Lock, err error) {
	cfg, err := config.Load(file, opts.Getenv)
	if err != nil {
		return nil, nil, err
	}
	before, _ = plugin.ReadLock(cfg.Dir) // A broken one is about to be replaced.
	needs, err := needsOf(cfg, "", &signers{})
	if err != nil {
		return nil, nil, err
	}
	catalogue, err := opts.catalogue()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, catalogue.Close()) }()
	now, err = catalogue.MakeLock(ctx, cfg.Plugins, needs.uses)
	return now, before, err
}

// checkRules loads the rule files. A server starts without one that is named and not there, since it may come later, but
// whoever asks for a check wants to know.
func checkRules(cfg *config.Config, opts CheckOptions) ([]*rules.File, error) {
	var missing config.Errors
	for i, pattern := range cfg.RuleFiles {
		if found, err := filepath.Glob(pattern); err == nil && len(found) == 0 && !strings.Contains(pattern, "*") {
			origin := cfg.Origin(strictyaml.Index("rule_files", i))
			missing = append(missing, fmt.Errorf("%s: %q does not point to an existing file", origin.Position(""), pattern))
		}
	}
	if len(missing) > 0 {
		return nil, missing
	}
	return rules.Load(cfg.RuleFiles, ruleLoading(cfg, opts.Query, rules.LoadOptions{IgnoreUnknownFields: opts.IgnoreUnknownFields}))
}

// checkJobs has the scrape manager prepare the jobs, which reads the files with certificates and keys.
func checkJobs(cfg *config.Config, parsing parsed) error {
	manager, err := scrape.New(scrape.Options{
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Storage: &gate{}, Exporters: &exporters{}, Parsers: &parsers{},
		Signers: &signers{},
		OpenLog: func(string) (io.WriteCloser, error) { return noLog{}, nil },
	})
	if err != nil {
		return err
	}
	change, err := manager.Prepare(cfg.ScrapeConfigs, cfg.Global.Labels(), parsing.types())
	if err != nil {
		return positioned(cfg, err)
	}
	change.Discard()
	return nil
}

// checkStatic makes the targets that the file lists. A server starts without those that cannot be made, as without those that
// other discoveries bring.
func checkStatic(cfg *config.Config) error {
	var bad config.Errors
	for i, job := range cfg.ScrapeConfigs {
		for _, problem := range job.CheckStaticTargets() {
			bad = append(bad, fmt.Errorf("%s: %w", cfg.Origins[i].Position(problem.Path), problem.Err))
		}
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// checkAlerting has the notifier prepare the section alerting, which reads the files with certificates and keys.
func checkAlerting(cfg *config.Config) error {
	manager, err := notify.New(notify.Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Signers: &signers{}})
	if err != nil {
		return err
	}
	change, err := manager.Prepare(&cfg.Alerting, cfg.Global.Labels(), make([]sdk.Notifier, len(cfg.Alerting.Receivers)))
	if err != nil {
		return cfg.Locate(strictyaml.At("alerting", err))
	}
	change.Discard()
	return nil
}

// checkSending has remote write prepare its section, which reads the files with certificates and keys.
func checkSending(cfg *config.Config) error {
	manager, err := send.New(send.Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Signers: &signers{}})
	if err != nil {
		return err
	}
	change, err := manager.Prepare(cfg.RemoteWrite, cfg.Global.Labels())
	if err != nil {
		return cfg.Locate(err)
	}
	change.Discard()
	return nil
}

// checkRemoteRead makes the clients of the section remote_read, which reads the files with certificates and keys.
func checkRemoteRead(cfg *config.Config) error {
	s, err := query.New(query.Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Signers: &signers{}})
	if err != nil {
		return err
	}
	change, err := s.Prepare(cfg.RemoteRead, cfg.Global.Labels())
	if err != nil {
		return cfg.Locate(err)
	}
	change.Discard()
	return nil
}

// checkCredentials looks for the files with passwords and tokens. A server starts without them, since they may come later,
// but whoever asks for a check wants to know.
func checkCredentials(cfg *config.Config) error {
	var missing config.Errors
	look := func(client *httpclient.Config, origin config.Origin, path string) {
		for _, f := range credentialFiles(client) {
			if _, err := os.Stat(f.name); err != nil {
				missing = append(missing, fmt.Errorf("%s: file with credentials: %w", origin.Position(strictyaml.Join(path, f.field)), err))
			}
		}
	}
	entry := func(text json.RawMessage, origin config.Origin, path string) {
		if client, err := clientIn(text, origin.Dir); err == nil { // Mistakes in it have been found before.
			look(&client, origin, path)
		}
	}
	for i, job := range cfg.ScrapeConfigs {
		look(&job.HTTPClient, cfg.Origins[i], "")
		for _, name := range slices.Sorted(maps.Keys(job.Credentials)) {
			look(&job.Credentials[name].HTTPClient, cfg.Origins[i], strictyaml.Join("credentials", name))
		}
		for _, d := range job.Discovery.Plugins {
			entry(d.JSON, cfg.Origins[i], d.Name())
		}
	}
	for i, am := range cfg.Alerting.Alertmanagers {
		origin := cfg.Origin(strictyaml.Index("alerting.alertmanagers", i))
		look(&am.HTTPClient, origin, "")
		for _, d := range am.Discovery.Plugins {
			entry(d.JSON, origin, d.Name())
		}
	}
	for i, rw := range cfg.RemoteWrite {
		look(&rw.HTTPClient, cfg.Origin(strictyaml.Index("remote_write", i)), "")
	}
	for i, r := range cfg.RemoteRead {
		look(&r.HTTPClient, cfg.Origin(strictyaml.Index("remote_read", i)), "")
	}
	for _, r := range cfg.Alerting.Receivers {
		entry(r.JSON, cfg.Origin("alerting"), strictyaml.Index(r.Key, r.Index))
	}
	if len(missing) > 0 {
		return missing
	}
	return nil
}

// credentialFile is a file with a credential, and the field of the HTTP client that names it.
type credentialFile struct{ field, name string }

func credentialFiles(client *httpclient.Config) []credentialFile {
	var files []credentialFile
	add := func(field, name string) {
		if name != "" {
			files = append(files, credentialFile{field, name})
		}
	}
	if a := client.Authorization; a != nil {
		add("authorization", a.CredentialsFile)
	}
	if b := client.BasicAuth; b != nil {
		add("basic_auth", b.UsernameFile)
		add("basic_auth", b.PasswordFile)
	}
	if o := client.OAuth2; o != nil {
		add("oauth2", o.ClientSecretFile)
	}
	return files
}

// clientIn returns the HTTP client's part of a plugin's section; files in it start at dir.
func clientIn(text json.RawMessage, dir string) (httpclient.Config, error) {
	var section map[string]json.RawMessage
	if err := json.Unmarshal(text, &section); err != nil {
		return httpclient.Config{}, err
	}
	fields, err := json.Marshal(httpclient.TakeJSON(section))
	if err != nil {
		return httpclient.Config{}, err
	}
	return clientOf(fields, dir)
}

// noLog is a log that a check of the configuration does not write.
type noLog struct{}

func (noLog) Write(p []byte) (int, error) { return len(p), nil }
func (noLog) Close() error                { return nil }
