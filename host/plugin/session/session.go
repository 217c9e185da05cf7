// Package session is the host's side of the frame protocol, over any transport: it greets a guest, hands it its
// config, turns calls into frames, and serves what the guest asks for, within its grants.
//
// Start with [Open], which takes over a [Transport] and returns a [Session] whose Discovery, Exporter and so on are used
// like any others; [Probe] only reads a guest's manifest. A session lives as long as its guest: it is never restarted;
// supervision, hot swap and metrics belong to host/plugin.
//
// Invariants: (1) the receiving goroutine never sends, so that a guest that blocks in a send and a host that blocks in
// one cannot wait for each other; it waits for nothing but the consumer of a discovery's updates, which is the
// back-pressure on a guest that floods them. (2) What a guest can make the host hold is bounded by [Limits]. (3) After
// Done is closed, no goroutine of the session runs and the transport is closed.
package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// Transport carries frames to and from one guest.
type Transport interface {
	// Send hands f to the guest. It blocks while the guest's bounded queue is full and returns early with ctx's
	// error. It is safe for concurrent use. The payload belongs to the transport afterwards.
	Send(ctx context.Context, f wire.Frame) error
	// Recv returns the guest's next frame, whose payload the caller owns. When the guest has ended, the error is an
	// *[EndError] that names why. One goroutine calls it.
	Recv(ctx context.Context) (wire.Frame, error)
	// Close ends the guest by force if it still runs, makes pending Send and Recv return, and waits until the guest
	// is gone, which takes milliseconds. It may be called more than once and from several goroutines.
	Close() error
}

// Limits bound what one guest can cost. Zero fields mean the default in brackets.
type Limits struct {
	// MessageBytes is the largest payload in either direction. [64 MiB]
	MessageBytes uint32
	// OutputBytes is the largest exposition, never more than MessageBytes. [16 MiB]
	OutputBytes uint32
	// StartTimeout is the time for HELLO, START and READY together. [15 s]
	StartTimeout time.Duration
	// CallTimeout bounds calls other than a discovery's Run. A shorter deadline of the caller wins. [30 s]
	CallTimeout time.Duration
	// Grace is how long a guest may take to answer a call that was cancelled; then it is ended. [2 s]
	Grace time.Duration
	// HTTPConcurrent is how many HTTP requests may be open at a time, those that wait for changes included. [64]
	HTTPConcurrent uint32
	// FilesConcurrent is how many file requests may be open at a time; watches are counted on their own against the
	// same number. [16]
	FilesConcurrent uint32
	// DialConcurrent is how many TCP connections may be open at a time. [16]
	DialConcurrent uint32
}

func (l Limits) withDefaults() Limits {
	l = Limits{
		MessageBytes:    cmp.Or(l.MessageBytes, 64<<20),
		OutputBytes:     cmp.Or(l.OutputBytes, 16<<20),
		StartTimeout:    cmp.Or(l.StartTimeout, 15*time.Second),
		CallTimeout:     cmp.Or(l.CallTimeout, 30*time.Second),
		Grace:           cmp.Or(l.Grace, 2*time.Second),
		HTTPConcurrent:  cmp.Or(l.HTTPConcurrent, 64),
		FilesConcurrent: cmp.Or(l.FilesConcurrent, 16),
		DialConcurrent:  cmp.Or(l.DialConcurrent, 16),
	}
	l.OutputBytes = min(l.OutputBytes, l.MessageBytes)
	return l
}

// Options configure a session.
type Options struct {
	// Kind is what the guest shall be. Empty means the manifest's first kind.
	Kind sdk.Kind
	// Config is the section that the operator wrote, as JSON; empty means {}.
	Config sdk.Config
	// Grants are the operator's side of what the guest may do; the other side is the manifest.
	Grants grant.Options
	// Logger gets the session's own lines. Nil discards them. A guest's log lines go where the transport was told to
	// write them; see [NewLog].
	Logger *slog.Logger
	// Log is where the transport writes the guest's log lines; a flood of them ends the guest. Nil means that nobody
	// watches.
	Log *Log
	// Limits bound the guest.
	Limits Limits
}

// Session is a running guest. It is safe for concurrent use.
type Session struct {
	transport Transport
	limits    Limits
	logger    *slog.Logger
	kind      sdk.Kind
	manifest  sdk.Manifest
	grants    grant.Set
	stats     counters
	log       *Log           // nil if nobody watches
	work      sync.WaitGroup // requests and cancelled calls; joined by the receiving goroutine
	done      chan struct{}
	ended     chan struct{} // closed when the session begins to end
	endOnce   sync.Once

	mu       sync.Mutex
	stopping bool
	finished bool // the guest has said DONE
	over     bool // no new calls and requests
	err      error
	seq      uint32
	calls    map[uint32]*call
	requests map[uint32]*request
}

// Open greets the guest behind t, configures it, and returns when it is ready. It owns t from here on and closes it on
// error. A guest that refuses its config yields a *[ConfigError]. ctx ends the start, not the session.
func Open(ctx context.Context, t Transport, o Options) (*Session, error) {
	s := newSession(t, o)
	startCtx, cancel := context.WithTimeout(ctx, s.limits.StartTimeout)
	defer cancel()
	s.watchLog()
	if err := s.start(startCtx, o); err != nil {
		if reason := s.Err(); reason != nil { // ended from elsewhere
			err = reason
		}
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = &EndError{Reason: ReasonDeadline, Detail: fmt.Sprintf("not ready within %v", s.limits.StartTimeout)}
		}
		err = errors.Join(fmt.Errorf("start plugin %s: %w", cmp.Or(s.manifest.Name, "(no manifest)"), err), t.Close())
		s.beginEnd()
		s.work.Wait()
		return nil, err
	}
	go s.receive(context.WithoutCancel(ctx))
	return s, nil
}

// watchLog ends the guest when it floods its log.
func (s *Session) watchLog() {
	l := s.log
	if l == nil {
		return
	}
	s.goWork(func() {
		select {
		case <-l.Flooded():
			s.fail(&EndError{Reason: ReasonLog, Detail: fmt.Sprintf("wrote more than %d log lines in %v; the limit is %d a second",
				l.limits.flood(), floodWindow, l.limits.LinesPerSecond)})
		case <-s.ended:
		}
	})
}

// Probe returns the manifest of the guest behind t without starting it, and closes t.
func Probe(ctx context.Context, t Transport, l Limits) (sdk.Manifest, error) {
	s := newSession(t, Options{Limits: l})
	ctx, cancel := context.WithTimeout(ctx, s.limits.StartTimeout)
	defer cancel()
	err := s.hello(ctx)
	return s.manifest, errors.Join(err, t.Close())
}

func newSession(t Transport, o Options) *Session {
	return &Session{
		transport: t,
		limits:    o.Limits.withDefaults(),
		log:       o.Log,
		logger:    cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		done:      make(chan struct{}),
		ended:     make(chan struct{}),
		calls:     map[uint32]*call{},
		requests:  map[uint32]*request{},
	}
}

func (s *Session) hello(ctx context.Context) error {
	f, err := s.recv(ctx)
	if err != nil {
		return fmt.Errorf("wait for HELLO: %w", err)
	}
	if f.Type != wire.Hello {
		return protocolError("first frame is %v instead of HELLO", f.Type)
	}
	if len(f.Payload) > maxHelloBytes {
		return protocolError("HELLO of %d bytes, the limit is %d", len(f.Payload), maxHelloBytes)
	}
	hello := struct {
		ABI int `json:"abi"`
		sdk.Manifest
	}{}
	if err := json.Unmarshal(f.Payload, &hello); err != nil {
		return protocolError("HELLO: the manifest is no JSON as it should be: %v", err)
	}
	if hello.ABI != wire.ABI {
		what := "build the plugin with the SDK of this server's version"
		if hello.ABI > wire.ABI {
			what = "update the server, or " + what
		}
		return protocolError("HELLO: the plugin speaks ABI %d, this server %d: %s", hello.ABI, wire.ABI, what)
	}
	if err := validate(hello.Manifest); err != nil {
		return protocolError("HELLO: %v", err)
	}
	s.manifest = hello.Manifest
	return nil
}

func (s *Session) start(ctx context.Context, o Options) error {
	if err := s.hello(ctx); err != nil {
		return err
	}
	var err error
	if s.kind, err = chooseKind(s.manifest, o.Kind); err != nil {
		return err
	}
	config := o.Config
	if len(config) == 0 {
		config = sdk.Config("{}")
	}
	if s.grants, config, err = grant.Derive(s.manifest, config, o.Grants); err != nil {
		return &ConfigError{Plugin: s.manifest.Name, Message: err.Error()}
	}
	if err := s.sendStart(ctx, config); err != nil {
		return fmt.Errorf("send START: %w", err)
	}
	f, err := s.recv(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("wait for READY: %w", err)
	case f.Type == wire.Error && f.ID == 0:
		return &ConfigError{Plugin: s.manifest.Name, Message: clip(f.Payload)}
	case f.Type != wire.Ready:
		return protocolError("%v instead of READY", f.Type)
	}
	return nil
}

func (s *Session) sendStart(ctx context.Context, config sdk.Config) error {
	head := wire.Head{Line: string(s.kind)}
	head.AddUint(wire.FieldMessageBytes, uint64(s.limits.MessageBytes))
	head.AddUint(wire.FieldOutputBytes, uint64(s.limits.OutputBytes))
	head.AddUint(wire.FieldHTTPConcurrent, uint64(s.limits.HTTPConcurrent))
	head.AddUint(wire.FieldFilesConcurrent, uint64(s.limits.FilesConcurrent))
	head.AddUint(wire.FieldDialConcurrent, uint64(s.limits.DialConcurrent))
	if s.manifest.Shared && s.grants.Access != "" {
		head.Fields = append(head.Fields, wire.Field{Name: wire.FieldAccess, Value: s.grants.Access})
	}
	for _, name := range s.grants.Env.Names() {
		head.Fields = append(head.Fields, wire.Field{Name: wire.FieldEnv, Value: name + "=" + s.grants.Env[name]})
	}
	payload, err := head.Append(nil)
	if err != nil {
		return err
	}
	return s.send(ctx, wire.Frame{Type: wire.Start, Payload: append(payload, config...)})
}

// Manifest returns what the guest said about itself.
func (s *Session) Manifest() sdk.Manifest { return s.manifest }

// Kind returns what the guest serves in this session.
func (s *Session) Kind() sdk.Kind { return s.kind }

// Grants returns what the guest may reach.
func (s *Session) Grants() grant.Set { return s.grants }

// Process returns the id of the process that the guest runs in; 0 is this process.
func (s *Session) Process() int {
	if t, ok := s.transport.(interface{ PID() int }); ok {
		return t.PID()
	}
	return 0
}

// Done is closed when the guest is gone and nothing of the session runs any more.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session ended: nil while it runs and after an orderly stop, and an error that holds an
// *[EndError] otherwise.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close stops the guest: it asks, waits until the guest has ended, and ends it by force when ctx is done first. It
// returns [Session.Err]'s value, may be called more than once, and never waits for the guest past ctx.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.stopping
	s.stopping = true
	s.mu.Unlock()
	s.beginEnd()
	if first {
		// Without an answer to STOP the force below does it, so its error says nothing new.
		_ = s.send(ctx, wire.Frame{Type: wire.Stop})
	}
	select {
	case <-s.done:
		return s.Err()
	case <-ctx.Done():
	}
	s.fail(&EndError{Reason: ReasonDeadline, Detail: "did not stop in time"})
	<-s.done
	return s.Err()
}

// beginEnd frees everything that waits for the session's own sake.
func (s *Session) beginEnd() { s.endOnce.Do(func() { close(s.ended) }) }

// fail records the first reason for the session's end and ends the guest by force.
func (s *Session) fail(reason error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = reason
	}
	s.mu.Unlock()
	s.beginEnd()
	if err := s.transport.Close(); err != nil {
		s.logger.Debug("closing a plugin's transport failed", "err", err)
	}
}

func (s *Session) send(ctx context.Context, f wire.Frame) error {
	if uint64(len(f.Payload)) > uint64(s.limits.MessageBytes) {
		return fmt.Errorf("send %v of %d bytes: %w", f.Type, len(f.Payload), wire.ErrTooLarge)
	}
	n := uint64(len(f.Payload))
	if err := s.transport.Send(ctx, f); err != nil {
		return err
	}
	s.stats.bytesOut.Add(n)
	return nil
}

func (s *Session) recv(ctx context.Context) (wire.Frame, error) {
	f, err := s.transport.Recv(ctx)
	if err != nil {
		return f, err
	}
	s.stats.bytesIn.Add(uint64(len(f.Payload)))
	if uint64(len(f.Payload)) > uint64(s.limits.MessageBytes) {
		return f, &EndError{Reason: ReasonMessage, Detail: fmt.Sprintf("%v of %d bytes, the limit is %d",
			f.Type, len(f.Payload), s.limits.MessageBytes)}
	}
	return f, nil
}
