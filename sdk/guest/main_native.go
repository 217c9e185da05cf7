//go:build !wasip1

package guest

import "github.com/narthex-io/narthex/sdk"

// Main serves p.
func Main(p sdk.Plugin) { panic(usage(p)) }
