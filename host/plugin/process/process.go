// Package process runs guests as child processes under hashicorp/go-plugin: native plugins, for what the sandbox cannot
// do. A child speaks the same frames as a sandboxed guest, on one gRPC stream over a Unix socket in a folder that only
// the host's user can enter.
//
// Start with [Start], whose [Child] is the transport of a host/plugin/session. A child is not sandboxed: it can do what
// the host's user can. It gets a small environment and not the host's, so that secrets there stay there. It ends with
// its host, however that ends: its standard input is a pipe whose end of file tells it to exit, and on Linux the kernel
// kills it when the host dies.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk/wire"
	"github.com/narthex-io/narthex/sdk/wire/framegrpc"
)

// exitGrace is how long a child whose stream has ended may take to exit.
const exitGrace = 2 * time.Second

var errClosed = &session.EndError{Reason: session.ReasonClosed}

// StartOptions configure one child. Zero fields mean the default in brackets.
type StartOptions struct {
	// Args are the child's arguments.
	Args []string
	// Reasons says that the child is the host's own code, which tells why the guest inside it ended: see [EncodeEnd].
	Reasons bool
	// Env are variables, as NAME=value, that the child gets besides a few of the host's: see environment.
	Env []string
	// MessageBytes is the largest payload from the child. [64 MiB]
	MessageBytes uint32
	// MemoryBytes is the most memory that no file backs; Go's runtime in the child tries to stay below nine tenths of it
	// (GOMEMLIMIT), and a child that has more is ended, where that is known. 0 is no limit.
	MemoryBytes uint64
	// StartTimeout is the time for the child's handshake. [15 s]
	StartTimeout time.Duration
	// Stderr gets what the child writes to stderr and stdout; nil discards it. It must bound the rate itself, as
	// session.Log does.
	Stderr io.Writer
}

// Child is a running process; it implements session.Transport.
type Child struct {
	client  *plugin.Client
	runner  *child
	reasons bool
	stream  grpc.ClientStream
	cancel  context.CancelFunc
	in, out chan wire.Frame // unbuffered: gRPC's window is the queue
	closing chan struct{}
	memory  uint64        // the limit; 0 is none
	done    chan struct{} // closed when the process has been waited for; err is set before
	err     error
	once    sync.Once
}

// Start starts the executable at path and waits for its handshake. ctx bounds that and not the child's life; the caller
// closes the Child.
func Start(ctx context.Context, path string, o StartOptions) (*Child, error) {
	o.MessageBytes = cmp.Or(o.MessageBytes, 64<<20)
	o.StartTimeout = cmp.Or(o.StartTimeout, 15*time.Second)
	c := &Child{
		runner:  newChild(path, o.Args, environment(o)),
		reasons: o.Reasons,
		memory:  o.MemoryBytes,
		in:      make(chan wire.Frame),
		out:     make(chan wire.Frame),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	c.client = plugin.NewClient(c.clientConfig(o))
	// go-plugin's start knows no context: the end of ctx kills the child, which ends the start.
	stop := context.AfterFunc(ctx, c.runner.kill)
	conn, err := c.connect()
	if err == nil {
		var streamCtx context.Context
		streamCtx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
		c.stream, err = framegrpc.Open(streamCtx, conn, int(o.MessageBytes))
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if c.cancel != nil {
			c.cancel()
		}
		c.reap()
		return nil, fmt.Errorf("start plugin process %s: %w", path, errors.Join(ctx.Err(), c.explain(err)))
	}
	go c.run()
	return c, nil
}

// explain prefers the exit status of a child that ended by itself to the error that came from that.
func (c *Child) explain(err error) error {
	if end := c.runner.end(); end != nil && end.Reason == session.ReasonExit {
		return fmt.Errorf("%w (%w)", end, err)
	}
	return err
}

func (c *Child) clientConfig(o StartOptions) *plugin.ClientConfig {
	stderr := o.Stderr
	if stderr == nil {
		stderr = io.Discard
	}
	return &plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  framegrpc.ProtocolVersion,
			MagicCookieKey:   framegrpc.CookieKey,
			MagicCookieValue: framegrpc.CookieValue,
		},
		Plugins:          plugin.PluginSet{framegrpc.PluginName: grpcPlugin{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error) {
			c.runner.cmd.Env = append(c.runner.cmd.Env, cmd.Env...)
			c.runner.socketDir = socketDir
			return c.runner, nil
		},
		SkipHostEnv:  true,
		StartTimeout: o.StartTimeout,
		Stderr:       stderr,
		SyncStdout:   stderr,
		SyncStderr:   stderr,
		Logger:       hclog.NewNullLogger(),
	}
}

// environment is what the child gets of the host's environment.
func environment(o StartOptions) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "TZ",
		"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", // where the API is that a pod belongs to
	} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if o.MemoryBytes > 0 {
		env = append(env, "GOMEMLIMIT="+strconv.FormatUint(o.MemoryBytes/10*9, 10))
	}
	return append(env, o.Env...)
}

func (c *Child) connect() (*grpc.ClientConn, error) {
	protocol, err := c.client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := protocol.Dispense(framegrpc.PluginName)
	if err != nil {
		return nil, err
	}
	conn, ok := raw.(*grpc.ClientConn)
	if !ok {
		return nil, fmt.Errorf("dispensed a %T instead of a connection", raw)
	}
	return conn, nil
}

// run moves frames until the stream ends, and then ends the process.
func (c *Child) run() {
	defer close(c.done)
	ended := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { c.write(ended) })
	over := uint64(0)
	writer.Go(func() { over = c.watchMemory(ended) })
	err := c.read()
	close(ended)
	c.runner.hangUp()
	if status.Code(err) == codes.OK || errors.Is(err, io.EOF) || status.Code(err) == codes.Unavailable {
		c.awaitExit()
	}
	c.cancel()
	natural := c.runner.end() // before the force below
	c.reap()
	writer.Wait()
	c.err = c.reason(err, natural)
	if over > 0 && !isClosed(c.closing) {
		c.err = &session.EndError{Reason: session.ReasonMemory, Detail: fmt.Sprintf("had %d bytes of memory, the limit is %d", over, c.memory)}
	}
}

// memoryInterval is how often the child's memory is looked at.
const memoryInterval = 100 * time.Millisecond

// watchMemory kills a child that has more memory than it may, and returns how much it had; 0 when the child ended before.
func (c *Child) watchMemory(ended <-chan struct{}) uint64 {
	if c.memory == 0 {
		return 0
	}
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return 0
		case <-tick.C:
			if _, private := memoryOf(c.runner.pid); private > c.memory {
				c.runner.kill()
				return private
			}
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// read passes frames on until the stream ends, and returns the stream's error.
func (c *Child) read() error {
	for {
		f, err := framegrpc.Recv(c.stream)
		if err != nil {
			return err
		}
		select {
		case c.in <- f:
		case <-c.closing:
			return errClosed
		}
	}
}

// write sends frames until the stream ends; the reader learns why.
func (c *Child) write(ended <-chan struct{}) {
	for {
		select {
		case f := <-c.out:
			if framegrpc.Send(c.stream, f) != nil {
				<-ended
				return
			}
		case <-ended:
			return
		}
	}
}

func (c *Child) awaitExit() {
	t := time.NewTimer(exitGrace)
	defer t.Stop()
	select {
	case <-c.runner.exited:
	case <-c.closing:
	case <-t.C:
	}
}

// reap ends the process by force and waits for it. SIGKILL comes first: go-plugin's own Kill asks over gRPC before it
// kills, and a stopped process never answers.
func (c *Child) reap() {
	c.runner.kill()
	c.client.Kill()
	c.runner.removeSockets()
}

// reason says why the child ended, from the stream's error and from how the process ended by itself, if it did.
func (c *Child) reason(err error, natural *session.EndError) error {
	select {
	case <-c.closing:
		return errClosed
	default:
	}
	if end := decodeEnd(err); c.reasons && end != nil {
		return end
	}
	switch {
	case status.Code(err) == codes.ResourceExhausted:
		return &session.EndError{Reason: session.ReasonMessage, Detail: status.Convert(err).Message()}
	case natural != nil:
		return natural
	case errors.Is(err, io.EOF):
		return &session.EndError{Reason: session.ReasonDeadline, Detail: "ended its stream and did not exit"}
	default:
		return &session.EndError{Reason: session.ReasonError, Detail: status.Convert(err).Message()}
	}
}

// Send implements session.Transport.
func (c *Child) Send(ctx context.Context, f wire.Frame) error {
	select {
	case c.out <- f:
		return nil
	case <-c.done:
		return c.err
	case <-c.closing:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Recv implements session.Transport.
func (c *Child) Recv(ctx context.Context) (wire.Frame, error) {
	select {
	case f := <-c.in:
		return f, nil
	case <-c.done:
		return wire.Frame{}, c.err
	case <-ctx.Done():
		return wire.Frame{}, ctx.Err()
	}
}

// Close implements session.Transport.
func (c *Child) Close() error {
	c.once.Do(func() {
		close(c.closing)
		c.runner.kill()
		c.cancel()
	})
	<-c.done
	return nil
}

// PID returns the child's process id.
func (c *Child) PID() int { return c.runner.pid }

// MemoryBytes returns the child's resident memory, or 0 where that is unknown.
func (c *Child) MemoryBytes() uint64 {
	resident, _ := memoryOf(c.runner.pid)
	return resident
}

// grpcPlugin is the client's half of go-plugin's interface: it hands out the connection.
type grpcPlugin struct{ plugin.NetRPCUnsupportedPlugin }

// GRPCServer implements plugin.GRPCPlugin; a host serves nothing.
func (grpcPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }

// GRPCClient implements plugin.GRPCPlugin.
func (grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}
