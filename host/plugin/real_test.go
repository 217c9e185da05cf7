package plugin_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/session"
)

// kitchen is a catalogue with the plugin that does every awkward thing, in one of the places for guests.
type kitchen struct {
	*testing.T
	*plugin.Catalogue
	registry *prometheus.Registry
	place    string // where its guests run
}

// TestReal runs real guests, built once.
func TestReal(t *testing.T) {
	guests, err := runtimetest.NewGuests()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guests.Close() })
	cases := map[string]func(*testing.T, *kitchen){"exporters": exporters, "restarts": restarts, "config errors": configErrors, "limits": limits}
	binary := guests.Host(t)
	for _, place := range []struct{ name, file, worker, guest string }{
		{"inline", "kitchen.wasm", "", runtimetest.Kitchen},
		{"worker", "kitchen.wasm", binary, runtimetest.Kitchen},
		{"process", "kitchen", "", runtimetest.Kitchen},
		{"shared", "kitchen", "", runtimetest.Shared},
	} {
		dir, build := t.TempDir(), guests.Native
		if strings.HasSuffix(place.file, ".wasm") {
			build = guests.Compiled
		}
		if err := os.Link(build(t, place.guest), filepath.Join(dir, place.file)); err != nil {
			t.Fatal(err)
		}
		for name, run := range cases {
			if place.name == "shared" && name == "restarts" {
				continue // TestShare has those
			}
			t.Run(place.name+"/"+name, func(t *testing.T) {
				run(t, open(t, dir, guests.CacheDir(), strings.Replace(place.name, "shared", "process", 1), place.worker))
			})
		}
	}
}

func open(t *testing.T, dir, cache, place, worker string) *kitchen {
	t.Helper()
	k := &kitchen{T: t, place: place, registry: prometheus.NewPedanticRegistry()}
	var err error
	if k.Catalogue, err = plugin.New(plugin.Options{
		Directories: []string{dir}, CacheDir: cache, KeepCopies: true, Worker: worker,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Registerer: k.registry,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *kitchen) apply(uses ...plugin.Use) *plugin.Change {
	k.Helper()
	ch, err := k.Prepare(k.Context(), plugin.Config{}, uses)
	if err != nil {
		k.Fatal(err)
	}
	ch.Apply()
	return ch
}

func cook(config string) plugin.Use {
	return plugin.Use{Plugin: "kitchen", Config: []byte(config), Position: "p.yml:1: exporters[0]"}
}

func collect(ctx context.Context, e *plugin.Exporter) (string, error) {
	var out strings.Builder
	err := e.Collect(ctx, &out)
	return out.String(), err
}

func exporters(t *testing.T, k *kitchen) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "token=%s", r.Header.Get("Authorization"))
	}))
	defer server.Close()
	get := cook(`{"do": "get", "url": "` + server.URL + `"}`)
	get.HTTPClient = &http.Client{Transport: bearer{}}
	ch := k.apply(cook(`{"do": "echo", "text": "a 1\n"}`), cook(`{"do": "fail", "text": "no dinner"}`), get)
	if got, err := collect(t.Context(), ch.Exporter(0)); got != "a 1\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := collect(t.Context(), ch.Exporter(1)); err == nil || !strings.Contains(err.Error(), "plugin kitchen: no dinner") {
		t.Errorf("%v", err)
	}
	if got, err := collect(t.Context(), ch.Exporter(2)); !strings.Contains(got, "token=secret") || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	i := k.Plugins()[0]
	if i.State != plugin.StateReady || i.Version != "1.2.3" || len(i.Uses) != 3 || len(i.Given.HTTP) != 1 || i.Uses[0].Place != k.place {
		t.Errorf("%+v", i)
	}
	if origin := i.Given.HTTP[0]; i.Used.HTTP[origin] != 1 || i.Used.Refused.Count != 0 {
		t.Errorf("used %+v", i.Used)
	}
	if i.MemoryBytes == 0 && runtime.GOOS == "linux" {
		t.Error("memory is unknown")
	}
	err := testutil.GatherAndCompare(k.registry, strings.NewReader(`
# HELP narthex_plugin_calls_total Calls of exporters and notifiers, by result.
# TYPE narthex_plugin_calls_total counter
narthex_plugin_calls_total{plugin="kitchen",result="error"} 1
narthex_plugin_calls_total{plugin="kitchen",result="success"} 2
# HELP narthex_plugin_http_requests_total HTTP requests of the plugin's guests, refused ones included.
# TYPE narthex_plugin_http_requests_total counter
narthex_plugin_http_requests_total{plugin="kitchen"} 1
`), "narthex_plugin_calls_total", "narthex_plugin_http_requests_total")
	if err != nil {
		t.Error(err)
	}
}

// bearer adds a credential that the guest never sees.
type bearer struct{}

func (bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "secret")
	return http.DefaultTransport.RoundTrip(r)
}

func restarts(t *testing.T, k *kitchen) {
	t.Helper()
	ch := k.apply(cook(`{"do": "exit"}`), cook(`{"do": "echo", "text": "b 2\n"}`))
	for n := range uint64(2) {
		k.until(func() bool { return k.Plugins()[0].Restarts == n && k.Plugins()[0].State == plugin.StateReady })
		if _, err := collect(t.Context(), ch.Exporter(0)); session.ReasonOf(err) != session.ReasonExit {
			t.Errorf("error %v", err)
		}
	}
	// What guests used stays known when they are gone.
	refused := k.apply(cook(`{"do": "get", "text": "http://127.0.0.1:1"}`))
	if _, err := collect(t.Context(), refused.Exporter(0)); err == nil {
		t.Error("a request that is not granted succeeded")
	}
	ch = k.apply(cook(`{"do": "exit"}`), cook(`{"do": "echo", "text": "b 2\n"}`))
	k.until(func() bool {
		return k.Plugins()[0].Used.Refused.Count == 1 && k.Plugins()[0].Uses[0].State == plugin.StateReady
	})
	if last := k.Plugins()[0].Used.Refused.Last; !strings.Contains(last, "http://127.0.0.1:1: not granted") {
		t.Error(last)
	}
	if got, err := collect(t.Context(), ch.Exporter(1)); got != "b 2\n" || err != nil { // the neighbour
		t.Errorf("%q, %v", got, err)
	}
}

func configErrors(t *testing.T, k *kitchen) {
	t.Helper()
	_, err := k.Prepare(t.Context(), plugin.Config{}, []plugin.Use{
		{Key: "kitchen_sd_configs", Config: []byte(`{"du": 1}`), Position: "p.yml:2: kitchen_sd_configs[0]"}, cook(`{}`),
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`p.yml:2: kitchen_sd_configs[0]: plugin kitchen: json: unknown field "du"`, "p.yml:1: exporters[0]: plugin kitchen: field do: missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// until waits for a condition.
func (k *kitchen) until(done func() bool) {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			k.Fatalf("waited in vain: %+v", k.Plugins())
		}
	}
}
