package grant

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What is kept for a plugin, in memory, and for how long it may be of use. An answer has a body, and a header and an address, each with
// a limit.
const (
	maxAnswers     = 16
	maxAnswerBytes = 1 << 20
	maxHeaderBytes = 16 << 10
	maxURLBytes    = 4 << 10
	maxAnswerAge   = 7 * 24 * time.Hour
	// answerPatience is how long an answer may take for which there is one that is kept.
	answerPatience = 3 * time.Second
)

// StaleHeader is the field of an answer that is kept from before: its age, in seconds. Whoever is asked does not get to set it.
const StaleHeader = "Narthex-Stale"

// Answers keeps the last good answers to requests of a plugin that say Cache-Control: stale-if-error=SECONDS, as RFC 5861 has it, for
// as long as that. A guest that takes the place of another gets them while whoever is asked is down, and so can begin with what its
// predecessor knew, provided that it asks with the same credentials and may ask whoever the answer came from in the end. Answers to
// requests with credentials of the guest's own are not kept. It is safe for concurrent use.
type Answers struct {
	mu   sync.Mutex
	kept map[question]answer
}

// question is what an answer answers.
type question struct {
	url string
	as  identity
}

// identity is the same for those who ask with the same credentials, in which nobody can find them.
type identity [sha256.Size]byte

// identify returns who asks through a client, of which key changes when its credentials and settings do, with the section's credentials.
func identify(key string, c credentials) identity {
	return sha256.Sum256(fmt.Appendf(nil, "%q %#v %q %q", key, c.header, c.username, c.password)) // maps are printed in order
}

type answer struct {
	from   *url.URL // where redirects led
	header http.Header
	body   []byte
	at     time.Time
}

// do sends a request of h, and answers in its place when that fails. What is refused is not answered.
func (a *Answers) do(r *http.Request, h *HTTP, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	most, ok := staleIfError(r)
	if a == nil || !ok {
		return send(r)
	}
	q := question{url: r.URL.String(), as: h.identity}
	old, found := a.get(q, most)
	found = found && h.Check(old.from) == nil
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if found {
		ctx, cancel = context.WithTimeout(ctx, answerPatience)
	}
	resp, err := a.receive(q, r.WithContext(ctx), send)
	if failed(resp, err) && found && r.Context().Err() == nil {
		if err == nil {
			_ = resp.Body.Close()
		}
		cancel()
		return old.response(r), nil
	}
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = cancelling{resp.Body, cancel}
	return resp, nil
}

// failed reports whether something else should be answered: a refusal is what the guest has to see, and the operator in its API.
func failed(resp *http.Response, err error) bool {
	if err != nil {
		return !errors.Is(err, ErrNotGranted)
	}
	return resp.StatusCode >= http.StatusInternalServerError
}

// receive sends a request, and keeps the answer if it is good.
func (a *Answers) receive(q question, r *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	resp, err := send(r)
	if err != nil {
		return nil, err
	}
	resp.Header.Del(StaleHeader)
	if resp.StatusCode != http.StatusOK {
		return resp, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	if len(body) <= maxAnswerBytes && headerBytes(resp.Header) <= maxHeaderBytes {
		from := r.URL
		if resp.Request != nil {
			from = resp.Request.URL
		}
		a.put(q, answer{from: from, header: resp.Header.Clone(), body: body, at: time.Now()})
	}
	resp.Body = rest{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
	return resp, nil
}

func headerBytes(h http.Header) (n int) {
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}

// staleIfError returns how old an answer may be in the place of an error; false means that none is kept.
func staleIfError(r *http.Request) (time.Duration, bool) {
	if r.Method != http.MethodGet || r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" || len(r.URL.String()) > maxURLBytes {
		return 0, false
	}
	for directive := range strings.SplitSeq(r.Header.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if seconds, err := strconv.ParseUint(value, 10, 31); err == nil && strings.EqualFold(name, "stale-if-error") {
			return min(time.Duration(seconds)*time.Second, maxAnswerAge), true
		}
	}
	return 0, false
}

func (a *Answers) get(q question, most time.Duration) (answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, ok := a.kept[q]
	return found, ok && time.Since(found.at) <= most
}

// put keeps an answer; the oldest one goes when there are many.
func (a *Answers) put(q question, new answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = map[question]answer{}
	}
	a.kept[q] = new
	if len(a.kept) <= maxAnswers {
		return
	}
	oldest := q
	for u := range maps.Keys(a.kept) {
		if a.kept[u].at.Before(a.kept[oldest].at) {
			oldest = u
		}
	}
	delete(a.kept, oldest)
}

// response is what a guest gets of a kept answer.
func (a answer) response(r *http.Request) *http.Response {
	header := a.header.Clone()
	header.Set(StaleHeader, strconv.FormatInt(int64(time.Since(a.at)/time.Second), 10))
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}
}

// rest reads what was read already, and then what was not.
type rest struct {
	io.Reader
	io.Closer
}

// cancelling ends a request when its answer is closed.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (c cancelling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}
