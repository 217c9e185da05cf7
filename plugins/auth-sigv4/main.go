// Command auth-sigv4 is the plugin behind sigv4: it signs requests for AWS. See package sigv4.
package main

import (
	"github.com/narthex-io/narthex/plugins/auth-sigv4/sigv4"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(sigv4.Plugin()) }
