package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/host/plugin/worker"
	"github.com/narthex-io/narthex/sdk"
)

// TestMain lets the test binary be the host's binary, and so a worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == worker.Command {
		worker.Main(os.Args[2:])
	}
	goleak.VerifyTestMain(m)
}

// fakes launches guests that live in the test: files are only looked at for their names and digests.
type fakes struct {
	mu        sync.Mutex
	manifests map[string]sdk.Manifest // by a file's name
	refuse    map[string]error        // of a launch, by name
	guests    []*fake                 // all that were launched
	probes    int
	probed    []string // names, in order
	closed    bool
}

func (l *fakes) probe(_ context.Context, f *file, _ Settings) (sdk.Manifest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.probes++
	l.probed = append(l.probed, f.name)
	m, ok := l.manifests[f.name]
	if !ok {
		return m, errors.New("not a plugin")
	}
	return m, nil
}

func (l *fakes) launch(_ context.Context, f *file, _ Settings, u *Use, apart bool) (guest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refuse[f.name]; err != nil {
		return nil, err
	}
	g := &fake{
		apart: apart, plugin: f.name, config: string(u.Config), kind: u.kind(), done: make(chan struct{}),
		groups: make(chan []sdk.Group), answer: make(chan string, 100), release: make(chan struct{}),
	}
	l.guests = append(l.guests, g)
	return g, nil
}

func (*fakes) prune([]string) {}

func (l *fakes) close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, g := range l.guests {
		if !g.gone() {
			return fmt.Errorf("guest %s %s still runs", g.plugin, g.config)
		}
	}
	return nil
}

func (l *fakes) setRefusal(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse[name] = err
}

// last returns the newest guest.
func (l *fakes) last() *fake {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.guests[len(l.guests)-1]
}

// guest returns the newest guest of a plugin with a config.
func (l *fakes) guest(plugin, config string) *fake {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range slices.Backward(l.guests) {
		if g.plugin == plugin && g.config == config {
			return g
		}
	}
	return nil
}

func (l *fakes) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.guests)
}

// alive lists plugin and config of the guests that run.
func (l *fakes) alive() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := []string{}
	for _, g := range l.guests {
		if !g.gone() {
			list = append(list, g.plugin+g.config)
		}
	}
	slices.Sort(list)
	return list
}

// fake is a guest: what is sent to groups is an update, what is sent to answer is collected.
type fake struct {
	plugin, config string
	apart          bool
	kind           sdk.Kind
	groups         chan []sdk.Group
	answer         chan string
	release        chan struct{} // lets an exporter with the config "slow" go on
	calls          atomic.Int32

	once sync.Once
	mu   sync.Mutex
	done chan struct{}
	err  error
}

func (g *fake) Discovery() sdk.Discovery { return (*fakeDiscovery)(g) }
func (g *fake) Exporter() sdk.Exporter   { return (*fakeExporter)(g) }
func (g *fake) Notifier() sdk.Notifier   { return (*fakeNotifier)(g) }
func (g *fake) Parser() sdk.Parser       { return (*fakeParser)(g) }
func (g *fake) Signer() sdk.Signer       { return (*fakeSigner)(g) }
func (g *fake) Done() <-chan struct{}    { return g.done }
func (g *fake) Process() int             { return 0 }
func (g *fake) gone() bool               { return isClosed(g.done) }

func (g *fake) Authenticator() sdk.Authenticator { return (*fakeAuthenticator)(g) }

func (g *fake) Grants() grant.Set {
	files, err := grant.NewFiles([]string{"/granted/" + g.plugin + "/*.json"}, nil, 0)
	if err != nil {
		panic(err)
	}
	return grant.Set{Files: files}
}

func (g *fake) Stats() session.Stats {
	return session.Stats{BytesIn: 10, BytesOut: 2, HTTPRequests: 3, MemoryBytes: 1 << 20}
}

func (g *fake) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *fake) Close(context.Context) error {
	g.die(nil)
	return nil
}

func (g *fake) die(err error) {
	g.once.Do(func() {
		g.mu.Lock()
		g.err = err
		g.mu.Unlock()
		close(g.done)
	})
}

func (g *fake) trap() { g.die(&session.EndError{Reason: session.ReasonTrap, Detail: "unreachable"}) }

type fakeDiscovery fake

func (d *fakeDiscovery) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	for {
		select {
		case g := <-d.groups:
			select {
			case updates <- g:
				continue
			case <-ctx.Done():
				return ctx.Err()
			case <-d.done:
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-d.done:
		}
		return (*fake)(d).Err()
	}
}

type fakeNotifier fake

func (n *fakeNotifier) Notify(ctx context.Context, b sdk.Batch) error {
	var out bytes.Buffer
	if err := (*fakeExporter)(n).Collect(ctx, &out); err != nil {
		return err
	}
	if out.String() != string(b) {
		return sdk.Rejected(errors.New("not " + out.String()))
	}
	return nil
}

type fakeParser fake

func (p *fakeParser) Parse(ctx context.Context, body []byte, contentType string, w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s %s ", contentType, body); err != nil {
		return err
	}
	return (*fakeExporter)(p).Collect(ctx, w)
}

type fakeSigner fake

func (s *fakeSigner) Sign(ctx context.Context, r sdk.AuthRequest) (sdk.Header, error) {
	var out bytes.Buffer
	err := (*fakeExporter)(s).Collect(ctx, &out)
	return sdk.Header{"X-Signed": {r.Method + out.String()}}, err
}

type fakeAuthenticator fake

// Authenticate allows whoever gives the config as the method, and forbids DELETE.
func (a *fakeAuthenticator) Authenticate(ctx context.Context, r sdk.AuthRequest) (sdk.Identity, error) {
	var out bytes.Buffer
	switch err := (*fakeExporter)(a).Collect(ctx, &out); {
	case err != nil:
		return sdk.Identity{}, err
	case r.Method == http.MethodDelete:
		return sdk.Identity{}, sdk.Forbidden(errors.New("no"))
	case r.Method != out.String():
		return sdk.Identity{}, sdk.Unauthenticated(errors.New("who"), "Fake")
	}
	return sdk.Identity{User: "ann"}, nil
}

type fakeExporter fake

func (e *fakeExporter) Collect(ctx context.Context, w io.Writer) error {
	e.calls.Add(1)
	if e.config == `"slow"` {
		select {
		case <-e.release:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.done:
			return (*fake)(e).Err()
		}
	}
	if e.config == `"fail"` {
		return &session.CallError{Plugin: e.plugin, Message: "no data"}
	}
	_, err := io.WriteString(w, e.config)
	return err
}

// bench is a catalogue of fakes over a folder.
type bench struct {
	testing.TB
	*Catalogue
	*fakes
	dir string
	log *lines
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	b := &bench{TB: tb, dir: tb.TempDir(), log: &lines{}, fakes: &fakes{
		refuse: map[string]error{},
		manifests: map[string]sdk.Manifest{
			"sd-a":       {Name: "sd-a", Version: "1.0", Kinds: []sdk.Kind{sdk.KindDiscovery}, Keys: []string{"a_sd_configs"}, Asks: sdk.Asks{Files: []string{"files[*]"}}},
			"sd-b":       {Name: "sd-b", Kinds: []sdk.Kind{sdk.KindDiscovery}, Keys: []string{"b_sd_configs"}, Asks: sdk.Asks{HTTP: []string{"server"}}},
			"exporter-x": {Name: "exporter-x", Kinds: []sdk.Kind{sdk.KindExporter}},
		},
	}}
	b.write("sd-a.wasm", "a1")
	b.write("sd-b.wasm", "b1")
	b.write("exporter-x", "x1")
	b.open()
	return b
}

// open makes a catalogue; a second call makes a second one with the same cache.
func (b *bench) open() {
	b.Helper()
	b.Catalogue = newCatalogue(Options{
		Directories: []string{filepath.Join(b.dir, "missing"), b.dir},
		CacheDir:    filepath.Join(b.dir, ".cache"),
		Logger:      slog.New(slog.NewTextHandler(b.log, nil)),
	}, b.fakes)
	b.Cleanup(func() {
		if err := b.Catalogue.Close(); err != nil {
			b.Errorf("close: %v", err)
		}
		if !b.fakes.closed {
			b.Error("the launcher was not closed")
		}
	})
}

func (b *bench) write(name, content string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(content), 0o700); err != nil {
		b.Fatal(err)
	}
}

// on is a use with a position: a key or the name of an exporter or a parser, and a config.
func on(what, config string) Use {
	u := Use{Config: []byte(config), Position: "p.yml:7: jobs[0]." + what}
	switch {
	case strings.HasSuffix(what, "_configs") || IsAuthKey(what):
		u.Key = what
	case strings.HasPrefix(what, "parser-"):
		u.Kind, u.Plugin = sdk.KindParser, what
	default:
		u.Plugin = what
	}
	return u
}

func (b *bench) prepare(uses ...Use) *Change {
	b.Helper()
	ch, err := b.Prepare(context.Background(), Config{}, uses)
	if err != nil {
		b.Fatal(err)
	}
	return ch
}

func (b *bench) apply(uses ...Use) *Change {
	b.Helper()
	ch := b.prepare(uses...)
	ch.Apply()
	return ch
}

func (b *bench) info(name string) Info {
	b.Helper()
	for _, i := range b.Plugins() {
		if i.Name == name {
			return i
		}
	}
	b.Fatalf("no plugin %s in %v", name, b.Plugins())
	return Info{}
}

func (b *bench) wantAlive(want ...string) {
	b.Helper()
	if got := b.alive(); !slices.Equal(got, want) {
		b.Errorf("guests %q run, want %q", got, want)
	}
}

// running is a discovery in use.
type running struct {
	updates chan []sdk.Group
	cancel  context.CancelFunc
	ended   chan error
}

func runDiscovery(d *Discovery) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{updates: make(chan []sdk.Group), cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- d.Run(ctx, r.updates) }()
	return r
}

func (r *running) stop() error {
	r.cancel()
	return <-r.ended
}

func group(source string, targets ...string) sdk.Group {
	return sdk.Group{Source: source, Targets: targets}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

const longestWait = 2 * time.Minute // in the bubble's time
