package author

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/sdk"
)

// RunOptions say how a plugin is run. The zero value of each field means what its comment says in brackets.
type RunOptions struct {
	// Config is the plugin's section as JSON. [{}]
	Config json.RawMessage
	// Position is where Config was written, for errors. [the plugin's file]
	Position string
	// BaseDir is where relative paths in Config start. [the working directory]
	BaseDir string
	// Settings are limits and grants, as in the config file.
	Settings plugin.Settings
	// HTTPClient sends the plugin's requests. [a plain client]
	HTTPClient *http.Client
	// Interval is how often an exporter collects. [15 s]
	Interval time.Duration
	// Once ends after the first update or collection.
	Once bool
	// Logger gets the plugin's log lines. [they are discarded]
	Logger *slog.Logger
	// CacheDir is as in plugin.Options.
	CacheDir string
}

// Run runs the plugin in a file and writes what it finds to out: each update of a discovery as indented JSON, each
// collection of an exporter as it comes. It goes on until ctx is done, which is no error. What the plugin says about
// its config is.
func Run(ctx context.Context, path string, o RunOptions, out io.Writer) (err error) {
	in, err := Inspect(ctx, path, o.CacheDir)
	if err != nil {
		return err
	}
	use := plugin.Use{Config: o.Config, BaseDir: o.BaseDir, HTTPClient: o.HTTPClient, Position: cmp.Or(o.Position, path)}
	isDiscovery := slices.Contains(in.Kinds, sdk.KindDiscovery)
	if isDiscovery {
		if len(in.Keys) == 0 {
			return fmt.Errorf("%s is a discovery that claims no key", path)
		}
		use.Key = in.Keys[0]
	} else {
		use.Plugin = in.Name
	}
	c, err := plugin.New(plugin.Options{
		Files: []string{path}, CacheDir: o.CacheDir, Logger: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	ch, err := c.Prepare(ctx, plugin.Config{Settings: map[string]plugin.Settings{in.Name: o.Settings}}, []plugin.Use{use})
	if err != nil {
		return err
	}
	ch.Apply()
	if isDiscovery {
		err = watch(ctx, ch.Discovery(0), o.Once, out)
	} else {
		err = collect(ctx, ch.Exporter(0), o, out)
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// watch prints updates.
func watch(ctx context.Context, d sdk.Discovery, once bool, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	updates := make(chan []sdk.Group)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, updates) }()
	for {
		select {
		case err := <-ended:
			cancel()
			return err
		case groups := <-updates:
			if groups == nil {
				groups = []sdk.Group{}
			}
			text, err := json.MarshalIndent(groups, "", "  ")
			if err == nil {
				_, err = fmt.Fprintf(out, "%s\n", text)
			}
			if err != nil || once {
				cancel()
				<-ended //nolint:errcheck // Run says no more than that it was stopped.
				return err
			}
		}
	}
}

// collect prints collections. One that fails ends it, so that its reason is seen.
func collect(ctx context.Context, e sdk.Exporter, o RunOptions, out io.Writer) error {
	ticker := time.NewTicker(cmp.Or(o.Interval, 15*time.Second))
	defer ticker.Stop()
	for {
		if err := e.Collect(ctx, out); err != nil || o.Once {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
