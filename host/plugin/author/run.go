package author

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
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
	// Split takes what is for the HTTP client out of the section of a plugin with keys of its own, and makes that client: nil means
	// a plain one. [the plugin gets all of the section]
	Split func(section json.RawMessage) (rest json.RawMessage, client *http.Client, err error)
	// Interval is how often an exporter collects. [15 s]
	Interval time.Duration
	// Request is what a plugin that judges requests is asked about, and one that signs them signs. [one of an unknown sender
	// for /]
	Request sdk.AuthRequest
	// Body is what a parser reads, and ContentType the type of it. [nothing]
	Body        io.Reader
	ContentType string
	// Once ends after the first update or collection.
	Once bool
	// Logger gets the plugin's log lines. [they are discarded]
	Logger *slog.Logger
	// CacheDir and Worker are as in plugin.Options.
	CacheDir, Worker string
}

// Run runs the plugin in a file and writes what it finds to out: each update of a discovery as indented JSON, each
// collection of an exporter as it comes. It goes on until ctx is done, which is no error. A notifier is given an example to
// deliver, once, a parser the body, and what signs or judges requests one of these; that it refuses it is an error, and so is what
// the plugin says about its config.
func Run(ctx context.Context, path string, o RunOptions, out io.Writer) (err error) {
	in, err := Inspect(ctx, path, plugin.Options{CacheDir: o.CacheDir, Worker: o.Worker})
	if err != nil {
		return err
	}
	use := plugin.Use{
		Kind: in.Kinds[0], Config: o.Config, BaseDir: o.BaseDir, Position: cmp.Or(o.Position, path),
	}
	if use.Config, use.HTTPClient, err = split(o.Split, use.Kind, o.Config); err != nil {
		return fmt.Errorf("%s: %w", use.Position, err)
	}
	switch {
	case use.Kind == sdk.KindExporter || use.Kind == sdk.KindParser:
		use.Plugin = in.Name
	case len(in.Keys) == 0:
		return fmt.Errorf("%s is a %s that claims no key", path, use.Kind)
	default:
		use.Key = in.Keys[0]
	}
	c, err := plugin.New(plugin.Options{
		Files: []string{path}, CacheDir: o.CacheDir, Worker: o.Worker, Logger: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	ch, err := c.Prepare(ctx, plugin.Config{Settings: map[string]plugin.Settings{in.Name: o.Settings}}, []plugin.Use{use})
	if err != nil {
		return explained(ctx, err, o.Config)
	}
	ch.Apply()
	switch {
	case ch.Discovery(0) != nil:
		err = watch(ctx, ch.Discovery(0), o.Once, out)
	case ch.Notifier(0) != nil:
		err = deliver(ctx, ch.Notifier(0), out)
	case ch.Authenticator(0) != nil:
		err = judge(ctx, ch.Authenticator(0), o.Request, out)
	case ch.Signer(0) != nil:
		err = sign(ctx, ch.Signer(0), o.Request, out)
	case ch.Exporter(0) != nil:
		err = collect(ctx, ch.Exporter(0), o, out)
	case ch.Parser(0) != nil:
		err = parse(ctx, ch.Parser(0), o, out)
	default:
		_, err = fmt.Fprintf(out, "%s takes the config\n", in.Name)
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// split takes what is for the HTTP client out of a section. Those of exporters and parsers have nothing for it.
func split(by func(json.RawMessage) (json.RawMessage, *http.Client, error), kind sdk.Kind, section json.RawMessage) (json.RawMessage, *http.Client, error) {
	if by == nil || len(section) == 0 || kind == sdk.KindExporter || kind == sdk.KindParser {
		return section, nil, nil
	}
	return by(section)
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

// parse prints what a parser makes of the body.
func parse(ctx context.Context, p sdk.Parser, o RunOptions, out io.Writer) error {
	var body []byte
	if o.Body != nil {
		var err error
		if body, err = io.ReadAll(o.Body); err != nil {
			return fmt.Errorf("read the body: %w", err)
		}
	}
	return p.Parse(ctx, body, o.ContentType, out)
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

// example is a message about an alert that nobody has to worry about.
func example() ([]byte, error) {
	labels := map[string]string{"alertname": "Example", "severity": "none"}
	annotations := map[string]string{"summary": "This is an example, sent by narthex plugin run."}
	return json.MarshalIndent(sdk.Message{
		Version: "4", ID: "example", GroupKey: "{}", Status: sdk.StatusFiring, Receiver: "example", GroupLabels: map[string]string{},
		CommonLabels: labels, CommonAnnotations: annotations, ExternalURL: "http://localhost:9090",
		Alerts: []sdk.Alert{{
			Status: sdk.StatusFiring, Labels: labels, Annotations: annotations, StartsAt: time.Now().UTC(),
			GeneratorURL: "http://localhost:9090/graph", Fingerprint: "0000000000000000",
		}},
	}, "", "  ")
}

// deliver has a notifier tell about the example.
func deliver(ctx context.Context, n sdk.Notifier, out io.Writer) error {
	batch, err := example()
	if err != nil {
		return err
	}
	if err := n.Notify(ctx, batch); err != nil {
		return fmt.Errorf("deliver an example: %w", err)
	}
	_, err = fmt.Fprintf(out, "delivered:\n%s\n", batch)
	return err
}

// sign prints the fields that a request is signed with.
func sign(ctx context.Context, s sdk.Signer, r sdk.AuthRequest, out io.Writer) error {
	r.Method, r.BodySHA256 = cmp.Or(r.Method, http.MethodGet), emptySHA256
	if r.URL == "" || r.URL[0] == '/' {
		r.URL = "http://localhost:9090" + r.URL
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return fmt.Errorf("request to sign: %w", err)
	}
	r.Header = maps.Clone(r.Header)
	if r.Header == nil {
		r.Header = sdk.Header{}
	}
	r.Header.Set("Host", u.Host)
	header, err := s.Sign(ctx, r)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "signed: %s %s\n", r.Method, r.URL)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fmt.Fprintf(out, "%s: %s\n", name, value)
		}
	}
	return nil
}

// judge prints the verdict on a request. Requests that are not allowed are errors.
func judge(ctx context.Context, a sdk.Authenticator, r sdk.AuthRequest, out io.Writer) error {
	r.Method, r.URL = cmp.Or(r.Method, http.MethodGet), cmp.Or(r.URL, "/")
	id, err := a.Authenticate(ctx, r)
	challenge, unauthenticated := sdk.IsUnauthenticated(err)
	switch {
	case unauthenticated:
		return fmt.Errorf("status 401: %w (WWW-Authenticate: %s)", err, challenge)
	case sdk.IsForbidden(err):
		return fmt.Errorf("status 403: %w", err)
	case err != nil:
		return fmt.Errorf("status 503: %w", err)
	}
	_, err = fmt.Fprintf(out, "allowed: %s %s of user %q\n", r.Method, r.URL, id.User)
	return err
}
