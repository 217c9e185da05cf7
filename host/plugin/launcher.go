package plugin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/host/plugin/worker"
	"github.com/narthex-io/narthex/sdk"
)

// guest is a running instance of a plugin; *session.Session is one.
type guest interface {
	Discovery() sdk.Discovery
	Exporter() sdk.Exporter
	Parser() sdk.Parser
	Notifier() sdk.Notifier
	Signer() sdk.Signer
	Authenticator() sdk.Authenticator
	Grants() grant.Set
	// Process is the id of the process that the guest runs in; 0 is this one.
	Process() int
	Stats() session.Stats
	// Done is closed when the guest is gone; Err then says why.
	Done() <-chan struct{}
	Err() error
	// Close stops the guest and waits until it is gone, by force when ctx is done.
	Close(ctx context.Context) error
}

// launcher starts guests. What it needs of a file is its bytes and what the operator decided.
type launcher interface {
	probe(ctx context.Context, f *file, s Settings) (sdk.Manifest, error)
	// launch starts a guest. One that is to be apart gets a process of its own even if its plugin could share one.
	launch(ctx context.Context, f *file, s Settings, u *Use, apart bool) (guest, error)
	// prune removes from the cache what has not been used for long; plugins with these digests are in use.
	prune(digests []string)
	close(ctx context.Context) error
}

// probeTimeout is for a guest's first frame. Compiling comes before and has no limit of its own.
const probeTimeout = 15 * time.Second

// transports is the launcher for real guests: sandboxed in this process, or processes of their own.
type transports struct {
	cache    string    // the folder with all that is kept; empty: there is none
	compiler *compiler // of modules
	copies   copies    // of what is started; without a folder: none
	worker   string    // the binary for workers; empty: there are none
	log      *slog.Logger
	secret   []byte // from which guests are told who can reach the same
	shares   shares

	mu      sync.Mutex
	wasm    *wasm.Runtime             // made for the first module
	answers map[string]*grant.Answers // by plugin
}

func newTransports(o Options) *transports {
	kept := copies{}
	if o.CacheDir != "" && o.KeepCopies {
		kept.dir = filepath.Join(o.CacheDir, copiesDir)
	}
	secret := make([]byte, sha256.Size)
	_, _ = rand.Read(secret) // never fails
	u := &unkept{dir: o.CacheDir, log: o.Logger}
	return &transports{
		secret: secret, cache: o.CacheDir, compiler: newCompiler(compiledIn(o.CacheDir), o.Worker, u, o.Logger), copies: kept, worker: o.Worker,
		log: o.Logger,
	}
}

// sandbox returns the runtime for modules.
func (t *transports) sandbox() *wasm.Runtime {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wasm == nil {
		t.wasm = wasm.New(wasm.Options{Caches: t.compiler.caches, Logger: t.log})
	}
	return t.wasm
}

// answersOf returns what is kept for the guests of a plugin, whatever file and section they have.
func (t *transports) answersOf(plugin string) *grant.Answers {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.answers == nil {
		t.answers = map[string]*grant.Answers{}
	}
	if t.answers[plugin] == nil {
		t.answers[plugin] = &grant.Answers{}
	}
	return t.answers[plugin]
}

func (t *transports) close(ctx context.Context) error {
	t.shares.leaving.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wasm == nil {
		return nil
	}
	return t.wasm.Close(ctx)
}

func (t *transports) probe(ctx context.Context, f *file, s Settings) (sdk.Manifest, error) {
	out := session.NewLog(t.log.With("plugin", f.name), s.Limits.log())
	defer func() { _ = out.Close() }() //nolint:contextcheck // the log has no context
	tr, err := t.start(ctx, f, s, IsolationInline, out)
	if err != nil {
		return sdk.Manifest{}, err
	}
	return session.Probe(ctx, tr, session.Limits{StartTimeout: probeTimeout})
}

func (t *transports) launch(ctx context.Context, f *file, s Settings, u *Use, apart bool) (guest, error) {
	if f.transport == TransportProcess && f.manifest.Shared && !apart {
		return t.launchShared(ctx, f, s, u)
	}
	log := t.log.With("plugin", f.name)
	out := session.NewLog(log, s.Limits.log())
	tr, err := t.start(ctx, f, s, s.isolation(u.kind(), t.worker != ""), out)
	if err != nil {
		return nil, errors.Join(err, out.Close()) //nolint:contextcheck // the log has no context
	}
	opened, err := session.Open(ctx, tr, t.sessionOptions(f, s, u, log, out))
	if err != nil {
		return nil, errors.Join(err, out.Close()) //nolint:contextcheck // the log has no context
	}
	return &loggedGuest{Session: opened, out: out}, nil
}

// sessionOptions says what a guest for a use shall be and may do.
func (t *transports) sessionOptions(f *file, s Settings, u *Use, log *slog.Logger, out *session.Log) session.Options {
	o := session.Options{
		Kind:   u.kind(),
		Config: u.config(),
		Grants: grant.Options{
			BaseDir:   u.BaseDir,
			HTTP:      s.Grants.HTTP,
			Files:     s.Grants.Files,
			Dial:      s.Grants.Dial,
			Addresses: s.Grants.prefixes(),
			Env:       s.Grants.Env,
			Key:       u.Key,
			Client:    u.HTTPClient,
			ClientKey: u.HTTPKey,
			Answers:   t.answersOf(f.name),
		},
		Logger: log,
		Log:    out,
		Limits: s.Limits.session(),
	}
	if f.manifest.Shared {
		o.Grants.AccessKey = t.secret
	}
	return o
}

// start starts the file if it is still the one that was found.
func (t *transports) start(ctx context.Context, f *file, s Settings, i Isolation, out *session.Log) (session.Transport, error) {
	if f.transport == TransportProcess {
		child, err := startProcess(ctx, t, f, s, out, process.Start)
		if err != nil {
			return nil, err // not child, which would make an interface that is not nil
		}
		return child, nil
	}
	path, err := t.startable(f)
	if err != nil {
		return nil, err
	}
	if err := t.compiler.ensure(ctx, f, path, i); err != nil {
		return nil, err
	}
	if i == IsolationWorker {
		return worker.Start(ctx, t.worker, worker.Options{
			Path: path, SHA256: f.digest, Name: f.name, Caches: t.compiler.caches,
			MemoryBytes: uint64(s.Limits.Memory), MessageBytes: s.Limits.messageBytes(), QueueBytes: int(s.Limits.Queue),
		}, out)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(code); hex.EncodeToString(sum[:]) != f.digest {
		return nil, changedError(f)
	}
	return t.sandbox().Start(ctx, code, wasm.StartOptions{
		Name: f.name, Stderr: out,
		MemoryBytes: uint64(s.Limits.Memory), MessageBytes: s.Limits.messageBytes(), QueueBytes: int(s.Limits.Queue),
	})
}

// startProcess has start start an executable: its copy or, where the system lets none be executed in the cache, the file itself.
func startProcess[P any](
	ctx context.Context, t *transports, f *file, s Settings, out *session.Log,
	start func(context.Context, string, process.StartOptions) (*P, error),
) (*P, error) {
	path, err := t.startable(f)
	if err != nil {
		return nil, err
	}
	o := process.StartOptions{
		MemoryBytes: uint64(s.Limits.Memory), MessageBytes: s.Limits.messageBytes(),
		StartTimeout: time.Duration(s.Limits.StartTimeout), Stderr: out,
	}
	child, err := start(ctx, path, o)
	if errors.Is(err, os.ErrPermission) && path != f.path {
		if digest, derr := digestOf(f.path); derr != nil || digest != f.digest {
			return nil, err
		}
		child, err = start(ctx, f.path, o)
	}
	return child, err
}

func changedError(f *file) error {
	return fmt.Errorf("%s changed since the config was loaded: reload the config to use the new file", f.path)
}

// loggedGuest also flushes the guest's last log line.
type loggedGuest struct {
	*session.Session
	out *session.Log
}

// Close implements guest.
func (g *loggedGuest) Close(ctx context.Context) error {
	return errors.Join(g.Session.Close(ctx), g.out.Close()) //nolint:contextcheck // the log has no context
}
