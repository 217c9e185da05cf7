package plugin

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// addKinds adds a parser, a signer and an authenticator that claims the same key, and a plugin that is both.
func (b *bench) addKinds() {
	b.Helper()
	for _, m := range []sdk.Manifest{
		{Name: "parser-p", Kinds: []sdk.Kind{sdk.KindParser}, ContentTypes: []string{"a/b"}, ContentType: "application/openmetrics-text"},
		{Name: "auth-s", Kinds: []sdk.Kind{sdk.KindAuthOutbound}, Keys: []string{"s_auth"}},
		{Name: "auth-t", Kinds: []sdk.Kind{sdk.KindAuthInbound}, Keys: []string{"s_auth", "t_auth"}},
	} {
		b.manifests[m.Name] = m
		b.write(m.Name+".wasm", m.Name)
	}
}

// as is on with a kind.
func as(kind sdk.Kind, what, config string) Use {
	u := on(what, config)
	u.Kind = kind
	return u
}

func TestParsers(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.addKinds()
		ch := b.apply(on("parser-p", `1`))
		p := ch.Parser(0)
		if ch.Exporter(0) != nil || ch.Signer(0) != nil || ch.Authenticator(0) != nil {
			t.Error("a parser is something else too")
		}
		parse := func() (string, error) {
			var out bytes.Buffer
			err := p.Parse(t.Context(), []byte("body"), "a/b", &out)
			return out.String(), err
		}
		got, err := parse()
		want(t, "output", got, "a/b body 1")
		want(t, "error", err, nil)
		want(t, "name", p.Name(), "parser-p")
		want(t, "content type", p.ContentType(), "application/openmetrics-text")
		want(t, "content types", p.ContentTypes()[0], "a/b")
		want(t, "use", b.info("parser-p").Uses[0].Name, "parser parser-p")
		want(t, "place without workers", b.info("parser-p").Uses[0].Place, "inline")

		// A body at a time: a second one waits for its turn, as long as its context lets it.
		slow := b.apply(on("parser-p", `1`), on("parser-p", `"slow"`)).Parser(1)
		ended := make(chan error, 1)
		go func() { ended <- slow.Parse(t.Context(), nil, "", io.Discard) }()
		synctest.Wait()
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := slow.Parse(late, nil, "", io.Discard); err == nil || !strings.Contains(err.Error(), "plugin parser-p is busy with other bodies") {
			t.Errorf("a second body: %v", err)
		}
		want(t, "calls", b.last().calls.Load(), int32(1))
		close(b.last().release)
		want(t, "the first body", <-ended, nil)
		want(t, "the next body", slow.Parse(t.Context(), nil, "", io.Discard), nil)

		// While the guest is away, a body waits for its successor.
		b.guest("parser-p", "1").trap()
		synctest.Wait()
		soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err = p.Parse(soon, nil, "", io.Discard); err == nil || !strings.Contains(err.Error(), "plugin parser-p is being restarted") {
			t.Errorf("while the guest is away: %v", err)
		}
		if _, err = parse(); err != nil {
			t.Error(err)
		}

		// The successor starts beside the old one, which still answers for a while.
		b.write("parser-p.wasm", "new")
		next := b.apply(on("parser-p", `1`)).Parser(0)
		if next == p || next.Fingerprint() == p.Fingerprint() {
			t.Error("a new file makes no new parser")
		}
		if _, err = parse(); err != nil {
			t.Errorf("the old parser, during the swap: %v", err)
		}
		time.Sleep(drainTime)
		synctest.Wait()
		if _, err = parse(); err == nil || !strings.Contains(err.Error(), ErrClosed.Error()) {
			t.Errorf("the old parser, after it: %v", err)
		}
	})
}

// TestParserMemory makes sure that a body that is too large for the guest's memory does not end it again and again.
func TestParserMemory(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.addKinds()
		p := b.apply(on("parser-p", `"slow"`)).Parser(0)
		die := func(size int, reason session.Reason) error {
			t.Helper()
			before := b.count()
			ended := make(chan error, 1)
			go func() { ended <- p.Parse(t.Context(), make([]byte, size), "", io.Discard) }()
			synctest.Wait()
			b.last().die(&session.EndError{Reason: reason})
			err := <-ended
			time.Sleep(2 * maxPause)
			synctest.Wait()
			want(t, "guests", b.count(), before+1)
			return err
		}
		refused := func(size int) bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := p.Parse(ctx, make([]byte, size), "", io.Discard)
			return strings.Contains(err.Error(), "raise plugins.settings.parser-p.limits.memory")
		}
		for _, err := range []error{die(100, session.ReasonMemory), die(4<<20, session.ReasonTrap)} {
			want(t, "reason", session.ReasonOf(err) != "", true)
		}
		want(t, "refused", refused(4<<20), false) // neither too small nor for another reason
		_ = die(4<<20, session.ReasonMemory)
		want(t, "refused", refused(4<<20), true)
		want(t, "larger refused", refused(5<<20), true)
		want(t, "smaller refused", refused(3<<20), false)
		_ = die(2<<20, session.ReasonMemory)
		want(t, "smaller refused", refused(3<<20), true)
	})
}

func TestAuth(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.addKinds()
		// One key, claimed by one plugin of each kind: the use's kind decides.
		ch := b.apply(as(sdk.KindAuthOutbound, "s_auth", `1`), as(sdk.KindAuthInbound, "s_auth", `1`))
		want(t, "signer", ch.Signer(0).Name(), "auth-s")
		want(t, "authenticator", ch.Authenticator(1).Name(), "auth-t")
		want(t, "kinds", ch.Signer(1) == nil && ch.Authenticator(0) == nil && ch.Notifier(0) == nil, true)

		h, err := ch.Signer(0).Sign(t.Context(), sdk.AuthRequest{Method: "GET"})
		want(t, "signature", h.Get("X-Signed"), "GET1")
		want(t, "error", err, nil)

		a := ch.Authenticator(1)
		id, err := a.Authenticate(t.Context(), sdk.AuthRequest{Method: "1"})
		want(t, "user", id.User, "ann")
		want(t, "error", err, nil)
		_, err = a.Authenticate(t.Context(), sdk.AuthRequest{Method: "2"})
		challenge, ok := sdk.IsUnauthenticated(err)
		want(t, "challenge", challenge, "Fake")
		want(t, "unauthenticated", ok, true)
		_, err = a.Authenticate(t.Context(), sdk.AuthRequest{Method: "DELETE"})
		want(t, "forbidden", sdk.IsForbidden(err), true)

		for _, g := range b.guests {
			g.trap()
		}
		synctest.Wait()
		_, err = a.Authenticate(t.Context(), sdk.AuthRequest{Method: "1"})
		if _, ok := sdk.IsUnauthenticated(err); err == nil || ok || sdk.IsForbidden(err) {
			t.Errorf("without a guest there is a verdict: %v", err)
		}
		if h, err := ch.Signer(0).Sign(t.Context(), sdk.AuthRequest{}); err == nil || h != nil {
			t.Errorf("without a guest there is a signature: %v, %v", h, err)
		}
	})
}

func TestKindsRefuse(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.addKinds()
		refuses := func(u Use, parts ...string) {
			t.Helper()
			_, err := b.Prepare(t.Context(), Config{}, []Use{u})
			for _, part := range parts {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %v; want %q", u.name(), err, part)
				}
			}
		}
		refuses(as(sdk.KindAuthOutbound, "t_auth", `1`), "no plugin claims the key t_auth as auth-outbound (", "auth-t.wasm is auth-inbound)", "found s_auth")
		refuses(as(sdk.KindAuthOutbound, "u_auth", `1`), "no plugin claims the key u_auth;", "found s_auth")
		refuses(on("parser-q", `1`), "there is no plugin parser-q", "found parser-p")
		refuses(as(sdk.KindParser, "exporter-x", `1`), "exporter-x) is of the kind exporter, not parser")
		refuses(on("sigv4", `1`), "no plugin claims the key sigv4")

		b.manifests["auth-s"] = sdk.Manifest{Name: "auth-s", Kinds: []sdk.Kind{sdk.KindAuthOutbound}, Keys: []string{"basic_auth"}}
		b.write("auth-s.wasm", "greedy")
		refuses(as(sdk.KindAuthOutbound, "s_auth", `1`), `claims the key "basic_auth", which`)

		b.manifests["auth-s"] = sdk.Manifest{Name: "auth-s", Kinds: []sdk.Kind{sdk.KindAuthInbound}, Keys: []string{"t_auth"}}
		b.write("auth-s.wasm", "rival")
		refuses(as(sdk.KindAuthInbound, "t_auth", `1`), "claimed by auth-s", "and by auth-t")
	})
}

func TestLikelyNames(t *testing.T) {
	for _, c := range []struct {
		use  Use
		want string
	}{
		{Use{Key: "my_file_sd_configs"}, "sd-my-file"},
		{Use{Key: "webhook_notify_configs"}, "notify-webhook"},
		{Use{Key: "sigv4", Kind: sdk.KindAuthOutbound}, "auth-sigv4"},
		{Use{Key: "acme_corp_auth", Kind: sdk.KindAuthInbound}, "auth-acme-corp"},
		{Use{Plugin: "parser-json", Kind: sdk.KindParser}, "parser-json"},
	} {
		want(t, c.use.name(), c.use.likelyName(), c.want)
	}
	for key, ok := range map[string]bool{"sigv4": true, "jwt_auth": true, "basic_auth": false, "_auth": false, "a-b_auth": false, "sigv4_": false} {
		want(t, key, IsAuthKey(key), ok)
	}
}
