package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	wasisys "github.com/tetratelabs/wazero/sys"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk/wire"
)

var errClosed = &session.EndError{Reason: session.ReasonClosed}

// Instance is a running guest; it implements session.Transport.
type Instance struct {
	runtime *Runtime
	options StartOptions
	queue   *queue
	memory  *memory
	frames  chan wire.Frame // from the guest; unbuffered, so that a guest is never ahead of the host
	cancel  context.CancelFunc
	closing chan struct{} // closed by Close
	done    chan struct{} // closed when the guest has ended; err is set before
	err     error
	once    sync.Once
	refused *session.EndError // set by an import that ends the guest; the guest's thread alone uses it
}

// instanceKey finds the Instance in the context of an import.
type instanceKey struct{}

func instanceOf(ctx context.Context) *Instance {
	i, _ := ctx.Value(instanceKey{}).(*Instance)
	return i
}

// Start compiles code if necessary and starts it. ctx bounds that and not the guest's life; the caller closes the
// Instance.
func (r *Runtime) Start(ctx context.Context, code []byte, o StartOptions) (*Instance, error) {
	o = o.withDefaults()
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, fmt.Errorf("start guest %s: %w", o.Name, errClosed)
	}
	r.running.Add(1)
	r.mu.Unlock()
	i, err := r.start(ctx, code, o)
	if err != nil {
		r.running.Done()
		return nil, fmt.Errorf("start guest %s: %w", o.Name, err)
	}
	return i, nil
}

func (r *Runtime) start(ctx context.Context, code []byte, o StartOptions) (*Instance, error) {
	if err := inspect(code, o.MemoryBytes); err != nil {
		return nil, err
	}
	loaded, err := r.acquire(ctx, code)
	if err != nil {
		return nil, err
	}
	i := &Instance{
		runtime: r,
		options: o,
		queue:   newQueue(o.QueueBytes),
		memory:  &memory{max: o.MemoryBytes},
		frames:  make(chan wire.Frame),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	guestCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i.cancel = cancel
	guestCtx = context.WithValue(guestCtx, instanceKey{}, i)
	guestCtx = experimental.WithMemoryAllocator(guestCtx, i.memory)
	m, err := i.instantiate(guestCtx, loaded)
	if err != nil {
		cancel()
		return nil, errors.Join(i.endError(err), r.release(ctx, loaded))
	}
	r.spare(m, loaded)
	go i.run(guestCtx, m, loaded)
	return i, nil
}

// instantiate turns a panic, which is what the runtime makes of memory that it did not get, into an error.
func (i *Instance) instantiate(ctx context.Context, loaded *module) (m api.Module, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("instantiate module: %v", p)
		}
	}()
	return loaded.engine.runtime.InstantiateModule(ctx, loaded.compiled, i.moduleConfig())
}

func (i *Instance) moduleConfig() wazero.ModuleConfig {
	out := i.options.Stderr
	if out == nil {
		out = io.Discard
	}
	files, ok := wazero.NewFSConfig().(sysfs.FSConfig)
	config := wazero.NewModuleConfig().
		WithName(""). // instances of one module live side by side
		WithArgs(i.options.Name).
		WithStartFunctions(). // run calls _start
		WithStdout(out).WithStderr(out).
		WithRandSource(rand.Reader).
		WithSysWalltime().WithSysNanotime()
	if ok {
		config = config.WithFSConfig(files.WithSysFSMount(eventsFS{instance: i, opens: new(atomic.Int32)}, eventsMount))
	}
	return config
}

// run runs the guest's main function to its end.
func (i *Instance) run(ctx context.Context, m api.Module, loaded *module) {
	defer i.runtime.running.Done()
	defer close(i.done)
	defer i.cancel()
	defer func() {
		// A panic in an import is a bug in the host; it must not end the host.
		if p := recover(); p != nil {
			i.err = &session.EndError{Reason: session.ReasonTrap, Detail: fmt.Sprintf("panic in the host: %v", p)}
		}
	}()
	start := m.ExportedFunction("_start")
	if start == nil {
		i.err = &session.EndError{Reason: session.ReasonProtocol, Detail: "the module exports no _start; it is not a command"}
	} else {
		_, err := start.Call(ctx)
		i.err = i.endError(err)
	}
	background := context.WithoutCancel(ctx)
	if err := errors.Join(m.Close(background), i.runtime.release(background, loaded)); err != nil {
		i.err = errors.Join(i.err, fmt.Errorf("close module: %w", err))
	}
}

// endError turns what wazero returned into the reason for the guest's end.
func (i *Instance) endError(err error) error {
	select {
	case <-i.closing:
		return errClosed
	default:
	}
	if i.refused != nil {
		return i.refused
	}
	end := &session.EndError{Reason: session.ReasonExit, Detail: "exit status 0"}
	exit := (*wasisys.ExitError)(nil)
	switch {
	case err == nil:
	case errors.As(err, &exit):
		end.Code = int(exit.ExitCode())
		end.Detail = fmt.Sprintf("exit status %d", end.Code)
	default:
		end.Reason, end.Detail = session.ReasonTrap, err.Error()
	}
	if err != nil && end.Detail != "exit status 0" && i.memory.refused() {
		end.Reason = session.ReasonMemory
		end.Detail = fmt.Sprintf("wanted more than %d bytes of memory: %s", i.options.MemoryBytes, end.Detail)
	}
	return end
}

// Send implements session.Transport.
func (i *Instance) Send(ctx context.Context, f wire.Frame) error {
	select {
	case <-i.done:
		return i.err
	case <-i.closing:
		return errClosed
	default:
	}
	return i.queue.push(ctx, i.done, f)
}

// Recv implements session.Transport.
func (i *Instance) Recv(ctx context.Context) (wire.Frame, error) {
	select {
	case f := <-i.frames:
		return f, nil
	case <-i.done:
		return wire.Frame{}, i.err
	case <-ctx.Done():
		return wire.Frame{}, ctx.Err()
	}
}

// Close implements session.Transport.
func (i *Instance) Close() error {
	i.once.Do(func() { close(i.closing) })
	i.cancel()
	<-i.done
	return nil
}

// MemoryBytes returns the size of the guest's linear memory.
func (i *Instance) MemoryBytes() uint64 { return i.memory.size() }
