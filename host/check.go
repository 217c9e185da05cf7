package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	httpconfig "github.com/prometheus/common/config"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/sdk"
)

// CheckOptions say with what a configuration is checked.
type CheckOptions struct {
	Getenv            func(string) string
	PluginDirectories []string
	PluginCache       string
	PluginWorker      string
}

// CheckConfig loads a configuration as a server would, starts the plugins that it uses to have them check their
// sections, and throws everything away. It returns the number of jobs.
func CheckConfig(ctx context.Context, file string, opts CheckOptions) (jobs int, err error) {
	cfg, err := config.Load(file, opts.Getenv)
	if err != nil {
		return 0, err
	}
	needs, err := needsOf(cfg, "")
	if err != nil {
		return 0, err
	}
	catalogue, err := plugin.New(plugin.Options{
		Directories: opts.PluginDirectories,
		CacheDir:    opts.PluginCache,
		Worker:      opts.PluginWorker,
		Logger:      slog.New(slog.DiscardHandler),
		Registerer:  prometheus.NewRegistry(),
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, catalogue.Close()) }()
	change, err := catalogue.Prepare(ctx, cfg.Plugins, needs.uses)
	if err != nil {
		return 0, err
	}
	change.Discard()
	if err := errors.Join(checkJobs(cfg), checkAlerting(cfg), checkCredentials(cfg)); err != nil {
		return 0, err
	}
	return len(cfg.ScrapeConfigs), nil
}

// checkJobs has the scrape manager prepare the jobs, which reads the files with certificates and keys.
func checkJobs(cfg *config.Config) error {
	manager, err := scrape.New(scrape.Options{
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Storage: &gate{}, Exporters: &exporters{},
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
func checkAlerting(cfg *config.Config) error {
	manager, err := notify.New(notify.Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
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

// checkCredentials looks for the files with tokens. A server starts without them, since they may come later, but whoever
// asks for a check wants to know.
func checkCredentials(cfg *config.Config) error {
	var missing config.Errors
	look := func(client *httpconfig.HTTPClientConfig, origin config.Origin) {
		if client.Authorization == nil || client.Authorization.CredentialsFile == "" {
			return
		}
		if _, err := os.Stat(client.Authorization.CredentialsFile); err != nil {
			missing = append(missing, fmt.Errorf("%s: file with credentials: %w", origin.Position("authorization"), err))
		}
	}
	for i, job := range cfg.ScrapeConfigs {
		look(&job.HTTPClient, cfg.Origins[i])
	}
	for i, am := range cfg.Alerting.Alertmanagers {
		look(&am.HTTPClient, cfg.Origin(strictyaml.Index("alerting.alertmanagers", i)))
	}
	if len(missing) > 0 {
		return missing
	}
	return nil
}
