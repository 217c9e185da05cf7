package access

import (
	"slices"
	"strings"

	"github.com/narthex-io/narthex/sdk"
)

// Policy says whose requests are answered. It is not changed once it is in force.
type Policy struct {
	// Entries are asked in order, until one accepts the request. Without any, everybody may do everything.
	Entries []Authenticator
	// PublicPaths are those of [Config].
	PublicPaths []string
	// Starting refuses everything but the public paths, because nobody who could judge runs yet.
	Starting bool
}

// Authenticator is an entry that judges requests.
type Authenticator struct {
	// Name is the entry's place, such as web.auth[0].jwt_auth, for logs.
	Name string
	sdk.Authenticator
}

// open reports whether everybody may do everything.
func (p *Policy) open() bool { return !p.Starting && len(p.Entries) == 0 }

// public reports whether a path is open to everybody.
func (p *Policy) public(path string) bool {
	return slices.ContainsFunc(p.PublicPaths, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(path, prefix)
		}
		return path == pattern
	})
}
