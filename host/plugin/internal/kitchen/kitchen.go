// Package kitchen is a plugin that does every awkward thing on request, for the tests of the plugin runtime. Its config
// says what. Start with [Plugin]; folder cmd holds its main.
package kitchen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Config says what to do.
type Config struct {
	// Do is the name of a behaviour; see the switches of each kind.
	Do string `json:"do"`
	// Text, URL, Path, Name and Size are what it is done with.
	Text string `json:"text,omitempty"`
	URL  string `json:"url,omitempty"`
	Path string `json:"path,omitempty"`
	Name string `json:"name,omitempty"`
	Size int    `json:"size,omitempty"`
	// Target is what is connected to, unless Text is set.
	Target string `json:"target,omitempty"`
}

// Plugin returns the plugin.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "kitchen",
			Version: "1.2.3",
			// The first kind is what a session serves that wants none in particular.
			Kinds:        append([]sdk.Kind{sdk.KindExporter}, sdk.Kinds()...),
			Keys:         []string{"kitchen_sd_configs", "kitchen_notify_configs", "kitchen_auth"},
			ContentTypes: []string{"application/x-kitchen"},
			Asks: sdk.Asks{
				HTTP: []string{"url"}, Files: []string{"path"}, DNS: []string{"name"}, Dial: []string{"target"},
				Env: []string{"KITCHEN_OPEN", "KITCHEN_SHUT"},
			},
		},
		NewExporter: func(c sdk.Config, h sdk.Host) (sdk.Exporter, error) {
			config, err := parse(c)
			return &exporter{config: config, host: h}, err
		},
		NewDiscovery: func(c sdk.Config, h sdk.Host) (sdk.Discovery, error) {
			config, err := parse(c)
			return &discovery{config: config, host: h}, err
		},
		NewNotifier: func(c sdk.Config, _ sdk.Host) (sdk.Notifier, error) {
			config, err := parse(c)
			return &notifier{config: config}, err
		},
		NewParser: func(c sdk.Config, _ sdk.Host) (sdk.Parser, error) {
			config, err := parse(c)
			return &parser{exporter{config: config}}, err
		},
		NewSigner: func(c sdk.Config, _ sdk.Host) (sdk.Signer, error) {
			config, err := parse(c)
			return &signer{config: config}, err
		},
		NewAuthenticator: func(c sdk.Config, _ sdk.Host) (sdk.Authenticator, error) {
			config, err := parse(c)
			return &authenticator{config: config}, err
		},
	}
}

func parse(raw sdk.Config) (Config, error) {
	var c Config
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, err
	}
	switch c.Do {
	case "":
		return c, errors.New("field do: missing")
	case "slow-start":
		// Sleeping, because a wasm guest in which nothing can ever happen again is ended by its own runtime.
		time.Sleep(time.Hour)
	}
	return c, nil
}

type notifier struct{ config Config }

// Notify implements sdk.Notifier.
func (n *notifier) Notify(ctx context.Context, b sdk.Batch) error {
	switch n.config.Do {
	case "match": // Text is the id of the batch.
		m, err := b.Message()
		if err == nil && m.ID != n.config.Text {
			err = sdk.Rejected(errors.New("this is batch " + m.ID))
		}
		return err
	case "fail":
		return errors.New(n.config.Text)
	case "reject":
		return fmt.Errorf("wrapped: %w", sdk.Rejected(errors.New(n.config.Text)))
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	case "loop":
		loop()
	}
	return nil
}

// loop computes forever.
func loop() {
	var n atomic.Int32
	for i := 0; ; i++ {
		n.Store(int32(i & 1))
	}
}

type exporter struct {
	config  Config
	host    sdk.Host
	running atomic.Int32
	sink    [][]byte
}

// Collect implements sdk.Exporter.
func (e *exporter) Collect(ctx context.Context, w io.Writer) error {
	switch e.config.Do {
	case "echo":
		_, err := io.WriteString(w, e.config.Text)
		return err
	case "fail":
		return errors.New(e.config.Text)
	case "together":
		return e.together(ctx, w)
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	case "ignore-cancel":
		// Sleeping, because a wasm guest in which nothing can ever happen again is ended by its own runtime.
		time.Sleep(time.Hour)
	case "loop":
		loop()
	case "panic":
		panic("boom")
	case "exit":
		os.Exit(7)
	case "oom":
		for {
			e.sink = append(e.sink, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "giant":
		_, err := w.Write(make([]byte, e.config.Size))
		return err
	case "log":
		e.host.Log.Warn("hello host", "path", "a b", "n", 3)
		return nil
	case "log-flood":
		for range e.config.Size {
			fmt.Fprintln(os.Stderr, strings.Repeat("x", 100))
		}
		return nil
	case "env":
		for _, name := range []string{"KITCHEN_OPEN", "KITCHEN_SHUT", "PATH", "KITCHEN_UNASKED"} {
			if _, err := fmt.Fprintf(w, "%s=%q\n", name, e.host.Getenv(name)); err != nil {
				return err
			}
		}
		return nil
	case "dns":
		records, err := e.host.DNS.Lookup(ctx, sdk.DNSType(e.config.Text), e.config.Name)
		_, _ = fmt.Fprintln(w, records)
		if _, refused := e.host.DNS.Lookup(ctx, sdk.DNSTypeA, "other.invalid"); refused == nil {
			return errors.New("a name that the config does not hold was looked up")
		}
		return err
	case "environment":
		name, _ := os.Hostname()
		_, err := fmt.Fprintf(w, "env=%d args=%v host=%q recent=%t\n", len(os.Environ()), os.Args[1:], name,
			time.Since(time.Unix(0, 0)) > 50*365*24*time.Hour)
		return err
	case "open":
		_, err := os.ReadFile(e.config.Text)
		return err
	case "goroutines":
		runtime.GC()
		_, err := fmt.Fprintf(w, "goroutines %d\n", runtime.NumGoroutine())
		return err
	default:
		return e.ask(ctx, w)
	}
	return nil
}

// together returns when as many calls run at once as Size says.
func (e *exporter) together(ctx context.Context, w io.Writer) error {
	e.running.Add(1)
	for int(e.running.Load()) < e.config.Size {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_, err := io.WriteString(w, "all here\n")
	return err
}

// ask does what needs the host.
func (e *exporter) ask(ctx context.Context, w io.Writer) error {
	switch e.config.Do {
	case "get":
		return get(ctx, e.host.HTTP, sdk.Request{Method: "GET", URL: e.config.Text + e.config.URL}, w)
	case "get-first":
		resp, err := e.host.HTTP.Do(ctx, sdk.Request{Method: "GET", URL: e.config.URL})
		if err != nil {
			return err
		}
		b := make([]byte, e.config.Size)
		if _, err := io.ReadFull(resp.Body, b); err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "read %d\n", len(b))
		return errors.Join(err, resp.Body.Close())
	case "post":
		return get(ctx, e.host.HTTP, sdk.Request{
			Method: "POST", URL: e.config.URL, Body: []byte(e.config.Text), Header: map[string][]string{"X-A": {"1", "2"}},
		}, w)
	case "dial", "dial-first", "dial-hold":
		return e.dial(ctx, w)
	case "read":
		b, err := e.host.Files.ReadFile(e.path())
		_, _ = w.Write(b)
		return err
	case "glob":
		names, err := e.host.Files.Glob(e.path())
		_, _ = io.WriteString(w, strings.Join(names, "\n")+"\n")
		return err
	case "stat":
		info, err := e.host.Files.Stat(e.path())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s %d %v %d\n", info.Name(), info.Size(), info.Mode(), info.ModTime().Unix())
		return err
	}
	return fmt.Errorf("unknown behaviour %q", e.config.Do)
}

// dial connects to Target, or what Text has after a space, and says there what Text has before it.
func (e *exporter) dial(ctx context.Context, w io.Writer) error {
	text, target, ok := strings.Cut(e.config.Text, " ")
	if !ok {
		target = e.config.Target
	}
	c, err := e.host.Dial(ctx, target)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	switch e.config.Do {
	case "dial": // everything there and back
		_, err := io.WriteString(c, strings.Repeat(text, max(e.config.Size, 1)))
		if err = errors.Join(err, c.CloseWrite()); err != nil {
			return err
		}
		_, err = io.Copy(w, c)
		return err
	case "dial-first": // the first bytes of what comes
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		n, err := io.CopyN(io.Discard, c, int64(e.config.Size))
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		_, err = fmt.Fprintf(w, "read %d\n", n)
		return err
	default: // nothing comes, until the deadline; afterwards the connection still works
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		_, _ = fmt.Fprintln(w, errors.Is(err, os.ErrDeadlineExceeded))
		if err := errors.Join(c.SetReadDeadline(time.Time{}), c.CloseWrite()); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		_, _ = fmt.Fprintln(w, err)
		return nil
	}
}

// path is Text when set, so that a test can ask for something else than what is granted through Path.
func (e *exporter) path() string {
	if e.config.Text != "" {
		return e.config.Text
	}
	return e.config.Path
}

func get(ctx context.Context, c sdk.HTTPClient, r sdk.Request, w io.Writer) error {
	resp, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\nstatus %d length %d type %s\n", resp.Status, n, resp.Header["Content-Type"])
	return errors.Join(err, resp.Body.Close())
}

type discovery struct {
	config Config
	host   sdk.Host
}

// Run implements sdk.Discovery.
func (d *discovery) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	switch d.config.Do {
	case "once":
		if err := send(ctx, updates, d.config.Text); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	case "giant":
		return send(ctx, updates, strings.Repeat("x", d.config.Size))
	case "flood":
		for i := 0; ; i++ {
			if err := send(ctx, updates, fmt.Sprint(i)); err != nil {
				return err
			}
		}
	case "watch":
		return d.watch(ctx, updates)
	case "ignore-cancel":
		// Sleeping, because a wasm guest in which nothing can ever happen again is ended by its own runtime.
		time.Sleep(time.Hour)
	}
	return fmt.Errorf("cannot discover: %s", d.config.Text)
}

// watch sends the content of the file at Path, at first and after each change.
func (d *discovery) watch(ctx context.Context, updates chan<- []sdk.Group) error {
	changes := d.host.Files.Changes(ctx)
	last := "-"
	for {
		b, err := d.host.Files.ReadFile(d.config.Path)
		if err != nil {
			b = []byte("absent")
		}
		if string(b) != last {
			last = string(b)
			if err := send(ctx, updates, last); err != nil {
				return err
			}
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func send(ctx context.Context, updates chan<- []sdk.Group, target string) error {
	groups := []sdk.Group{{
		Source: "kitchen", Targets: []string{target}, Labels: map[string]string{"quote": "\"\\\n\x01é\xff"},
	}}
	select {
	case updates <- groups:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
