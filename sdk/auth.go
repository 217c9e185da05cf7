package sdk

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Signer adds what proves who is asking to the requests that the host sends.
type Signer interface {
	// Sign returns the fields to set in r's header, which replace those of the same name. The host sends nothing when it
	// fails. It may be called from several goroutines at once, and stops early, with ctx's error, when ctx is done.
	Sign(ctx context.Context, r AuthRequest) (Header, error)
}

// Authenticator tells who sent a request to the host, and whether they may.
type Authenticator interface {
	// Authenticate returns who sent r. An error refuses the request: one made by [Unauthenticated] with status 401, one made
	// by [Forbidden] with 403, and any other with 503, because then nobody knows. It may be called from several goroutines
	// at once, and stops early, with ctx's error, when ctx is done.
	Authenticate(ctx context.Context, r AuthRequest) (Identity, error)
}

// AuthRequest is a request that a [Signer] signs or an [Authenticator] judges. It is not to be changed.
type AuthRequest struct {
	Method string
	// URL is whole for a signer, and what stands in the request line for an authenticator: a path and a query.
	URL string
	// Header is the request's as far as it is known, Host included.
	Header Header
	// BodySHA256 is the digest of the body in lower-case hexadecimal, for a signer. It is that of nothing for a request
	// without a body.
	BodySHA256 string
	// RemoteAddr is where the request came from, as host:port, for an authenticator. It may be a proxy's.
	RemoteAddr string
}

// Identity is who sent a request.
type Identity struct {
	// User is a name for people and for logs. It may be empty.
	User string
}

// Header holds fields by name, each with its values in order. The host writes names in canonical form, such as
// X-Scope-Orgid.
type Header map[string][]string

// Get returns the first value of a field, whatever the case of its name, or "".
func (h Header) Get(name string) string {
	for _, v := range h.Values(name) {
		return v
	}
	return ""
}

// Values returns all values of a field, whatever the case of its name. They are not to be changed.
func (h Header) Values(name string) []string {
	if v, ok := h[name]; ok {
		return v
	}
	var all []string
	for _, n := range h.names() {
		if strings.EqualFold(n, name) {
			all = append(all, h[n]...)
		}
	}
	return all
}

// Set makes value the only one of the field called name.
func (h Header) Set(name, value string) { h[name] = []string{value} }

func (h Header) names() []string {
	names := make([]string, 0, len(h))
	for n := range h {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Unauthenticated marks err, of [Authenticator.Authenticate], as one of a request that does not prove who sent it, or wrongly.
// challenge is the value of the answer's field WWW-Authenticate, such as Bearer; empty means that there is none.
func Unauthenticated(err error, challenge string) error {
	if err == nil {
		return nil
	}
	return &unauthenticatedError{err, challenge}
}

// IsUnauthenticated reports whether err, or one that it wraps, was made by [Unauthenticated], and returns its challenge.
func IsUnauthenticated(err error) (challenge string, ok bool) {
	e, ok := errors.AsType[*unauthenticatedError](err)
	if !ok {
		return "", false
	}
	return e.challenge, true
}

// Forbidden marks err, of [Authenticator.Authenticate], as one of a request whose sender is known and may not make it.
func Forbidden(err error) error {
	if err == nil {
		return nil
	}
	return &forbiddenError{err}
}

// IsForbidden reports whether err, or one that it wraps, was made by [Forbidden].
func IsForbidden(err error) bool {
	_, ok := errors.AsType[*forbiddenError](err)
	return ok
}

type unauthenticatedError struct {
	err       error
	challenge string
}

func (e *unauthenticatedError) Error() string { return e.err.Error() }
func (e *unauthenticatedError) Unwrap() error { return e.err }

type forbiddenError struct{ err error }

func (e *forbiddenError) Error() string { return e.err.Error() }
func (e *forbiddenError) Unwrap() error { return e.err }
