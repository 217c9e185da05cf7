// Command sd-flaky is a discovery that dies when it is told to.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest"
)

// flaky sends its targets, unless the file in Mood says how to die.
type flaky struct {
	Targets []string
	Mood    string
	host    sdk.Host
}

func (f *flaky) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	changes := f.host.Files.Changes(ctx)
	f.live()
	updates <- []sdk.Group{{Source: "flaky", Targets: f.Targets}}
	for {
		select {
		case <-changes:
			f.live()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// live dies if that is the mood.
func (f *flaky) live() {
	mood, err := f.host.Files.ReadFile(f.Mood)
	if err != nil {
		panic(err)
	}
	switch strings.TrimSpace(string(mood)) {
	case "panic":
		panic("in a bad mood")
	case "exit":
		fmt.Fprintln(os.Stderr, "leaving")
		os.Exit(3)
	}
}

func main() {
	guest.Main(sdk.Plugin{
		Manifest: sdk.Manifest{
			Name: "sd-flaky", Kinds: []sdk.Kind{sdk.KindDiscovery}, Keys: []string{"flaky_sd_configs"}, Asks: sdk.Asks{Files: []string{"mood"}},
		},
		NewDiscovery: func(config sdk.Config, h sdk.Host) (sdk.Discovery, error) {
			f := &flaky{host: h}
			return f, json.Unmarshal(config, f)
		},
	})
}
