package guest

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// httpClient sends requests through the host.
type httpClient struct{ g *guest }

// Do implements sdk.HTTPClient.
func (h httpClient) Do(ctx context.Context, r sdk.Request) (*sdk.Response, error) {
	payload, err := encodeRequest(r)
	if err != nil {
		return nil, err
	}
	if uint64(len(payload)) > uint64(h.g.limits.messageBytes) {
		return nil, errors.New("the request of " + strconv.Itoa(len(payload)) + " bytes is too large")
	}
	if err := acquire(ctx, h.g.limits.http); err != nil {
		return nil, err
	}
	id, answers, err := h.g.open()
	if err != nil {
		<-h.g.limits.http
		return nil, err
	}
	b := &body{ctx: ctx, g: h.g, id: id, answers: answers}
	if err := h.g.conn.Send(wire.Frame{Type: wire.HTTPRequest, ID: id, Payload: payload}); err != nil {
		return nil, b.finish(err, false)
	}
	f, err := await(ctx, answers)
	if err != nil {
		return nil, b.finish(err, true)
	}
	resp, err := decodeResponse(f)
	if err != nil {
		return nil, b.finish(err, f.Type != wire.HTTPError)
	}
	resp.Body = b
	return resp, nil
}

func encodeRequest(r sdk.Request) ([]byte, error) {
	head := wire.Head{Line: r.Method + " " + r.URL}
	if r.Method == "" {
		head.Line = "GET " + r.URL
	}
	for name, values := range r.Header {
		for _, v := range values {
			head.Fields = append(head.Fields, wire.Field{Name: name, Value: v})
		}
	}
	payload, err := head.Append(nil)
	return append(payload, r.Body...), err
}

func decodeResponse(f wire.Frame) (*sdk.Response, error) {
	if f.Type == wire.HTTPError {
		return nil, errors.New(string(f.Payload))
	}
	head, _, err := wire.ParseHead(f.Payload)
	if err != nil {
		return nil, err
	}
	status, err := strconv.Atoi(head.Line)
	if f.Type != wire.HTTPHead || err != nil {
		return nil, errors.New("the host answered an HTTP request with " + f.Type.String())
	}
	resp := &sdk.Response{Status: status, Header: make(map[string][]string, len(head.Fields))}
	for _, field := range head.Fields {
		resp.Header[field.Name] = append(resp.Header[field.Name], field.Value)
	}
	return resp, nil
}

// body pulls a response's body from the host.
type body struct {
	ctx     context.Context //nolint:containedctx // the request's; io.Reader has no place for one
	g       *guest
	id      uint32
	answers <-chan wire.Frame
	rest    []byte
	once    sync.Once

	mu  sync.Mutex // guards err: Close may come while Read waits
	err error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.rest) == 0 {
		if err := b.failed(); err != nil {
			return 0, err
		}
		if err := b.pull(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// pull gets the next part.
func (b *body) pull() error {
	if err := b.g.conn.Send(wire.Frame{Type: wire.HTTPRead, ID: b.id}); err != nil {
		return b.finish(err, false)
	}
	f, err := await(b.ctx, b.answers)
	switch {
	case err != nil:
		return b.finish(err, true)
	case f.Type == wire.HTTPBody:
		b.rest = f.Payload
		return nil
	case f.Type == wire.HTTPEOF:
		return b.finish(io.EOF, false)
	default:
		return b.finish(errors.New(string(f.Payload)), false)
	}
}

func (b *body) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// finish ends the request, and remembers and returns why. tell says whether the host has to hear of it.
func (b *body) finish(err error, tell bool) error {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
	b.once.Do(func() {
		b.g.drop(b.id)
		if tell {
			_ = b.g.conn.Send(wire.Frame{Type: wire.HTTPClose, ID: b.id})
		}
		<-b.g.limits.http
	})
	return err
}

// Close implements io.Closer.
func (b *body) Close() error {
	_ = b.finish(errors.New("read from a closed body"), true)
	return nil
}
