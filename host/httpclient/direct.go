package httpclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mwitkow/go-conntrack"
	httpconfig "github.com/prometheus/common/config"
	"golang.org/x/net/http/httpguts"
)

// direct is a round tripper for many small requests of the simplest kind: GET over HTTP/1.1, without TLS, without a proxy.
// It writes and reads in the caller's goroutine, where the standard transport hands each request to two others, each
// of which has to be woken (docs/RATIONALE.md). All other requests are for next.
type direct struct {
	next http.RoundTripper
	dial httpconfig.DialContextFunc
	// name is the one under which connections are counted.
	name, agent string
	// readers are *bufio.Reader of connections that are not in use.
	readers sync.Pool

	mu sync.Mutex
	// idle are the connections that wait for a request, by address; the one that was used last is the last.
	idle map[string][]*directConn
	// closing says that no connection is kept, until there is another request.
	closing bool
	// sweep closes those that have waited for long. It is nil while there are none.
	sweep *time.Timer
}

const (
	// maxHead bounds the head of an answer in bytes, with those before it that only say that the answer will come.
	maxHead = 1 << 20
	// maxIdle is how many connections to an address are kept.
	maxIdle = 1000
)

var (
	errLargeHead  = fmt.Errorf("the head of the answer has more than %d bytes", maxHead)
	errBodyClosed = errors.New("read of a body that is closed")
)

// isDirect reports whether requests with this configuration may go the direct way.
func isDirect(cfg *Config) bool {
	return cfg.Auth == nil && cfg.BasicAuth == nil && cfg.Authorization == nil && cfg.OAuth2 == nil && cfg.BearerToken == "" && cfg.BearerTokenFile == "" &&
		cfg.HTTPHeaders == nil && cfg.ProxyURL.URL == nil && !cfg.ProxyFromEnvironment
}

// CloseIdleConnections closes connections that nobody uses, and those in use when they would be kept.
func (d *direct) CloseIdleConnections() {
	d.mu.Lock()
	idle := d.idle
	d.idle, d.closing = nil, true
	if d.sweep != nil {
		d.sweep.Stop()
		d.sweep = nil
	}
	d.mu.Unlock()
	for _, conns := range idle {
		for _, c := range conns {
			_ = c.conn.Close()
		}
	}
	if c, ok := d.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if !isPlain(r) {
		return d.next.RoundTrip(r)
	}
	for {
		c, kept, err := d.conn(r.Context(), r.URL.Host)
		if err != nil {
			return nil, cause(r.Context(), err)
		}
		resp, err := c.exchange(r)
		if err == nil {
			return resp, nil
		}
		_ = c.conn.Close()
		if kept && c.left == maxHead && r.Context().Err() == nil {
			continue // The server closed a connection that was idle: it has not seen the request.
		}
		return nil, cause(r.Context(), err)
	}
}

// isPlain reports whether nothing about a request is special.
func isPlain(r *http.Request) bool {
	if r.Method != http.MethodGet || r.Body != nil && r.Body != http.NoBody || r.ContentLength != 0 || r.Close || len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 ||
		r.URL.Scheme != "http" || r.URL.Host == "" || r.Host != "" && r.Host != r.URL.Host {
		return false
	}
	if strings.ContainsFunc(r.URL.Host, isSpecialInHost) || strings.ContainsFunc(r.URL.RequestURI(), isSpecialInURI) {
		return false
	}
	for name, values := range r.Header {
		switch name {
		case "Connection", "Content-Length", "Expect", "Host", "Trailer", "Transfer-Encoding", "Upgrade":
			return false
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return false
			}
		}
	}
	return true
}

func isSpecialInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:[]", r)
}

func isSpecialInURI(r rune) bool { return r <= ' ' || r >= 0x7f }

// cause returns why a request failed: that the caller gave it up comes first.
func cause(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(deadline) {
		<-ctx.Done() // The dialer has a clock of its own.
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// conn returns a connection; kept says that it was used before.
func (d *direct) conn(ctx context.Context, host string) (c *directConn, kept bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	for c = d.takeIdle(host); c != nil; c = d.takeIdle(host) {
		if c.raw == nil || isQuiet(c.raw) {
			return c, true, nil
		}
		_ = c.conn.Close() // It was closed at the other end, or more came than was asked for.
	}
	c, err = d.connect(ctx, host)
	return c, false, err
}

// takeIdle returns a connection that waits for a request, nil if there is none.
func (d *direct) takeIdle(host string) *directConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closing = false
	conns := d.idle[host]
	if len(conns) == 0 {
		return nil
	}
	c := conns[len(conns)-1]
	conns[len(conns)-1] = nil
	d.idle[host] = conns[:len(conns)-1]
	return c
}

// connect makes a connection, which is counted as those of the standard transport are.
func (d *direct) connect(ctx context.Context, host string) (*directConn, error) {
	c := &directConn{d: d, host: host}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.dial(ctx, network, address)
		if s, ok := conn.(syscall.Conn); ok && err == nil {
			c.raw, err = s.SyscallConn()
		}
		return conn, err
	}
	counted := conntrack.NewDialContextFunc(conntrack.DialWithDialContextFunc(dial), conntrack.DialWithTracing(), conntrack.DialWithName(d.name))
	conn, err := counted(ctx, "tcp", withPort(host))
	c.conn = conn
	return c, err
}

// withPort adds the port that HTTP has if none is given.
func withPort(host string) string {
	if strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']') {
		if strings.HasSuffix(host, ":") {
			return host + "80"
		}
		return host
	}
	return host + ":80"
}

// keep puts a connection aside for the next request.
func (d *direct) keep(c *directConn) {
	c.idleSince = time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing || len(d.idle[c.host]) >= maxIdle {
		_ = c.conn.Close()
		return
	}
	if d.idle == nil {
		d.idle = map[string][]*directConn{}
	}
	d.idle[c.host] = append(d.idle[c.host], c)
	if d.sweep == nil {
		d.sweep = time.AfterFunc(idleTimeout, d.closeOld)
	}
}

// closeOld closes the connections that have been idle for long.
func (d *direct) closeOld() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sweep == nil {
		return // All were closed meanwhile.
	}
	now, next := time.Now(), time.Duration(math.MaxInt64)
	for host, conns := range d.idle {
		kept := slices.DeleteFunc(conns, func(c *directConn) bool {
			left := c.idleSince.Add(idleTimeout).Sub(now)
			if left > 0 {
				next = min(next, left)
				return false
			}
			_ = c.conn.Close()
			return true
		})
		if d.idle[host] = kept; len(kept) == 0 {
			delete(d.idle, host)
		}
	}
	d.sweep = nil
	if len(d.idle) > 0 {
		d.sweep = time.AfterFunc(next, d.closeOld)
	}
}

// directConn is a connection, in use by one request or by none.
type directConn struct {
	d    *direct
	conn net.Conn
	// raw is for a look at its state; nil means that there is no way.
	raw       syscall.RawConn
	host      string
	idleSince time.Time
	// request is memory for what is sent.
	request []byte
	// reader is there while the connection is in use.
	reader *bufio.Reader
	// left is how many bytes may be read.
	left int64
}

// Read implements io.Reader, within the limit.
func (c *directConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errLargeHead
	}
	n, err := c.conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// exchange sends a request and reads the head of the answer. After an error the connection is of no more use.
func (c *directConn) exchange(r *http.Request) (_ *http.Response, err error) {
	ctx := r.Context()
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	c.left = maxHead
	defer func() {
		if err != nil {
			stop()
			c.giveReader()
		}
	}()
	c.writeRequest(r)
	if _, err := c.conn.Write(c.request); err != nil {
		return nil, err
	}
	if c.reader, _ = c.d.readers.Get().(*bufio.Reader); c.reader == nil {
		c.reader = bufio.NewReader(c)
	} else {
		c.reader.Reset(c)
	}
	for {
		resp, err := http.ReadResponse(c.reader, r)
		if err != nil {
			switch {
			case c.left <= 0:
				err = errLargeHead
			case c.left == maxHead && errors.Is(err, io.ErrUnexpectedEOF):
				err = io.EOF // No part of an answer came.
			}
			return nil, err
		}
		if resp.StatusCode < 100 || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			c.left = math.MaxInt64
			resp.Body = c.body(resp, stop) //nolint:contextcheck // It is the context of the request, which the answer has.
			return resp, nil
		}
	}
}

// writeRequest makes the bytes of a request.
func (c *directConn) writeRequest(r *http.Request) {
	b := append(c.request[:0], "GET "...)
	b = append(b, r.URL.RequestURI()...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), r.URL.Host...)
	if _, ok := r.Header["User-Agent"]; !ok && c.d.agent != "" {
		b = append(append(b, "\r\nUser-Agent: "...), c.d.agent...)
	}
	b = append(b, "\r\n"...)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
		}
	}
	c.request = append(b, "\r\n"...)
}

func (c *directConn) giveReader() {
	if c.reader != nil {
		c.reader.Reset(nil)
		c.d.readers.Put(c.reader)
		c.reader = nil
	}
}

// body wraps the body of an answer. stop ends the watch over the request's context.
func (c *directConn) body(resp *http.Response, stop func() bool) io.ReadCloser {
	b := &directBody{c: c, body: resp.Body, req: resp.Request, stop: stop, keep: !resp.Close && resp.StatusCode != http.StatusSwitchingProtocols}
	if resp.Body == http.NoBody {
		b.end(io.EOF)
	}
	return b
}

// directBody is the body of an answer. The connection is kept if it is read to its end.
type directBody struct {
	c    *directConn
	body io.Reader
	req  *http.Request
	stop func() bool
	keep bool
	// err is how it ended; nil means that it has not.
	err error
}

// Read implements io.Reader.
func (b *directBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.body.Read(p)
	if err != nil {
		b.end(err)
		err = b.err
	}
	return n, err
}

// Close implements io.Closer.
func (b *directBody) Close() error {
	if b.err == nil {
		b.end(errBodyClosed)
	}
	return nil
}

// end gives the connection back.
func (b *directBody) end(err error) {
	whole := err == io.EOF //nolint:errorlint // An end within something else is another error.
	keep := b.stop() && b.keep && whole && b.c.reader.Buffered() == 0
	b.c.giveReader()
	if keep {
		b.c.d.keep(b.c)
	} else {
		_ = b.c.conn.Close()
	}
	if !whole {
		err = cause(b.req.Context(), err)
	}
	b.err, b.c, b.body = err, nil, nil
}
