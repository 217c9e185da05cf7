// Command minimal is the smallest useful guest: a discovery of one fixed target. Tests and measurements run it.
package main

import (
	"context"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest"
)

type fixed struct{}

// Run implements sdk.Discovery.
func (fixed) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	select {
	case updates <- []sdk.Group{{Source: "fixed", Targets: []string{"localhost:9090"}}}:
	case <-ctx.Done():
	}
	<-ctx.Done()
	return ctx.Err()
}

func main() {
	guest.Main(sdk.Plugin{
		Manifest:     sdk.Manifest{Name: "sd-minimal", Kinds: []sdk.Kind{sdk.KindDiscovery}, Keys: []string{"minimal_sd_configs"}},
		NewDiscovery: func(sdk.Config, sdk.Host) (sdk.Discovery, error) { return fixed{}, nil },
	})
}
