package guest

import "github.com/narthex-io/narthex/sdk"

// usage is what a plugin prints when it was started by hand.
func usage(p sdk.Plugin) string {
	line := p.Manifest.Name + " is a plugin of Narthex and runs inside it: put this file into the plugins directory"
	if len(p.Manifest.Keys) > 0 {
		return line + " and use " + p.Manifest.Keys[0] + " in the config, or try it with: narthex plugin run FILE"
	}
	return line + ", or try it with: narthex plugin run FILE"
}
