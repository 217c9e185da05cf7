package grant

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnswers: in the place of an error comes the last good answer, for as long as the guest said, and it says how old it is.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a Answers
		h := grantedTo(t, Options{}, "http://issuer")
		server := func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{StaleHeader: {"9"}}, Body: io.NopCloser(strings.NewReader("keys of " + r.URL.Path))}, nil
		}
		status := func(code int) func(*http.Request) (*http.Response, error) {
			return func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("sorry"))}, nil
			}
		}
		down := func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
		hangs := func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		ask := func(method, path, control string, send func(*http.Request) (*http.Response, error)) string {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), method, "http://issuer"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Cache-Control", control)
			resp, err := a.do(r, h, send)
			if err != nil {
				return err.Error()
			}
			body, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				t.Error(err)
			}
			return strings.TrimSpace(resp.Header.Get(StaleHeader) + " " + string(body))
		}
		want := func(got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		const hour = "no-store, Stale-If-Error=3600"
		want(ask("GET", "/a", hour, down), "connection refused")
		want(ask("GET", "/a", "", server), "9 keys of /a") // Nothing is done to what nobody asked for.
		want(ask("GET", "/a", hour, down), "connection refused")
		want(ask("POST", "/a", hour, server), "9 keys of /a")
		want(ask("GET", "/a", hour, server), "keys of /a")
		time.Sleep(time.Minute)
		want(ask("GET", "/a", hour, down), "60 keys of /a")
		want(ask("GET", "/a", hour, status(502)), "60 keys of /a")
		want(ask("GET", "/a", hour, status(404)), "sorry")
		want(ask("GET", "/a", "stale-if-error=59", down), "connection refused")
		want(ask("GET", "/a", "stale-if-error=many", down), "connection refused")
		want(ask("GET", "/b", hour, down), "connection refused")
		begin := time.Now()
		want(ask("GET", "/a", hour, hangs), "63 keys of /a")
		if took := time.Since(begin); took != answerPatience {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Hour)
		want(ask("GET", "/a", hour, down), "connection refused")
		for i := range maxAnswers { // which pushes the first one out
			want(ask("GET", "/"+string(rune('b'+i)), hour, server), "keys of /"+string(rune('b'+i)))
			time.Sleep(time.Second)
		}
		want(ask("GET", "/a", "stale-if-error=99999999", down), "connection refused")
		want(ask("GET", "/b", hour, down), "16 keys of /b")
		large := func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", maxAnswerBytes+5)))}, nil
		}
		if n := len(ask("GET", "/large", hour, large)); n != maxAnswerBytes+5 {
			t.Errorf("a large answer has %d bytes", n)
		}
		want(ask("GET", "/large", hour, down), "connection refused")
	})
}

// grantedTo grants URLs.
func grantedTo(t *testing.T, o Options, urls ...string) *HTTP {
	t.Helper()
	h, err := newHTTP(fields{written: urls}, o, credentials{}, Implied{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// fetcher sends a request to a URL with fields of a header, and says what came back.
type fetcher struct {
	t    *testing.T
	a    *Answers
	send func(*http.Request) (*http.Response, error)
}

func (f *fetcher) get(h *HTTP, url string, header ...string) string {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Cache-Control", "stale-if-error=3600")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := f.a.do(r, h, f.send)
	if err != nil {
		return err.Error()
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		f.t.Error(err)
	}
	return string(body)
}

// TestAnswersStayApart: what one section's credentials brought is not for another's, nor what is not granted any more.
func TestAnswersStayApart(t *testing.T) {
	const url, secret, down = "http://issuer/keys", "what was kept", "connection refused"
	a := &Answers{}
	f := fetcher{t: t, a: a}
	failing := func(*http.Request) (*http.Response, error) { return nil, errors.New(down) }
	from := func(final string, header http.Header) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			last, err := http.NewRequestWithContext(r.Context(), http.MethodGet, final, http.NoBody)
			if err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(secret)), Request: last}, nil
		}
	}
	want := func(about, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", about, got, want)
		}
	}
	first := grantedTo(t, Options{ClientKey: "one"}, "http://issuer", "http://elsewhere")
	f.send = from(url, http.Header{})
	want("good", f.get(first, url), secret)

	f.send = failing
	want("the same", f.get(grantedTo(t, Options{ClientKey: "one"}, "http://issuer"), url), secret)
	want("another client", f.get(grantedTo(t, Options{ClientKey: "two"}, "http://issuer"), url), down)
	other, err := newHTTP(fields{written: []string{"http://issuer"}}, Options{ClientKey: "one"}, credentials{username: "x", basic: true}, Implied{})
	if err != nil {
		t.Fatal(err)
	}
	want("other credentials", f.get(other, url), down)

	refuse := fmt.Errorf("connect to issuer: its address is this machine's own: %w", ErrNotGranted)
	f.send = func(*http.Request) (*http.Response, error) { return nil, refuse }
	want("refused", f.get(first, url), refuse.Error())

	f.send = from("http://elsewhere/keys", http.Header{})
	want("redirected", f.get(first, url), secret)
	f.send = failing
	want("redirected to what is granted", f.get(first, url), secret)
	want("redirected to what is not granted any more", f.get(grantedTo(t, Options{ClientKey: "one"}, "http://issuer"), url), down)

	for about, odd := range map[string]struct {
		header http.Header
		url    string
		fields []string
	}{
		"credentials of the guest's own": {http.Header{}, "http://issuer/own", []string{"Authorization", "Bearer x"}},
		"a cookie":                       {http.Header{}, "http://issuer/cookie", []string{"Cookie", "a=b"}},
		"a large header":                 {http.Header{"X": {strings.Repeat("x", maxHeaderBytes)}}, "http://issuer/header", nil},
		"a long address":                 {http.Header{}, "http://issuer/" + strings.Repeat("x", maxURLBytes), nil},
	} {
		f.send = from(odd.url, odd.header)
		want(about, f.get(first, odd.url, odd.fields...), secret)
		f.send = failing
		want(about, f.get(first, odd.url, odd.fields...), down)
	}
}
