package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// chunkBytes is how much of a response's body one HTTP_READ brings.
const chunkBytes = 64 << 10

type requestKind int

const (
	requestHTTP requestKind = iota
	requestFile
	requestWatch
	requestDNS
	requestDial
)

// String returns what there are several of.
func (k requestKind) String() string {
	return []string{"HTTP requests", "file requests", "watches", "look-ups", "connections"}[k]
}

// request is something that the guest asked for and that is not finished.
type request struct {
	kind   requestKind
	cancel context.CancelFunc
	pulls  chan struct{} // holds one; HTTP and connections
	writes chan []byte   // holds one; connections
}

// serve registers a request of the guest and runs f for it in a goroutine. f must call drop before it sends the
// request's last frame, so that the guest can use the id, and the place in the limit, again.
func (s *Session) serve(ctx context.Context, id uint32, kind requestKind, f func(context.Context, *request)) error {
	limit, reason := int(s.limits.FilesConcurrent), ReasonFiles
	switch kind {
	case requestHTTP, requestDNS:
		limit, reason = int(s.limits.HTTPConcurrent), ReasonRequests
	case requestDial:
		limit, reason = int(s.limits.DialConcurrent), ReasonConnections
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &request{kind: kind, cancel: cancel, pulls: make(chan struct{}, 1), writes: make(chan []byte, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	open := 0
	for _, other := range s.requests {
		if other.kind == kind {
			open++
		}
	}
	if open >= limit {
		cancel()
		return &EndError{Reason: reason, Detail: fmt.Sprintf("more than %d %s open at once", limit, kind)}
	}
	if s.requests[id] != nil {
		cancel()
		return protocolError("request id %d is in use", id)
	}
	s.requests[id] = r
	s.work.Go(func() {
		defer cancel()
		f(ctx, r)
	})
	return nil
}

// drop ends the request with an id; none is fine, because the last frame and a close may cross.
func (s *Session) drop(id uint32) {
	s.mu.Lock()
	r := s.requests[id]
	delete(s.requests, id)
	s.mu.Unlock()
	if r != nil {
		r.cancel()
	}
}

// release is drop without cancelling, for a request that is about to send its last frame. It reports whether the
// request was still open; if not, the id may already mean another one, and nothing may be sent for this one.
func (s *Session) release(id uint32, r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests[id] != r {
		return false
	}
	delete(s.requests, id)
	return true
}

// reply sends a request's frame. An error means that the guest or the request is gone, and there is nobody to tell.
func (s *Session) reply(ctx context.Context, t wire.Type, id uint32, payload []byte) bool {
	return s.send(ctx, wire.Frame{Type: t, ID: id, Payload: payload}) == nil
}

func (s *Session) serveHTTP(ctx context.Context, f wire.Frame) error {
	s.stats.http.Add(1)
	return s.serve(ctx, f.ID, requestHTTP, func(ctx context.Context, r *request) {
		last, payload := s.doHTTP(ctx, f, r)
		if s.release(f.ID, r) {
			s.reply(ctx, last, f.ID, payload)
		}
	})
}

// doHTTP sends the request and the pulled parts of its answer; it returns the last frame.
func (s *Session) doHTTP(ctx context.Context, f wire.Frame, r *request) (wire.Type, []byte) {
	req, err := parseRequest(ctx, f.Payload)
	if err != nil {
		return wire.HTTPError, []byte(err.Error())
	}
	resp, err := s.grants.HTTP.Do(req)
	if err != nil {
		s.countRefusal(err)
		return wire.HTTPError, []byte(err.Error())
	}
	defer func() { _ = resp.Body.Close() }()
	head, err := responseHead(resp)
	if err != nil {
		return wire.HTTPError, []byte(err.Error())
	}
	if !s.reply(ctx, wire.HTTPHead, f.ID, head) {
		return wire.HTTPError, nil
	}
	for {
		select {
		case <-r.pulls:
		case <-ctx.Done():
			return wire.HTTPError, []byte(ctx.Err().Error())
		}
		chunk := make([]byte, chunkBytes)
		n, err := readSome(resp.Body, chunk)
		switch {
		case n > 0:
			if !s.reply(ctx, wire.HTTPBody, f.ID, chunk[:n]) {
				return wire.HTTPError, nil
			}
		case errors.Is(err, io.EOF):
			return wire.HTTPEOF, nil
		default:
			return wire.HTTPError, []byte(err.Error())
		}
	}
}

// readSome reads until something came: some bytes or an error, which the next read will repeat.
func readSome(r io.Reader, b []byte) (int, error) {
	for {
		if n, err := r.Read(b); n > 0 || err != nil {
			return n, err
		}
	}
}

func (s *Session) pullHTTP(id uint32) error {
	s.mu.Lock()
	r := s.requests[id]
	s.mu.Unlock()
	if r == nil || r.kind != requestHTTP {
		return nil // its last frame is on the way
	}
	select {
	case r.pulls <- struct{}{}:
		return nil
	default:
		return protocolError("HTTP_READ for request %d before the last one was answered", id)
	}
}

func parseRequest(ctx context.Context, payload []byte) (*http.Request, error) {
	head, body, err := wire.ParseHead(payload)
	if err != nil {
		return nil, err
	}
	method, url, ok := strings.Cut(head.Line, " ")
	if !ok {
		return nil, fmt.Errorf("request line %q is not a method and a URL", head.Line)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, f := range head.Fields {
		req.Header.Add(f.Name, f.Value)
	}
	return req, nil
}

func responseHead(resp *http.Response) ([]byte, error) {
	head := wire.Head{Line: strconv.Itoa(resp.StatusCode)}
	for name, values := range resp.Header {
		for _, v := range values {
			head.Fields = append(head.Fields, wire.Field{Name: name, Value: v})
		}
	}
	return head.Append(nil)
}

func (s *Session) serveFile(ctx context.Context, f wire.Frame) error {
	s.stats.files.Add(1)
	return s.serve(ctx, f.ID, requestFile, func(ctx context.Context, r *request) {
		t, payload, err := s.doFile(f.Type, string(f.Payload))
		if err != nil {
			s.countRefusal(err)
			t, payload = wire.FileError, fileError(err)
		}
		if s.release(f.ID, r) {
			s.reply(ctx, t, f.ID, payload)
		}
	})
}

func (s *Session) doFile(t wire.Type, name string) (wire.Type, []byte, error) {
	files := s.grants.Files
	switch t {
	case wire.FileGlob:
		names, err := files.Glob(name)
		var list []byte
		for _, n := range names {
			list = append(append(list, n...), 0)
		}
		return wire.FileData, list, err
	case wire.FileStat:
		info, err := files.Stat(name)
		if err != nil {
			return wire.FileInfo, nil, err
		}
		head, err := infoHead(info).Append(nil)
		return wire.FileInfo, head, err
	default:
		content, err := files.ReadFile(name)
		if err == nil && uint64(len(content)) > uint64(s.limits.MessageBytes) {
			err = fmt.Errorf("read %s: %d bytes do not fit in a message of %d", name, len(content), s.limits.MessageBytes)
		}
		return wire.FileData, content, err
	}
}

func infoHead(info fs.FileInfo) wire.Head {
	h := wire.Head{Line: info.Name()}
	h.AddUint("size", uint64(info.Size()))
	h.Fields = append(h.Fields,
		wire.Field{Name: "mode", Value: strconv.FormatUint(uint64(info.Mode().Perm()), 8)},
		wire.Field{Name: "mtime", Value: strconv.FormatInt(info.ModTime().UnixNano(), 10)})
	return h
}

func fileError(err error) []byte {
	code := wire.FileOther
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code = wire.FileNotExist
	case errors.Is(err, grant.ErrNotGranted), errors.Is(err, fs.ErrPermission):
		code = wire.FilePermission
	case errors.Is(err, fs.ErrInvalid):
		code = wire.FileInvalid
	}
	return []byte(code + "\n\n" + err.Error())
}

func (s *Session) serveWatch(ctx context.Context, f wire.Frame) error {
	s.stats.files.Add(1)
	return s.serve(ctx, f.ID, requestWatch, func(ctx context.Context, r *request) {
		changed := func() { s.reply(ctx, wire.FileChanged, f.ID, nil) }
		err := s.grants.Files.Watch(ctx, changed)
		if ctx.Err() == nil {
			s.logger.Warn("files cannot be watched, so the plugin looks at them again and again", "every", lookAgain, "err", err)
			tickUntil(ctx, changed)
		}
		s.release(f.ID, r)
	})
}

// lookAgain is how often a guest is told to look at its files where the system cannot tell when they change, mostly because its
// limit for watches is reached.
const lookAgain = 5 * time.Second

func tickUntil(ctx context.Context, f func()) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		f()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Session) serveDNS(ctx context.Context, f wire.Frame) error {
	s.stats.dns.Add(1)
	return s.serve(ctx, f.ID, requestDNS, func(ctx context.Context, r *request) {
		kind, name, _ := strings.Cut(string(f.Payload), " ")
		t, payload := wire.DNSRecords, []byte(nil)
		records, err := s.grants.DNS.Lookup(ctx, sdk.DNSType(kind), name)
		for _, record := range records {
			payload = fmt.Appendf(payload, "%s %d\n", record.Target, record.Port)
		}
		if err != nil {
			s.countRefusal(err)
			t, payload = wire.DNSError, []byte(err.Error())
		}
		if s.release(f.ID, r) {
			s.reply(ctx, t, f.ID, payload)
		}
	})
}
