// Package sdktest is the conformance kit for a plugin: what a host relies on, tried on any plugin, in this process, in
// the sandbox or as a process of its own.
//
// Start with [Run]. A plugin author's test is
//
//	sdktest.Run(t, sdktest.Case{
//		Open: sdktest.InProcess(acme.Plugin(), sdktest.NewHost(t).SDK()),
//		Kind: sdk.KindDiscovery,
//		Good: sdk.Config(`{"server": "http://localhost:1"}`),
//		Bad:  []sdk.Config{sdk.Config(`{"sever": "x"}`)},
//	})
//
// [Check] tries the same without a test, for a tool that has a plugin's file alone.
//
// The kit says nothing about what a plugin finds or measures.
package sdktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Guest is an open plugin as its host sees it. A session of the host is one.
type Guest interface {
	Manifest() sdk.Manifest
	// Discovery and those below are nil unless that is the kind which was opened.
	Discovery() sdk.Discovery
	Exporter() sdk.Exporter
	Parser() sdk.Parser
	Notifier() sdk.Notifier
	Signer() sdk.Signer
	Authenticator() sdk.Authenticator
	// Close stops the plugin.
	Close(ctx context.Context) error
}

// Opener opens a plugin as a kind with a config. A refused config is an error.
type Opener func(ctx context.Context, kind sdk.Kind, config sdk.Config) (Guest, error)

// Case is what [Run] tries.
type Case struct {
	Open Opener
	Kind sdk.Kind
	// Good is a config that the plugin takes, and with which its first update comes, its collection succeeds, a batch
	// is delivered, or what is below is answered, within Patience.
	Good sdk.Config
	// Bad are configs that it refuses.
	Bad []sdk.Config
	// Bodies are what a parser turns into metrics with the good config, at least one sample each.
	Bodies []Body
	// Requests are what a signer signs, and what an authenticator allows, with the good config.
	Requests []sdk.AuthRequest
	// Refused are requests that an authenticator refuses with the good config.
	Refused []sdk.AuthRequest
	// Patience is how long anything may take. 0 means 10 s.
	Patience time.Duration
}

// Run tries everything that a host relies on.
func Run(t *testing.T, c Case) {
	t.Helper()
	steps, err := c.steps()
	if err != nil {
		t.Error(err)
		return
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) { s.run(c.patient(), t) })
	}
}

// step is one part of the kit.
type step struct {
	name string
	run  func(Case, T)
}

// steps returns what is tried for the case's kind, in order.
func (c Case) steps() ([]step, error) {
	ofKind, ok := map[sdk.Kind]step{
		sdk.KindDiscovery:    {"discovery", Case.discovery},
		sdk.KindExporter:     {"exporter", Case.exporter},
		sdk.KindParser:       {"parser", Case.parser},
		sdk.KindNotify:       {"notifier", Case.notifier},
		sdk.KindAuthOutbound: {"signer", Case.signer},
		sdk.KindAuthInbound:  {"authenticator", Case.authenticator},
	}[c.Kind]
	if !ok {
		return nil, fmt.Errorf("unknown kind %q", c.Kind)
	}
	return []step{{"manifest", Case.manifest}, {"bad-config", Case.badConfig}, ofKind, {"close", Case.close}}, nil
}

// patient returns c with all defaults.
func (c Case) patient() Case {
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	return c
}

func (c Case) open(t T) Guest {
	t.Helper()
	g, err := c.Open(t.Context(), c.Kind, c.Good)
	if err != nil {
		t.Fatalf("the good config is refused: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), c.Patience)
		defer cancel()
		if err := g.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return g
}

func (c Case) manifest(t T) {
	m := c.open(t).Manifest()
	if err := CheckManifest(m); err != nil {
		t.Error(err)
	}
	if !slices.Contains(m.Kinds, c.Kind) {
		t.Errorf("the manifest's kinds %v lack %s", m.Kinds, c.Kind)
	}
}

// CheckManifest returns what is wrong with m.
func CheckManifest(m sdk.Manifest) error {
	var errs []error
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`).MatchString(m.Name) {
		errs = append(errs, fmt.Errorf("name %q: want lower-case letters, digits, dots, dashes", m.Name))
	}
	if len(m.Kinds) == 0 {
		errs = append(errs, errors.New("kinds: there are none"))
	}
	for _, k := range m.Kinds {
		if !slices.Contains(sdk.Kinds(), k) {
			errs = append(errs, fmt.Errorf("kinds: %q is unknown", k))
		}
	}
	for _, k := range m.Keys {
		if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(k) {
			errs = append(errs, fmt.Errorf("keys: %q is no config key", k))
		}
	}
	for _, t := range m.ContentTypes {
		if !regexp.MustCompile("^[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+$").MatchString(t) {
			errs = append(errs, fmt.Errorf("content_types: %q is no media type in lower case without parameters", t))
		}
	}
	for _, path := range slices.Concat(m.Asks.HTTP, m.Asks.Files, m.Asks.DNS) {
		if !regexp.MustCompile(`^[a-z0-9_]+(\[\*\])?(\.[a-z0-9_]+(\[\*\])?)*$`).MatchString(path) {
			errs = append(errs, fmt.Errorf("asks: %q is no path to a config field", path))
		}
	}
	return errors.Join(errs...)
}

func (c Case) badConfig(t T) {
	for _, config := range c.Bad {
		g, err := c.Open(t.Context(), c.Kind, config)
		switch {
		case err == nil:
			t.Errorf("config %s is taken", config)
			_ = g.Close(t.Context())
		case strings.TrimSpace(err.Error()) == "":
			t.Errorf("config %s is refused without a word", config)
		}
	}
}

func (c Case) discovery(t T) {
	r := c.run(t)
	r.first(t)
	r.stop(t)
}

// running is a discovery that runs.
type running struct {
	updates chan []sdk.Group
	ended   chan error
	cancel  context.CancelFunc
	late    <-chan time.Time
}

func (c Case) run(t T) *running {
	d := c.open(t).Discovery()
	if d == nil {
		t.Fatal("there is no discovery")
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r := &running{updates: make(chan []sdk.Group), ended: make(chan error, 1), cancel: cancel, late: time.After(c.Patience)}
	go func() { r.ended <- d.Run(ctx, r.updates) }()
	return r
}

// first waits for the first update.
func (r *running) first(t T) {
	select {
	case groups := <-r.updates:
		if err := CheckGroups(groups); err != nil {
			t.Error(err)
		}
	case err := <-r.ended:
		t.Fatalf("Run ended before its first update: %v", err)
	case <-r.late:
		t.Fatal("the first update does not come; it must, even if it is empty")
	}
}

// stop ends Run and waits for that.
func (r *running) stop(t T) {
	r.cancel()
	for {
		select {
		case <-r.updates: // may still be on the way
		case err := <-r.ended:
			t.Logf("Run returned: %v", err) // nil, or any error, when it was told to stop
			return
		case <-r.late:
			t.Fatal("Run does not return when its context is done")
		}
	}
}

// siblings tries discoveries of which several can be in one process: the first one, which others may depend on, goes.
func (c Case) siblings(t T) {
	goes, stays := c.run(t), c.run(t)
	goes.first(t)
	stays.first(t)
	goes.stop(t)
	comes := c.run(t)
	comes.first(t)
	select {
	case err := <-stays.ended:
		t.Fatalf("Run of one section ended with that of another: %v", err)
	default:
	}
	stays.stop(t)
	comes.stop(t)
}

// CheckGroups returns what is wrong with an update.
func CheckGroups(groups []sdk.Group) error {
	var errs []error
	for i, g := range groups {
		if g.Source == "" {
			errs = append(errs, fmt.Errorf("group %d: no source", i))
		}
		for _, target := range g.Targets {
			if strings.TrimSpace(target) == "" {
				errs = append(errs, fmt.Errorf("group %d (%s): empty target", i, g.Source))
			}
		}
		for name := range g.Labels {
			if name == "" {
				errs = append(errs, fmt.Errorf("group %d (%s): label without a name", i, g.Source))
			}
		}
	}
	return errors.Join(errs...)
}

func (c Case) exporter(t T) {
	g := c.open(t)
	e := g.Exporter()
	if e == nil {
		t.Fatal("there is no exporter")
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Patience)
	defer cancel()
	var both sync.WaitGroup // Collect may be called from several goroutines at once
	for range 2 {
		both.Go(func() {
			var out bytes.Buffer
			if err := e.Collect(ctx, &out); err != nil {
				t.Errorf("Collect: %v", err)
				return
			}
			if err := CheckExposition(out.Bytes(), g.Manifest().ContentType); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
}

func (c Case) close(t T) {
	g := c.open(t)
	ctx, cancel := context.WithTimeout(t.Context(), c.Patience)
	defer cancel()
	for range 2 {
		if err := g.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if c.Kind == sdk.KindDiscovery && g.Manifest().Shared {
		c.siblings(t)
	}
}
