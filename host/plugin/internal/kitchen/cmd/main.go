// Command cmd is the kitchen plugin as a guest.
package main

import (
	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(kitchen.Plugin()) }
