// Package guest is the plugin's side of the frame protocol. A plugin's main function is one line:
//
//	func main() { guest.Main(acme.Plugin()) }
//
// The same source builds as a sandboxed module (GOOS=wasip1 GOARCH=wasm) and as a native process that the host
// supervises. [Main] picks the transport by build tag; [Serve] is the protocol over any [Conn]. Package
// sdk/guest/httpadapter turns the host's HTTP into an http.RoundTripper for libraries that want one.
//
// A guest that does not use net/http does not link it; and what this package sends is encoded by hand, which keeps most of
// encoding/json out of a guest that does without.
package guest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// Conn carries frames to and from the host.
type Conn interface {
	// Send hands f to the host; it may block while the host is busy. It is safe for concurrent use.
	Send(f wire.Frame) error
	// Recv returns the host's next frame, whose payload the caller owns. One goroutine calls it.
	Recv() (wire.Frame, error)
}

// Serve speaks the protocol for p on conn until the host asks to stop, and then returns nil after everything that p
// started has returned; or until conn fails, and then returns its error. ctx cancels what runs, like the host's STOP.
// The plugin's log lines go to lines, one whole line in each call.
func Serve(ctx context.Context, conn Conn, p sdk.Plugin, lines func(line []byte)) error {
	g := &guest{
		conn:     conn,
		plugin:   p,
		lines:    lines,
		cancels:  map[uint32]context.CancelFunc{},
		requests: map[uint32]chan wire.Frame{},
	}
	hello := wire.Frame{Type: wire.Hello, Payload: encodeManifest(p.Manifest)}
	if err := conn.Send(hello); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	err := g.loop(ctx)
	cancel()
	g.failRequests()
	g.work.Wait()
	if errors.Is(err, errStop) {
		return conn.Send(wire.Frame{Type: wire.Done})
	}
	return err
}

var errStop = errors.New("stopped by the host")

// guest is one running plugin.
type guest struct {
	conn   Conn
	plugin sdk.Plugin
	lines  func([]byte)
	limits limits
	env    map[string]string
	access string
	work   sync.WaitGroup // calls

	discovery     sdk.Discovery // one of them is set, by START
	exporter      sdk.Exporter
	parser        sdk.Parser
	notifier      sdk.Notifier
	signer        sdk.Signer
	authenticator sdk.Authenticator

	mu       sync.Mutex
	closed   bool
	cancels  map[uint32]context.CancelFunc // of calls
	seq      uint32
	requests map[uint32]chan wire.Frame // HTTP and files
}

// limits are what START says.
type limits struct {
	messageBytes, outputBytes uint32
	http, files, dial         chan struct{} // semaphores
}

// loop reads frames until STOP or an error.
func (g *guest) loop(ctx context.Context) error {
	for {
		f, err := g.conn.Recv()
		if err != nil {
			return err
		}
		switch f.Type {
		case wire.Start:
			if err := g.start(f); err != nil {
				return err
			}
		case wire.Stop:
			return errStop
		case wire.Call:
			if err := g.call(ctx, f); err != nil {
				return err
			}
		case wire.Cancel:
			g.mu.Lock()
			cancel := g.cancels[f.ID]
			g.mu.Unlock()
			if cancel != nil {
				cancel()
			}
		default: // an answer to a request, or a type that a newer host knows
			g.deliver(f)
		}
	}
}

// start builds what the host wants and answers READY or ERROR.
func (g *guest) start(f wire.Frame) error {
	head, config, err := wire.ParseHead(f.Payload)
	if err != nil {
		return err
	}
	g.limits = limits{
		messageBytes: head.Uint(wire.FieldMessageBytes, 1<<20),
		outputBytes:  head.Uint(wire.FieldOutputBytes, 1<<20),
		http:         make(chan struct{}, max(head.Uint(wire.FieldHTTPConcurrent, 1), 1)),
		files:        make(chan struct{}, max(head.Uint(wire.FieldFilesConcurrent, 1), 1)),
		dial:         make(chan struct{}, max(head.Uint(wire.FieldDialConcurrent, 1), 1)),
	}
	g.env, g.access = environment(head), head.Get(wire.FieldAccess)
	if err := g.build(sdk.Kind(head.Line), sdk.Config(config)); err != nil {
		return g.sendError(0, err)
	}
	return g.conn.Send(wire.Frame{Type: wire.Ready})
}

func (g *guest) build(kind sdk.Kind, config sdk.Config) (err error) {
	host := sdk.Host{Log: newLogger(g.lines), HTTP: httpClient{g}, Files: files{g}, DNS: dns{g}, Dial: g.dial, Access: g.access, Getenv: g.getenv}
	switch {
	case kind == sdk.KindDiscovery && g.plugin.NewDiscovery != nil:
		g.discovery, err = g.plugin.NewDiscovery(config, host)
	case kind == sdk.KindExporter && g.plugin.NewExporter != nil:
		g.exporter, err = g.plugin.NewExporter(config, host)
	case kind == sdk.KindParser && g.plugin.NewParser != nil:
		g.parser, err = g.plugin.NewParser(config, host)
	case kind == sdk.KindNotify && g.plugin.NewNotifier != nil:
		g.notifier, err = g.plugin.NewNotifier(config, host)
	case kind == sdk.KindAuthOutbound && g.plugin.NewSigner != nil:
		g.signer, err = g.plugin.NewSigner(config, host)
	case kind == sdk.KindAuthInbound && g.plugin.NewAuthenticator != nil:
		g.authenticator, err = g.plugin.NewAuthenticator(config, host)
	default:
		return errors.New("the plugin does not implement the kind " + string(kind) + ", though its manifest may say so: set its constructor in sdk.Plugin")
	}
	return err
}

// environment returns the variables that START gives.
func environment(start wire.Head) map[string]string {
	env := map[string]string{}
	for _, f := range start.Fields {
		if name, value, ok := strings.Cut(f.Value, "="); ok && f.Name == wire.FieldEnv {
			env[name] = value
		}
	}
	return env
}

func (g *guest) getenv(name string) string { return g.env[name] }

func (g *guest) sendError(id uint32, err error) error {
	msg := err.Error()
	if limit := int(g.limits.messageBytes); limit > 0 && len(msg) > limit {
		msg = msg[:limit]
	}
	return g.conn.Send(wire.Frame{Type: wire.Error, ID: id, Payload: []byte(msg)})
}
