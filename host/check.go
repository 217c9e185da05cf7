package host

import (
	"context"
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
	httpconfig "github.com/prometheus/common/config"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/host/plugin"
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
	// Query says which features the expressions of rules may use.
	Query promql.Options
	// IgnoreUnknownFields accepts fields of rule files that mean nothing.
	IgnoreUnknownFields bool
}

// Checked is what a good configuration consists of.
type Checked struct {
	// Jobs is the number of scrape configs.
	Jobs      int
	RuleFiles []*rules.File
	// Intervals are the scrape intervals of the jobs by their names.
	Intervals map[string]time.Duration
}

// CheckConfig loads a configuration and its rule files as a server would, starts the plugins that it uses to have them
// check their sections, and throws everything away.
func CheckConfig(ctx context.Context, file string, opts CheckOptions) (checked Checked, err error) {
	cfg, err := config.Load(file, opts.Getenv)
	if err != nil {
		return checked, err
	}
	needs, err := needsOf(cfg, "")
	if err != nil {
		return checked, err
	}
	catalogue, err := plugin.New(plugin.Options{
		Directories: opts.PluginDirectories,
		CacheDir:    opts.PluginCache,
		Worker:      opts.PluginWorker,
		OnlyUsed:    true,
		Logger:      slog.New(slog.DiscardHandler),
		Registerer:  prometheus.NewRegistry(),
	})
	if err != nil {
		return checked, err
	}
	defer func() { err = errors.Join(err, catalogue.Close()) }()
	change, err := catalogue.Prepare(ctx, cfg.Plugins, needs.uses)
	if err != nil {
		return checked, err
	}
	change.Discard()
	files, err := checkRules(cfg, opts)
	if err := errors.Join(checkJobs(cfg), checkAlerting(ctx, cfg), checkCredentials(cfg), err); err != nil {
		return checked, err
	}
	checked = Checked{Jobs: len(cfg.ScrapeConfigs), RuleFiles: files, Intervals: map[string]time.Duration{}}
	for _, job := range cfg.ScrapeConfigs {
		checked.Intervals[job.JobName] = time.Duration(job.ScrapeInterval)
	}
	return checked, nil
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
func checkJobs(cfg *config.Config) error {
	manager, err := scrape.New(scrape.Options{
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Storage: &gate{}, Exporters: &exporters{},
		OpenLog: func(string) (io.WriteCloser, error) { return noLog{}, nil },
	})
	if err != nil {
		return err
	}
	change, err := manager.Prepare(cfg.ScrapeConfigs, cfg.Global.Labels())
	if err != nil {
		return positioned(cfg, err)
	}
	change.Discard()
	return nil
}

// checkAlerting has the notifier prepare the section alerting, which reads the files with certificates and keys.
func checkAlerting(ctx context.Context, cfg *config.Config) error {
	manager, err := notify.New(notify.Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	change, err := manager.Prepare(ctx, &cfg.Alerting, cfg.Global.Labels(), make([]sdk.Notifier, len(cfg.Alerting.Receivers)))
	if err != nil {
		return cfg.Locate(strictyaml.At("alerting", err))
	}
	change.Discard()
	return nil
}

// checkCredentials looks for the files with tokens. A server starts without them, since they may come later, but whoever
// asks for a check wants to know.
func checkCredentials(cfg *config.Config) error {
	var missing config.Errors
	look := func(client *httpconfig.HTTPClientConfig, origin config.Origin, path string) {
		if client.Authorization == nil || client.Authorization.CredentialsFile == "" {
			return
		}
		if _, err := os.Stat(client.Authorization.CredentialsFile); err != nil {
			missing = append(missing, fmt.Errorf("%s: file with credentials: %w", origin.Position(strictyaml.Join(path, "authorization")), err))
		}
	}
	for i, job := range cfg.ScrapeConfigs {
		look(&job.HTTPClient, cfg.Origins[i], "")
		for _, name := range slices.Sorted(maps.Keys(job.Credentials)) {
			look(&job.Credentials[name].HTTPClient, cfg.Origins[i], strictyaml.Join("credentials", name))
		}
	}
	for i, am := range cfg.Alerting.Alertmanagers {
		look(&am.HTTPClient, cfg.Origin(strictyaml.Index("alerting.alertmanagers", i)), "")
	}
	if len(missing) > 0 {
		return missing
	}
	return nil
}

// noLog is a log that a check of the configuration does not write.
type noLog struct{}

func (noLog) Write(p []byte) (int, error) { return len(p), nil }
func (noLog) Close() error                { return nil }
