package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk/wire/framegrpc"
)

// program is a process under go-plugin, whatever is spoken with it.
type program struct {
	path   string
	client *plugin.Client
	runner *child
	memory uint64 // the limit; 0 is none
}

func newProgram(path string, o StartOptions) program {
	p := program{path: path, runner: newChild(path, o.Args, environment(o)), memory: o.MemoryBytes}
	p.client = plugin.NewClient(p.clientConfig(o))
	return p
}

// start starts the process, waits for its handshake, and calls then. On error nothing of it is left.
func (p *program) start(ctx context.Context, then func(*grpc.ClientConn) error) error {
	// go-plugin's start knows no context: the end of ctx kills the child, which ends the start.
	stop := context.AfterFunc(ctx, p.runner.kill)
	conn, err := p.connect()
	if err == nil {
		err = then(conn)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		p.reap()
		return fmt.Errorf("start plugin process %s: %w", p.path, errors.Join(ctx.Err(), p.explain(err)))
	}
	return nil
}

// explain prefers the exit status of a child that ended by itself to the error that came from that.
func (p *program) explain(err error) error {
	if end := p.runner.end(); end != nil && end.Reason == session.ReasonExit {
		return fmt.Errorf("%w (%w)", end, err)
	}
	return err
}

func (p *program) clientConfig(o StartOptions) *plugin.ClientConfig {
	stderr := o.Stderr
	if stderr == nil {
		stderr = io.Discard
	}
	started := p.runner
	return &plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  framegrpc.ProtocolVersion,
			MagicCookieKey:   framegrpc.CookieKey,
			MagicCookieValue: framegrpc.CookieValue,
		},
		Plugins:          plugin.PluginSet{framegrpc.PluginName: grpcPlugin{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error) {
			started.cmd.Env = append(started.cmd.Env, cmd.Env...)
			started.socketDir = socketDir
			return started, nil
		},
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: socketBase()},

		SkipHostEnv:  true,
		StartTimeout: o.StartTimeout,
		Stderr:       stderr,
		SyncStdout:   stderr,
		SyncStderr:   stderr,
		Logger:       hclog.NewNullLogger(),
	}
}

// socketBase returns where the folder for a child's socket goes, empty for the usual one for temporary files: in a container that
// has none to write to, memory that looks like a folder takes its place.
func socketBase() string {
	const memory = "/dev/shm"
	dir, err := os.MkdirTemp("", "plugin-dir")
	if err == nil {
		_ = os.Remove(dir) // empty
		return ""
	}
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		return memory
	}
	return ""
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

func (p *program) connect() (*grpc.ClientConn, error) {
	protocol, err := p.client.Client()
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

// memoryInterval is how often the child's memory is looked at.
const memoryInterval = 100 * time.Millisecond

// watchMemory kills a child that has more memory than it may, and returns how much it had; 0 when the child ended before.
func (p *program) watchMemory(ended <-chan struct{}) uint64 {
	if p.memory == 0 {
		return 0
	}
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return 0
		case <-tick.C:
			if _, private := memoryOf(p.runner.pid); private > p.memory {
				p.runner.kill()
				return private
			}
		}
	}
}

func (p *program) memoryError(had uint64) error {
	return &session.EndError{Reason: session.ReasonMemory, Detail: fmt.Sprintf("had %d bytes of memory, the limit is %d", had, p.memory)}
}

// reap ends the process by force and waits for it. SIGKILL comes first: go-plugin's own Kill asks over gRPC before it
// kills, and a stopped process never answers.
func (p *program) reap() {
	p.runner.kill()
	p.client.Kill()
	p.runner.removeSockets()
}

// PID returns the process's id.
func (p *program) PID() int { return p.runner.pid }

// MemoryBytes returns the process's resident memory, or 0 where that is unknown.
func (p *program) MemoryBytes() uint64 {
	resident, _ := memoryOf(p.runner.pid)
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
