package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"mime"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/author"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

// tryFlags say with what a plugin is tried out.
type tryFlags struct {
	kind, config, contentType string
	request                   string
	bad, bodies, places       []string
	fields                    []string
	patience, duration        time.Duration
	deliver                   bool
}

func (f *tryFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.kind, "kind", "", "what to try the plugin as; default: the first kind of its manifest")
	fs.StringVar(&f.config, "config", "", "file with a section that the plugin takes, in YAML or JSON; default: an empty one")
	fs.StringArrayVar(&f.bodies, "body", nil, "file with a body for a parser; repeatable")
	fs.StringVar(&f.contentType, "content-type", "", "content type of the bodies; default: by the file's extension")
	fs.StringVar(&f.request, "request", "", "method and path of a request to sign, or that has to be allowed, such as GET /metrics")
	fs.StringArrayVar(&f.fields, "header", nil, "field of that request's header, as NAME: VALUE; repeatable")
	fs.StringArrayVar(&f.places, "place", nil, "where to run a wasm plugin: inline or worker; repeatable; default: both")
	fs.DurationVar(&f.patience, "patience", 10*time.Second, "how long anything may take")
}

// read returns what the flags and the files that they name say.
func (f *tryFlags) read(io streams, cache string) (author.TryOptions, error) {
	o := author.TryOptions{
		Kind: sdk.Kind(f.kind), Patience: f.patience, Duration: f.duration, Deliver: f.deliver, CacheDir: cache, Worker: ownBinary(),
		Logger: slog.New(slog.NewTextHandler(io.err, nil)),
	}
	var err error
	if f.config != "" {
		if o.Config, err = sectionFrom(f.config); err != nil {
			return o, err
		}
		o.BaseDir, o.Split = filepath.Dir(f.config), splitter(f.config)
	}
	for _, file := range f.bad {
		section, err := sectionFrom(file)
		if err != nil {
			return o, err
		}
		o.Bad = append(o.Bad, section)
	}
	for _, file := range f.bodies {
		text, err := os.ReadFile(file)
		if err != nil {
			return o, err
		}
		o.Bodies = append(o.Bodies, sdktest.Body{ContentType: bodyType(f.contentType, file), Text: string(text)})
	}
	if f.request != "" || len(f.fields) > 0 {
		r, err := requestFrom(cmp.Or(f.request, "GET /"), f.fields)
		if err != nil {
			return o, err
		}
		o.Allowed = []sdk.AuthRequest{r}
	}
	for _, p := range f.places {
		if p != string(plugin.IsolationInline) && p != string(plugin.IsolationWorker) {
			return o, &usageError{fmt.Errorf("--place: %q is neither inline nor worker", p)}
		}
		o.Places = append(o.Places, plugin.Isolation(p))
	}
	return o, nil
}

// bodyType returns the content type of a file.
func bodyType(given, file string) string {
	if given != "" {
		return given
	}
	return mime.TypeByExtension(filepath.Ext(file))
}

func pluginTestCommand(io streams, cache *string) *cobra.Command {
	var flags tryFlags
	c := &cobra.Command{
		Use:   "test FILE...",
		Short: "Try whether plugins do what a server relies on, in each place that they can run in",
		Long: "Runs the conformance kit of the plugin's kind against the built file, as a server would run it: a wasm plugin in the\n" +
			"server's process and in a worker, an executable as a process. --config is one that the plugin takes; --bad are some\n" +
			"that it has to refuse, by default the good one with a field that nobody knows. A notifier delivers examples.",
		Args: someArgs,
		RunE: func(cmd *cobra.Command, files []string) error {
			o, err := flags.read(io, *cache)
			if err != nil {
				return err
			}
			for i, file := range files {
				if i > 0 {
					fmt.Fprintln(io.out)
				}
				if err := author.Test(cmd.Context(), file, o, io.out); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags.add(c.Flags())
	c.Flags().StringArrayVar(&flags.bad, "bad", nil, "file with a section that the plugin has to refuse; repeatable")
	return c
}

func pluginBenchCommand(io streams, cache *string) *cobra.Command {
	var flags tryFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "bench FILE...",
		Short: "Measure plugins in each place that they can run in: starts, calls, throughput, memory",
		Long: "Measures wall-clock times: starts with and without cached code, one call after the other for --duration, and memory.\n" +
			"A parser needs a --body, an inbound auth plugin a --request that it allows; a notifier is started only, unless --deliver says otherwise.",
		Args: someArgs,
		RunE: func(cmd *cobra.Command, files []string) error {
			o, err := flags.read(io, *cache)
			if err != nil {
				return err
			}
			all := []author.Measured{}
			for i, file := range files {
				measured, err := author.Bench(cmd.Context(), file, o)
				if err != nil {
					return err
				}
				all = append(all, measured...)
				if asJSON {
					continue
				}
				if i > 0 {
					fmt.Fprintln(io.out)
				}
				fmt.Fprintln(io.out, file)
				if err := author.WriteBench(io.out, measured); err != nil {
					return err
				}
			}
			if asJSON {
				return writeJSON(io, all)
			}
			return nil
		},
	}
	flags.add(c.Flags())
	c.Flags().BoolVar(&flags.deliver, "deliver", false, "have a notifier deliver an example, again and again")
	c.Flags().DurationVar(&flags.duration, "duration", time.Second, "for how long to make calls, in each place")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}
