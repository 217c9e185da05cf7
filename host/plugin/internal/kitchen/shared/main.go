// Command shared is the kitchen plugin as a guest that can share its process with others.
package main

import (
	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() {
	p := kitchen.Plugin()
	p.Manifest.Shared = true
	guest.Main(p)
}
