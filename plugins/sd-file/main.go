// Command sd-file is the plugin behind file_sd_configs: targets from JSON and YAML files. See package file.
package main

import (
	"github.com/narthex-io/narthex/plugins/sd-file/file"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(file.Plugin()) }
