package guest

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// call runs a call in a goroutine of its own: a call that does HTTP needs the loop to go on.
func (g *guest) call(ctx context.Context, f wire.Frame) error {
	head, body, err := wire.ParseHead(f.Payload)
	if err != nil {
		return err
	}
	cancel := context.CancelFunc(nil)
	if ms := head.Uint(wire.FieldTimeoutMillis, 0); ms > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	g.mu.Lock()
	g.cancels[f.ID] = cancel
	g.mu.Unlock()
	g.work.Go(func() {
		result, err := g.dispatch(ctx, f.ID, head, body)
		cancel()
		g.mu.Lock()
		delete(g.cancels, f.ID)
		g.mu.Unlock()
		if err == nil {
			err = g.conn.Send(wire.Frame{Type: wire.Result, ID: f.ID, Payload: result})
		}
		if err != nil {
			// When this fails too, the host is gone, which the loop notices.
			_ = g.sendError(f.ID, err)
		}
	})
	return nil
}

func (g *guest) dispatch(ctx context.Context, id uint32, head wire.Head, body []byte) ([]byte, error) {
	switch method := head.Line; {
	case method == wire.MethodRun && g.discovery != nil:
		return nil, g.run(ctx, id)
	case method == wire.MethodCollect && g.exporter != nil:
		out := &output{limit: g.limits.outputBytes}
		err := g.exporter.Collect(ctx, out)
		return out.b, err
	case method == wire.MethodParse && g.parser != nil:
		out := &output{limit: g.limits.outputBytes}
		err := g.parser.Parse(ctx, body, head.Get(wire.FieldContentType), out)
		return out.b, err
	case method == wire.MethodNotify && g.notifier != nil:
		return g.notify(ctx, body)
	case method == wire.MethodSign && g.signer != nil:
		return g.sign(ctx, head, body)
	case method == wire.MethodAuthenticate && g.authenticator != nil:
		return g.authenticate(ctx, head, body)
	}
	return nil, errors.New("the plugin has no method " + head.Line)
}

// run runs the discovery and sends its updates.
func (g *guest) run(ctx context.Context, id uint32) error {
	updates := make(chan []sdk.Group)
	sent := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		var err error
		for groups := range updates {
			if err != nil {
				continue // keep a sender that doesn't look at ctx from hanging
			}
			if err = g.sendGroups(id, groups); err != nil {
				cancel()
			}
		}
		sent <- err
	}()
	err := g.discovery.Run(ctx, updates)
	close(updates)
	if sendErr := <-sent; sendErr != nil {
		return sendErr
	}
	return err
}

func (g *guest) sendGroups(id uint32, groups []sdk.Group) error {
	payload := encodeGroups(groups)
	if uint64(len(payload)) > uint64(g.limits.messageBytes) {
		return errors.New(wire.MessageLimit + "an update of " + strconv.Itoa(len(payload)) + " bytes is larger than the limit of " +
			strconv.FormatUint(uint64(g.limits.messageBytes), 10))
	}
	return g.conn.Send(wire.Frame{Type: wire.Groups, ID: id, Payload: payload})
}

// output collects an exposition up to a limit.
type output struct {
	b     []byte
	limit uint32
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if uint64(len(o.b))+uint64(len(p)) > uint64(o.limit) {
		return 0, errors.New(wire.OutputLimit + "the output is larger than the limit of " + strconv.FormatUint(uint64(o.limit), 10) + " bytes")
	}
	o.b = append(o.b, p...)
	return len(p), nil
}
