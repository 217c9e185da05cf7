// Package sigv4 signs requests with AWS's Signature Version 4, as Prometheus's section sigv4 asks for, with credentials of the
// section or of AWS's default chain: environment, shared files, web identity, container, instance.
//
// Start with [Plugin]; [Config] is the section, chain.go the order in which credentials are looked for, sign.go the signature.
// What the chain reads comes from the host, which gives it because the section is called sigv4: the variables and files of AWS,
// the services on the machine that hand out credentials, and STS. AWS SSO and programs that print credentials are not there in a
// sandbox.
package sigv4

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Plugin returns the plugin for guest.Main.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "auth-sigv4",
			Version: "0.1.0",
			Kinds:   []sdk.Kind{sdk.KindAuthOutbound},
			Keys:    []string{"sigv4"},
			Asks:    sdk.Asks{Env: variables()},
		},
		NewSigner: func(text sdk.Config, h sdk.Host) (sdk.Signer, error) {
			config, err := ParseConfig(text)
			if err != nil {
				return nil, err
			}
			return newSigner(config, h, time.Now), nil
		},
	}
}

// signer implements sdk.Signer.
type signer struct {
	service string
	now     func() time.Time
	cache   *cache

	mu  sync.Mutex
	key signingKey // the last one used
}

func newSigner(config Config, h sdk.Host, now func() time.Time) *signer {
	c := &chain{config: config, host: h, now: now}
	return &signer{service: config.service(), now: now, cache: &cache{fetch: c.fetch, now: now}}
}

// Sign implements sdk.Signer.
func (s *signer) Sign(ctx context.Context, r sdk.AuthRequest) (sdk.Header, error) {
	grant, err := s.cache.get(ctx)
	if err != nil {
		return nil, err
	}
	at := s.now().UTC()
	header, err := sign(r, grant.credentials, s.keyFor(grant, at), at)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return header, nil
}

// keyFor returns the key of a day, which takes longer to make than a signature.
func (s *signer) keyFor(g grant, at time.Time) signingKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := scope{date: at.Format(dateFormat), region: g.region, service: s.service}
	if s.key.scope != want || s.key.secret != g.secretKey {
		s.key = deriveKey(g.secretKey, want)
	}
	return s.key
}
