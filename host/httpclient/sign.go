package httpclient

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/sdk"
)

// signing is the innermost of a client's round trippers: what it signs goes out as it is. It signs requests to the origin that
// the first request of a chain of redirects was for, and lets those to others through without anything that is meant for it.
type signing struct {
	auth    *Auth
	signers Signers
	next    http.RoundTripper
}

// RoundTrip implements http.RoundTripper. A request that cannot be signed is not sent.
func (s *signing) RoundTrip(r *http.Request) (*http.Response, error) {
	if leavesOrigin(r) {
		return s.next.RoundTrip(withoutCredentials(r))
	}
	signed, err := s.sign(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // As a round tripper has to.
		}
		return nil, fmt.Errorf("%s: %w", s.auth.Key, err)
	}
	return s.next.RoundTrip(signed)
}

// CloseIdleConnections closes connections that nobody uses.
func (s *signing) CloseIdleConnections() {
	if c, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// ofNothing is the digest of an empty body.
const ofNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// sign returns a copy of r with what the plugin adds, and with its body in memory.
func (s *signing) sign(r *http.Request) (*http.Request, error) {
	signer, err := s.signers.Signer(s.auth)
	if err != nil {
		return nil, err
	}
	out := r.Clone(r.Context())
	// Form encoding has two ways to write a blank, and signatures know one of them.
	out.URL.RawQuery = strings.ReplaceAll(out.URL.RawQuery, "+", "%20")
	digest, err := buffer(out)
	if err != nil {
		return nil, err
	}
	header := sdk.Header(out.Header.Clone())
	header.Set("Host", out.URL.Host)
	if out.Host != "" {
		header.Set("Host", out.Host)
	}
	u := *out.URL
	u.User, u.Fragment, u.RawFragment = nil, "", "" // They are not part of what is sent.
	added, err := signer.Sign(r.Context(), sdk.AuthRequest{Method: cmp.Or(r.Method, http.MethodGet), URL: u.String(), Header: header, BodySHA256: digest})
	if err != nil {
		return nil, err
	}
	for name, values := range added {
		name = http.CanonicalHeaderKey(name)
		if slices.Contains([]string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Te", "Upgrade"}, name) {
			return nil, fmt.Errorf("the plugin sets the header %s, which is not a matter of signing", name)
		}
		out.Header[name] = values
	}
	return out, nil
}

// buffer reads the body of r, has r send what was read, and returns its digest.
func buffer(r *http.Request) (digest string, err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return ofNothing, nil
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return "", fmt.Errorf("read the body of the request: %w", err)
	}
	r.ContentLength, r.TransferEncoding = int64(len(body)), nil
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	if len(body) == 0 {
		r.Body, r.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), nil
}

// leavesOrigin reports whether r follows redirects away from the scheme, host and port that were asked for. What has left
// does not come back: who answers elsewhere shall not choose what is signed.
func leavesOrigin(r *http.Request) bool {
	first := r
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	for at := r; at != first; at = at.Response.Request {
		if !sameOrigin(at, first) {
			return true
		}
	}
	return false
}

func sameOrigin(a, b *http.Request) bool {
	return strings.EqualFold(a.URL.Scheme, b.URL.Scheme) && strings.EqualFold(a.URL.Hostname(), b.URL.Hostname()) && port(a) == port(b)
}

func port(r *http.Request) string {
	if p := r.URL.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[strings.ToLower(r.URL.Scheme)]
}

// withoutCredentials returns a copy of r without the fields that the configuration may have added for another host.
func withoutCredentials(r *http.Request) *http.Request {
	out := r.Clone(r.Context())
	maps.DeleteFunc(out.Header, func(name string, _ []string) bool {
		return slices.Contains([]string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Proxy-Authenticate", "Www-Authenticate"}, name)
	})
	return out
}
