// Command sd-acme discovers the targets that its config lists.
package main

import (
	"context"
	"encoding/json"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest"
)

type acme struct{ Targets []string }

func (a *acme) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	updates <- []sdk.Group{{Source: "acme", Targets: a.Targets, Labels: map[string]string{"__meta_acme": "yes"}}}
	<-ctx.Done()
	return ctx.Err()
}

func main() {
	guest.Main(sdk.Plugin{
		Manifest: sdk.Manifest{Name: "sd-acme", Kinds: []sdk.Kind{sdk.KindDiscovery}, Keys: []string{"acme_sd_configs"}},
		NewDiscovery: func(config sdk.Config, _ sdk.Host) (sdk.Discovery, error) {
			a := &acme{}
			return a, json.Unmarshal(config, a)
		},
	})
}
