// Package jwtauth lets requests in that carry a JSON Web Token which an issuer that the operator trusts has signed for
// this server.
//
// Start with [Plugin], [ParseConfig] and [Authenticator]. The signature and the times of a token are checked by
// golang-jwt; here are the choice of the key, the rules of who may do what, and a memory of tokens that were good. Only
// public keys are ever used: an algorithm with a shared secret cannot be configured, and what a token says about where its
// key is to be found is not looked at. Nobody logs in here: tokens come from elsewhere.
package jwtauth

import (
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Plugin returns the plugin for guest.Main.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "auth-jwt",
			Version: "0.1.0",
			Kinds:   []sdk.Kind{sdk.KindAuthInbound},
			Keys:    []string{"jwt_auth"},
			Asks:    sdk.Asks{HTTP: []string{"jwks_url"}, Files: []string{"jwks_file"}},
		},
		NewAuthenticator: func(c sdk.Config, h sdk.Host) (sdk.Authenticator, error) {
			config, err := ParseConfig(c)
			if err != nil {
				return nil, err
			}
			return New(config, h, time.Now), nil
		},
	}
}
