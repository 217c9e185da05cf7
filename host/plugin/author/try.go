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
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

// TryOptions say with what a plugin is tried out, by [Test] and [Bench]. The zero value of each field means what its comment says in
// brackets.
type TryOptions struct {
	// Kind is what the plugin is tried as. [the manifest's first]
	Kind sdk.Kind
	// Config is a section that the plugin takes, as JSON. [{}]
	Config json.RawMessage
	// Bad are sections that it has to refuse. [Config with a field that nobody knows]
	Bad []json.RawMessage
	// Bodies are for a parser.
	Bodies []sdktest.Body
	// Allowed are requests that a signer signs and an authenticator allows.
	Allowed []sdk.AuthRequest
	// Places are where a wasm plugin runs. [inline and, with a Worker, worker]
	Places []plugin.Isolation
	// Patience is how long anything may take. [10 s]
	Patience time.Duration
	// Duration is for how long calls are measured, in each place. [1 s]
	Duration time.Duration
	// Deliver measures a notifier's calls, which deliver an example again and again. [it is started only]
	Deliver bool
	// BaseDir is where relative paths in Config start. [the working directory]
	BaseDir string
	// Settings are limits and grants, as in the config file.
	Settings plugin.Settings
	// Split takes what is for the HTTP client out of the section of a plugin with keys of its own, and makes that client: nil means
	// a plain one. [the plugin gets all of the section]
	Split func(section json.RawMessage) (rest json.RawMessage, client *http.Client, err error)
	// Logger gets the plugin's log lines. [they are discarded]
	Logger *slog.Logger
	// CacheDir and Worker are as in plugin.Options.
	CacheDir, Worker string

	client *http.Client // what Split made
}

// place is where guests of a file run: an isolation, or empty for an executable.
type place struct{ isolation plugin.Isolation }

func (p place) String() string {
	return cmp.Or(string(p.isolation), string(plugin.TransportProcess))
}

// places returns where the file runs.
func (o TryOptions) places(in Inspection) []place {
	switch {
	case in.Transport == plugin.TransportProcess:
		return []place{{}}
	case len(o.Places) == 0 && o.Worker != "":
		return []place{{plugin.IsolationInline}, {plugin.IsolationWorker}}
	case len(o.Places) == 0:
		return []place{{plugin.IsolationInline}}
	}
	var all []place
	for _, i := range o.Places {
		all = append(all, place{i})
	}
	return all
}

// kind returns what the plugin is tried as.
func (o TryOptions) kind(in Inspection) (sdk.Kind, error) {
	if o.Kind == "" {
		return in.Kinds[0], nil
	}
	if !slices.Contains(in.Kinds, o.Kind) {
		return "", fmt.Errorf("%s is no plugin of kind %s, but of %v", in.Path, o.Kind, in.Kinds)
	}
	return o.Kind, nil
}

func (o TryOptions) catalogue(cacheDir string) (*plugin.Catalogue, error) {
	return plugin.New(plugin.Options{
		CacheDir: cacheDir, Worker: o.Worker, Logger: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
	})
}

// open starts a guest in a place.
func (o TryOptions) open(ctx context.Context, c *plugin.Catalogue, path string, p place, kind sdk.Kind, config json.RawMessage) (*plugin.Guest, error) {
	s := o.Settings
	s.Isolation = p.isolation
	return c.Open(ctx, path, s, plugin.Use{Kind: kind, Config: config, BaseDir: o.BaseDir, HTTPClient: o.client})
}

// unknownField is what no plugin's config has.
const unknownField = "narthex_no_such_field"

// bad returns what the plugin has to refuse.
func (o TryOptions) bad() []sdk.Config {
	if len(o.Bad) > 0 {
		return o.Bad
	}
	section := map[string]json.RawMessage{}
	if err := json.Unmarshal(o.config(), &section); err != nil {
		return nil // The good config is no mapping: there is nothing to add to.
	}
	section[unknownField] = json.RawMessage("1")
	text, err := json.Marshal(section)
	if err != nil {
		return nil
	}
	return []sdk.Config{text}
}

// explained adds to the error of a start that no config was given, if that is so and ctx did not end the start.
func explained(ctx context.Context, err error, config json.RawMessage) error {
	if err == nil || len(config) > 0 || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w; no config was given: name a file with one that the plugin takes, with --config", err)
}

// starts tells whether a guest starts in a place. What does not start needs no kit to say so part by part.
func (o TryOptions) starts(ctx context.Context, c *plugin.Catalogue, path string, p place, kind sdk.Kind) error {
	g, err := o.open(ctx, c, path, p, kind, o.config())
	if err != nil {
		return err
	}
	return g.Close(ctx)
}

func (o TryOptions) config() json.RawMessage {
	if len(o.Config) == 0 {
		return json.RawMessage("{}")
	}
	return o.Config
}

// emptySHA256 is the digest of a body that is not there.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// requests returns what is allowed: for a signer with whole URLs, as it gets them.
func (o TryOptions) requests(kind sdk.Kind) []sdk.AuthRequest {
	all := slices.Clone(o.Allowed)
	for i, r := range all {
		if kind == sdk.KindAuthOutbound && strings.HasPrefix(r.URL, "/") && len(r.Header["Host"]) > 0 {
			all[i].URL = "http://" + r.Header["Host"][0] + r.URL
			all[i].BodySHA256 = cmp.Or(r.BodySHA256, emptySHA256)
		}
	}
	return all
}

// ErrFailed means that a plugin does not do what a host relies on; the report says what.
var ErrFailed = errors.New("the plugin does not pass")

// Test tries the plugin in a file in each place that it can run in, with the conformance kit of package sdktest, and writes a
// report to out. A plugin that does not pass is an [ErrFailed].
func Test(ctx context.Context, path string, o TryOptions, out io.Writer) (err error) {
	in, err := Inspect(ctx, path, plugin.Options{CacheDir: o.CacheDir, Worker: o.Worker})
	if err != nil {
		return err
	}
	kind, err := o.kind(in)
	if err != nil {
		return err
	}
	if o.Config, o.client, err = split(o.Split, kind, o.Config); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	c, err := o.catalogue(o.CacheDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	places := o.places(in)
	if len(o.Config) == 0 {
		if err := o.starts(ctx, c, path, places[0], kind); err != nil {
			return fmt.Errorf("%s: %w", path, explained(ctx, err, o.Config))
		}
	}
	fmt.Fprintln(out, title(in, kind))
	var failed []string
	for _, p := range places {
		fmt.Fprintf(out, "\n%s\n", p)
		kit := sdktest.Case{
			Kind: kind, Good: o.config(), Bad: o.bad(), Bodies: o.Bodies, Requests: o.requests(kind), Patience: o.Patience,
			Open: func(ctx context.Context, kind sdk.Kind, config sdk.Config) (sdktest.Guest, error) {
				g, err := o.open(ctx, c, path, p, kind, config)
				if err != nil {
					return nil, err // not g, which would make an interface that is not nil
				}
				return g, nil
			},
		}
		if !sdktest.Check(ctx, kit, func(r sdktest.Result) { report(out, r) }) {
			failed = append(failed, p.String())
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%w: %s, %s", ErrFailed, in.Name, strings.Join(failed, ", "))
	}
	_, err = fmt.Fprintf(out, "\n%s passes\n", in.Name)
	return err
}

func title(in Inspection, kind sdk.Kind) string {
	return fmt.Sprintf("%s: %s, %s, %.1f MB", in.Path, strings.TrimSpace(in.Name+" "+in.Version), kind, float64(in.SizeBytes)/1e6)
}

// report writes one line for a part, and more for what is wrong with it.
func report(out io.Writer, r sdktest.Result) {
	verdict := "ok"
	if len(r.Problems) > 0 {
		verdict = "FAIL"
	}
	fmt.Fprintf(out, "  %-5s %-15s %8s\n", verdict, r.Name, rounded(r.Took))
	for _, problem := range r.Problems {
		for line := range strings.Lines(problem) {
			fmt.Fprintf(out, "        %s\n", strings.TrimRight(line, "\n"))
		}
	}
}

// rounded formats a duration with two or three digits that say something.
func rounded(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
