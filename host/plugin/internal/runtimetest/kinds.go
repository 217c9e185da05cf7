package runtimetest

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

func (s Suite) parser(t *testing.T) {
	parse := func(sess *session.Session, body, contentType string) (string, error) {
		var out bytes.Buffer
		err := sess.Parser().Parse(t.Context(), []byte(body), contentType, &out)
		return out.String(), err
	}
	t.Run("body", func(t *testing.T) {
		sess := s.Open(t, sdk.KindParser, kitchen.Config{Do: "count"})
		for _, c := range []struct{ body, contentType, want string }{
			{"a\nb\n", `text/x; a="b"`, "body_bytes{type=\"text/x; a=\\\"b\\\"\"} 4\nbody_lines 2\n"},
			{"", "", "body_bytes{type=\"\"} 0\nbody_lines 0\n"},
			{"\n\nname: value\n\n", "a/b", "body_bytes{type=\"a/b\"} 15\nbody_lines 4\n"}, // looks like a head
		} {
			if out, err := parse(sess, c.body, c.contentType); err != nil || out != c.want {
				t.Errorf("Parse(%q) = %q, %v; want %q", c.body, out, err, c.want)
			}
		}
		if sess.Exporter() != nil || sess.Signer() != nil || sess.Authenticator() != nil {
			t.Error("a parser's session hands out something else")
		}
	})
	t.Run("large", func(t *testing.T) {
		sess := s.Open(t, sdk.KindParser, kitchen.Config{Do: "copy"})
		body := strings.Repeat("0123456789abcde\n", 4<<20/16)
		if out, err := parse(sess, body, ""); err != nil || out != body {
			t.Errorf("a body of %d bytes comes back with %d, %v", len(body), len(out), err)
		}
	})
	t.Run("limits", func(t *testing.T) {
		sess := s.Open(t, sdk.KindParser, kitchen.Config{Do: "copy"}, func(o *session.Options) {
			o.Limits.OutputBytes, o.Limits.MessageBytes = 1000, 2000
		})
		_, err := parse(sess, strings.Repeat("x", 1001), "")
		wantError(t, err, "limit of 1000")
		_, err = parse(sess, strings.Repeat("x", 2001), "")
		wantError(t, err, "plugin kitchen", "CALL")
		if out, err := parse(sess, strings.Repeat("x", 1000), ""); len(out) != 1000 || err != nil {
			t.Errorf("got %d bytes, %v", len(out), err)
		}
		_, err = parse(sess, "", "a/b\nc: d")
		wantError(t, err, "plugin kitchen", "line break")
	})
	t.Run("error", func(t *testing.T) {
		_, err := parse(s.Open(t, sdk.KindParser, kitchen.Config{Do: "fail", Text: "line 3: no number"}), "x", "")
		wantError(t, err, "plugin kitchen", "line 3: no number")
	})
	t.Run("cancel", func(t *testing.T) {
		sess := s.Open(t, sdk.KindParser, kitchen.Config{Do: "wait"})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		wantError(t, sess.Parser().Parse(ctx, nil, "", &bytes.Buffer{}), "context deadline exceeded")
	})
	t.Run("concurrent", func(t *testing.T) {
		sess := s.Open(t, sdk.KindParser, kitchen.Config{Do: "lines", Text: "> "})
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				body := strings.Repeat(strconv.Itoa(i)+"\n", 10_000)
				want := strings.ReplaceAll(body, strconv.Itoa(i), "> "+strconv.Itoa(i))
				if out, err := parse(sess, body, ""); err != nil || out != want {
					t.Errorf("call %d: %d bytes, %v", i, len(out), err)
				}
			})
		}
		all.Wait()
	})
}

func (s Suite) signer(t *testing.T) {
	r := sdk.AuthRequest{
		Method: "POST", URL: "https://a.example/write?x=1", BodySHA256: strings.Repeat("0a", 32),
		Header: sdk.Header{"X-Multi": {"one", "", "t:wo"}, "Host": {"a.example"}},
	}
	t.Run("sign", func(t *testing.T) {
		sess := s.Open(t, sdk.KindAuthOutbound, kitchen.Config{Do: "echo"})
		h, err := sess.Signer().Sign(t.Context(), r)
		got := strings.Join([]string{
			strings.Join(h.Values("X-Request"), " "), h.Get("X-Digest"), h.Get("x-remote"),
			strings.Join(h.Values("X-Multi"), ","), h.Get("Host"),
		}, "|")
		if want := "POST https://a.example/write?x=1|" + r.BodySHA256 + "||one,,t:wo|a.example"; err != nil || got != want {
			t.Errorf("Sign = %q, %v; want %q", got, err, want)
		}
	})
	fails := func(name string, c kitchen.Config, r sdk.AuthRequest, want string) {
		t.Run(name, func(t *testing.T) {
			h, err := s.Open(t, sdk.KindAuthOutbound, c).Signer().Sign(t.Context(), r)
			if wantError(t, err, "plugin kitchen", want); h != nil {
				t.Errorf("there is an error, and the header %v", h)
			}
		})
	}
	fails("error", kitchen.Config{Do: "fail", Text: "no key"}, r, "no key")
	fails("line-break", kitchen.Config{Do: "break"}, r, "line break")
	fails("control-character", kitchen.Config{Do: "control"}, r, "does not fit into a header")
	fails("field-name", kitchen.Config{Do: "name"}, r, "does not fit into a header")
	fails("request", kitchen.Config{Do: "echo"}, sdk.AuthRequest{Method: "GET", URL: "a\nb"}, "line break")
	t.Run("cancel", func(t *testing.T) {
		sess := s.Open(t, sdk.KindAuthOutbound, kitchen.Config{Do: "wait"})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := sess.Signer().Sign(ctx, r)
		wantError(t, err, "context deadline exceeded")
	})
}

func (s Suite) authenticator(t *testing.T) {
	ask := func(sess *session.Session, fields ...string) (sdk.Identity, error) {
		h := sdk.Header{}
		for i := 0; i < len(fields); i += 2 {
			h.Set(fields[i], fields[i+1])
		}
		return sess.Authenticator().Authenticate(t.Context(), sdk.AuthRequest{
			Method: "GET", URL: "/api/v1/query?query=a%0Ab", Header: h, RemoteAddr: "[::1]:7",
		})
	}
	t.Run("verdicts", func(t *testing.T) {
		sess := s.Open(t, sdk.KindAuthInbound, kitchen.Config{Do: "token", Text: "please"})
		if id, err := ask(sess, "Authorization", "Kitchen please", "X-User", "ann: b"); err != nil || id.User != "ann: b" {
			t.Errorf("allowed %+v, %v", id, err)
		}
		_, err := ask(sess)
		wantError(t, err, "GET /api/v1/query?query=a%0Ab from [::1]:7")
		if challenge, ok := sdk.IsUnauthenticated(err); challenge != `Kitchen realm="a b"` || !ok {
			t.Errorf("challenge %q, %t", challenge, ok)
		}
		_, err = ask(sess, "Authorization", "Kitchen now")
		wantError(t, err, "wrapped: wrong words")
		if challenge, ok := sdk.IsUnauthenticated(err); challenge != "" || !ok || sdk.IsForbidden(err) {
			t.Errorf("challenge %q, %t", challenge, ok)
		}
		_, err = ask(sess, "authorization", "Kitchen please", "x-user", "mallory")
		wantError(t, err, "wrapped: not mallory")
		if _, ok := sdk.IsUnauthenticated(err); ok || !sdk.IsForbidden(err) {
			t.Errorf("%v is not the verdict forbidden", err)
		}
		if st := sess.Stats(); st.CallsFailed != 0 {
			t.Errorf("%d verdicts count as failed calls", st.CallsFailed)
		}
	})
	t.Run("no-verdict", func(t *testing.T) {
		for _, c := range []kitchen.Config{{Do: "fail", Text: "no keys"}, {Do: "break"}} {
			_, err := ask(s.Open(t, sdk.KindAuthInbound, c))
			wantError(t, err, "plugin kitchen")
			if _, ok := sdk.IsUnauthenticated(err); ok || sdk.IsForbidden(err) {
				t.Errorf("%s: %v is a verdict", c.Do, err)
			}
		}
	})
	t.Run("many-fields", func(t *testing.T) {
		sess := s.Open(t, sdk.KindAuthInbound, kitchen.Config{Do: "token", Text: "please"})
		r := sdk.AuthRequest{Method: "GET", URL: "/", Header: sdk.Header{"X-A": make([]string, 5000)}}
		if _, err := sess.Authenticator().Authenticate(t.Context(), r); !sdk.IsForbidden(err) {
			t.Errorf("a request with 5000 fields: %v", err)
		}
		if _, err := ask(sess, "Authorization", "Kitchen please"); err != nil {
			t.Errorf("the next request: %v", err)
		}
	})
}
