package host

import (
	"fmt"
	"slices"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/sdk"
)

// signers are the auth plugins in use that sign requests. It implements httpclient.Signers.
type signers struct {
	running[signerKey, *plugin.Signer]
}

// signerKey names a signer: the same section elsewhere has the same one.
type signerKey struct{ key, config, dir string }

func keyOf(a *httpclient.Auth) signerKey { return signerKey{a.Key, string(a.JSON), a.Dir} }

// Signer returns what signs requests for a section.
func (s *signers) Signer(a *httpclient.Auth) (sdk.Signer, error) {
	found, ok := s.get(keyOf(a))
	if !ok {
		return nil, fmt.Errorf("the plugin for %s is not running", a.Key)
	}
	return found, nil
}

// signings are the sections for plugins that sign requests, each once.
type signings struct {
	keys []signerKey
	// uses are those of the keys, in the same order; first is where they begin among all uses.
	uses  []plugin.Use
	first int
}

// running returns the signers in use.
func (s *signings) running(change *plugin.Change) map[signerKey]*plugin.Signer {
	found := map[signerKey]*plugin.Signer{}
	for i, key := range s.keys {
		found[key] = change.Signer(s.first + i)
	}
	return found
}

// sign adds a section for a plugin that signs requests; nil is none. place is that of the section around it, below origin.
func (n *needs) sign(owner string, auth *httpclient.Auth, origin config.Origin, place string) {
	if auth == nil || slices.Contains(n.signing.keys, keyOf(auth)) {
		return
	}
	n.signing.keys = append(n.signing.keys, keyOf(auth))
	i := len(n.signing.uses)
	n.signing.uses = append(n.signing.uses, plugin.Use{}) // Its section may hold another one.
	use := n.pluginUse(owner, auth.Key, strictyaml.Join(place, auth.Key), auth.JSON, origin)
	use.Kind, use.Alternatives = sdk.KindAuthOutbound, httpclient.Fields()
	n.signing.uses[i] = use
}
