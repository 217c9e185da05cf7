package guest

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// writeBytes is how much one frame takes along.
const writeBytes = 32 << 10

var errConnClosed = errors.New("use of a closed connection")

// dial implements sdk.DialFunc.
func (g *guest) dial(ctx context.Context, target string) (sdk.Conn, error) {
	if err := acquire(ctx, g.limits.dial); err != nil {
		return nil, err
	}
	id, answers, err := g.open()
	if err != nil {
		<-g.limits.dial
		return nil, err
	}
	c := &conn{g: g, id: id, done: make(chan struct{})}
	c.read.answers, c.write.answers = make(chan wire.Frame, 1), make(chan wire.Frame, 1)
	if err := g.conn.Send(wire.Frame{Type: wire.Dial, ID: id, Payload: []byte(target)}); err != nil {
		return nil, c.finish(err, false)
	}
	f, err := await(ctx, answers)
	switch {
	case err != nil:
		return nil, c.finish(err, true)
	case f.Type != wire.DialOpen:
		return nil, c.finish(errors.New(string(f.Payload)), false)
	}
	c.remote = string(f.Payload)
	if !g.goWork(func() { c.sort(answers) }) {
		return nil, c.finish(errGone, false)
	}
	return c, nil
}

// conn is a connection that the host holds.
type conn struct {
	g           *guest
	id          uint32
	remote      string
	read, write half
	once        sync.Once
	err         error         // why it is over; set before done is closed
	done        chan struct{} // closed when it is over
}

// half is one direction: at most one frame is under way in it.
type half struct {
	answers  chan wire.Frame
	deadline deadline

	mu      sync.Mutex // held by whoever reads or writes
	pending bool       // a frame was sent, and its answer has not come
	rest    []byte     // of reading: what came and was not asked for yet
}

// sort gives each half its answers until the connection is over.
func (c *conn) sort(answers <-chan wire.Frame) {
	for {
		var f wire.Frame
		var ok bool
		select {
		case f, ok = <-answers:
		case <-c.done:
			return
		}
		switch {
		case !ok:
			_ = c.finish(errGone, false)
			return
		case f.Type == wire.DialError:
			_ = c.finish(errors.New(string(f.Payload)), false)
			return
		case f.Type == wire.DialWritten:
			c.write.answers <- f // one is under way at most
		default:
			c.read.answers <- f
		}
	}
}

// finish ends the connection, and returns why it is over. tell says whether the host has to hear of it.
func (c *conn) finish(err error, tell bool) error {
	c.once.Do(func() {
		c.err = err
		c.g.drop(c.id)
		if tell {
			_ = c.g.conn.Send(wire.Frame{Type: wire.DialClose, ID: c.id}) // without the host, nobody has to hear
		}
		close(c.done)
		<-c.g.limits.dial
	})
	return c.err
}

// exchange sends a frame in a half, unless an earlier one is under way, and waits for the answer.
func (c *conn) exchange(h *half, t wire.Type, payload []byte) (wire.Frame, error) {
	if !h.pending {
		select {
		case <-c.done:
			return wire.Frame{}, c.err
		default:
		}
		if err := c.g.conn.Send(wire.Frame{Type: t, ID: c.id, Payload: payload}); err != nil {
			return wire.Frame{}, c.finish(err, false)
		}
		h.pending = true
	}
	f, err := h.wait(c)
	if err == nil {
		h.pending = false
	}
	return f, err
}

// wait waits for an answer, for the deadline and for the end.
func (h *half) wait(c *conn) (wire.Frame, error) {
	for {
		select {
		case f := <-h.answers: // what came before the end counts
			return f, nil
		default:
		}
		expired, changed, stop := h.deadline.watch()
		select {
		case f := <-h.answers:
			stop()
			return f, nil
		case <-expired:
			return wire.Frame{}, os.ErrDeadlineExceeded
		case <-changed:
			stop()
		case <-c.done:
			stop()
			select {
			case f := <-h.answers:
				return f, nil
			default:
				return wire.Frame{}, c.err
			}
		}
	}
}

// Read implements sdk.Conn.
func (c *conn) Read(p []byte) (int, error) {
	h := &c.read
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rest) == 0 && len(p) > 0 {
		f, err := c.exchange(h, wire.DialRead, nil)
		if err != nil {
			return 0, err
		}
		if f.Type != wire.DialData {
			return 0, io.EOF
		}
		h.rest = f.Payload
	}
	n := copy(p, h.rest)
	h.rest = h.rest[n:]
	return n, nil
}

// Write implements sdk.Conn. After a deadline, what was under way may have been written.
func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		part := p[written:min(len(p), written+writeBytes)]
		if err := c.send(append([]byte(nil), part...)); err != nil {
			return written, err
		}
		written += len(part)
	}
	return written, nil
}

// CloseWrite implements sdk.Conn.
func (c *conn) CloseWrite() error { return c.send(nil) }

func (c *conn) send(payload []byte) error {
	h := &c.write
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending { // of a write that ran into its deadline
		if _, err := c.exchange(h, 0, nil); err != nil {
			return err
		}
	}
	_, err := c.exchange(h, wire.DialWrite, payload)
	return err
}

// Close implements sdk.Conn.
func (c *conn) Close() error {
	_ = c.finish(errConnClosed, true)
	return nil
}

// RemoteAddress implements sdk.Conn.
func (c *conn) RemoteAddress() string { return c.remote }

// SetDeadline implements sdk.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.read.deadline.set(t)
	c.write.deadline.set(t)
	return nil
}

// SetReadDeadline implements sdk.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.read.deadline.set(t)
	return nil
}

// SetWriteDeadline implements sdk.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.write.deadline.set(t)
	return nil
}

// deadline is a time that may change while somebody waits for it.
type deadline struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{} // closed when at changes; nil while nobody waits
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// watch returns a channel that delivers at the deadline, and one that is closed when that changes. The caller calls stop.
func (d *deadline) watch() (expired <-chan time.Time, changed <-chan struct{}, stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	if d.at.IsZero() {
		return nil, d.changed, func() {}
	}
	t := time.NewTimer(time.Until(d.at))
	return t.C, d.changed, func() { t.Stop() }
}
