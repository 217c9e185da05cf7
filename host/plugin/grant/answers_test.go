package grant

import (
	"errors"
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
		server := func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{StaleHeader: {"9"}}, Body: io.NopCloser(strings.NewReader("keys of " + r.URL.Path))}, nil
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
			resp, err := a.do(r, send)
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
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", maxAnswerBytes+5)))}, nil
		}
		if n := len(ask("GET", "/large", hour, large)); n != maxAnswerBytes+5 {
			t.Errorf("a large answer has %d bytes", n)
		}
		want(ask("GET", "/large", hour, down), "connection refused")
	})
}
