// Command sd-dns is the plugin behind dns_sd_configs: targets from DNS records. See package dns.
package main

import (
	"github.com/narthex-io/narthex/plugins/sd-dns/dns"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(dns.Plugin()) }
