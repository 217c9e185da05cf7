// Command sd-http is the plugin behind http_sd_configs: targets from an HTTP endpoint. See package http.
package main

import (
	"github.com/narthex-io/narthex/plugins/sd-http/http"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(http.Plugin()) }
