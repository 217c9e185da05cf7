// Command sd-consul is the plugin behind consul_sd_configs: targets from Consul's catalog. See package consul.
package main

import (
	"github.com/narthex-io/narthex/plugins/sd-consul/consul"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(consul.Plugin()) }
