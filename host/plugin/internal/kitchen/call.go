package kitchen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/narthex-io/narthex/sdk"
)

// parser does with a body what is asked for, and otherwise what the exporter does.
type parser struct{ exporter }

// Parse implements sdk.Parser.
func (p *parser) Parse(ctx context.Context, body []byte, contentType string, w io.Writer) error {
	switch p.config.Do {
	case "copy":
		_, err := w.Write(body)
		return err
	case "count":
		_, err := fmt.Fprintf(w, "body_bytes{type=%q} %d\nbody_lines %d\n", contentType, len(body), strings.Count(string(body), "\n"))
		return err
	case "lines": // Text comes before each line.
		for line := range strings.Lines(string(body)) {
			if _, err := fmt.Fprintf(w, "%s%s", p.config.Text, line); err != nil {
				return err
			}
		}
		return nil
	}
	return p.Collect(ctx, w)
}

type signer struct{ config Config }

// Sign implements sdk.Signer.
func (s *signer) Sign(ctx context.Context, r sdk.AuthRequest) (sdk.Header, error) {
	switch s.config.Do {
	case "echo":
		return sdk.Header{
			"X-Request": {r.Method, r.URL}, "X-Digest": {r.BodySHA256}, "X-Remote": {r.RemoteAddr},
			"X-Multi": r.Header.Values("x-multi"), "Host": {r.Header.Get("host")},
		}, nil
	case "token":
		return sdk.Header{"Authorization": {"Kitchen " + s.config.Text}}, nil
	case "break":
		return sdk.Header{"X-A": {"one\nX-B: two"}}, nil
	case "control":
		return sdk.Header{"X-A": {"a\x00b"}}, nil
	case "name":
		return sdk.Header{"X A": {"b"}}, nil
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, errors.New(s.config.Text)
}

type authenticator struct{ config Config }

// Authenticate implements sdk.Authenticator: the header has to hold Kitchen and Text, from whom is the value of X-User, and
// mallory is kept out.
func (a *authenticator) Authenticate(ctx context.Context, r sdk.AuthRequest) (sdk.Identity, error) {
	switch user := r.Header.Get("X-User"); {
	case a.config.Do == "wait":
		<-ctx.Done()
		return sdk.Identity{}, ctx.Err()
	case a.config.Do == "break":
		return sdk.Identity{}, sdk.Unauthenticated(errors.New("line\nbreak"), "Kitchen\nX-A: b")
	case a.config.Do == "fail":
		return sdk.Identity{}, errors.New(a.config.Text)
	case r.Header.Get("Authorization") == "":
		return sdk.Identity{}, sdk.Unauthenticated(errors.New(r.Method+" "+r.URL+" from "+r.RemoteAddr), `Kitchen realm="a b"`)
	case r.Header.Get("Authorization") != "Kitchen "+a.config.Text:
		return sdk.Identity{}, fmt.Errorf("wrapped: %w", sdk.Unauthenticated(errors.New("wrong words"), ""))
	case user == "mallory":
		return sdk.Identity{}, fmt.Errorf("wrapped: %w", sdk.Forbidden(errors.New("not "+user)))
	default:
		return sdk.Identity{User: user}, nil
	}
}
