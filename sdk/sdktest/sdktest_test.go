package sdktest_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

type exporter struct{}

// Collect implements sdk.Exporter.
func (exporter) Collect(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, "# TYPE a gauge\na{b=\"c d\"} 1\na 2\n")
	return err
}

type discovery struct{}

// Run implements sdk.Discovery.
func (discovery) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	select {
	case updates <- []sdk.Group{{Source: "x", Targets: []string{"a:1"}}}:
	case <-ctx.Done():
	}
	<-ctx.Done()
	return ctx.Err()
}

func strict(c sdk.Config) error {
	if string(c) != "{}" {
		return errors.New("field x: unknown")
	}
	return nil
}

func TestRun(t *testing.T) {
	open := sdktest.InProcess(sdk.Plugin{
		Manifest: sdk.Manifest{
			Name: "sd-x", Shared: true, Kinds: []sdk.Kind{sdk.KindDiscovery, sdk.KindExporter}, Keys: []string{"x_sd_configs"},
			Asks: sdk.Asks{HTTP: []string{"server"}, Files: []string{"a[*].b"}},
		},
		NewDiscovery: func(c sdk.Config, _ sdk.Host) (sdk.Discovery, error) { return discovery{}, strict(c) },
		NewExporter:  func(c sdk.Config, _ sdk.Host) (sdk.Exporter, error) { return exporter{}, strict(c) },
	}, sdktest.NewHost(t).SDK())
	for _, kind := range []sdk.Kind{sdk.KindDiscovery, sdk.KindExporter} {
		t.Run(string(kind), func(t *testing.T) {
			sdktest.Run(t, sdktest.Case{
				Open: open, Kind: kind, Good: sdk.Config("{}"), Bad: []sdk.Config{sdk.Config(`{"x":1}`)},
			})
		})
	}
}

// TestCheck finds outside of a test what Run finds in one.
func TestCheck(t *testing.T) {
	check := func(c sdktest.Case) (passed bool, report string) {
		passed = sdktest.Check(t.Context(), c, func(r sdktest.Result) { report += r.Name + ":" + strings.Join(r.Problems, ",") + ";" })
		return passed, report
	}
	plugin := sdk.Plugin{
		Manifest:    sdk.Manifest{Name: "exporter-x", Kinds: []sdk.Kind{sdk.KindExporter}},
		NewExporter: func(c sdk.Config, _ sdk.Host) (sdk.Exporter, error) { return exporter{}, strict(c) },
	}
	open := sdktest.InProcess(plugin, sdktest.NewHost(t).SDK())
	c := sdktest.Case{Open: open, Kind: sdk.KindExporter, Good: sdk.Config("{}"), Bad: []sdk.Config{sdk.Config(`{"x":1}`)}}
	if passed, report := check(c); !passed || report != "manifest:;bad-config:;exporter:;close:;" {
		t.Errorf("%v, %s", passed, report)
	}
	c.Bad = []sdk.Config{sdk.Config("{}")}
	if passed, report := check(c); passed || report != "manifest:;bad-config:config {} is taken;exporter:;close:;" {
		t.Errorf("%v, %s", passed, report)
	}
	c.Bad, c.Good = nil, sdk.Config("[]")
	const refused = "the good config is refused: field x: unknown"
	if passed, report := check(c); passed || report != "manifest:"+refused+";bad-config:;exporter:"+refused+";close:"+refused+";" {
		t.Errorf("%v, %s", passed, report)
	}
	c.Kind = "strange"
	if passed, report := check(c); passed || report != `kind:unknown kind "strange";` {
		t.Errorf("%v, %s", passed, report)
	}
}

func TestCheckExposition(t *testing.T) {
	good := func(contentType, text string) {
		t.Helper()
		if err := sdktest.CheckExposition([]byte(text), contentType); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	bad := func(contentType, text, want string) {
		t.Helper()
		if err := sdktest.CheckExposition([]byte(text), contentType); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	open := "application/openmetrics-text; version=1.0.0"
	good("", "")
	good("", "# HELP a b\n\na 1\na{x=\"}\"} NaN 123\nb +Inf\n{\"a.b\"} 1e9\n")
	good(open, "a_total 1 # {trace_id=\"x\"} 0.5\n# EOF\n")
	bad("", "a 1", "no end")
	bad("", "a one\n", "no number")
	bad("", "1a 1\n", "no sample")
	bad("", "a 1\na 2\n", "same series")
	bad(open, "a 1\n", "# EOF")
}

func TestCheckManifest(t *testing.T) {
	if err := sdktest.CheckManifest(sdk.Manifest{
		Name: "Bad Name", Keys: []string{"x-y"}, Asks: sdk.Asks{HTTP: []string{"a..b"}},
	}); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("got %v, want four problems", err)
	}
}

func TestCheckGroups(t *testing.T) {
	err := sdktest.CheckGroups([]sdk.Group{{Targets: []string{" "}, Labels: map[string]string{"": "x"}}})
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want three problems", err)
	}
}
