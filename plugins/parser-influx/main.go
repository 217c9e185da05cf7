// Command parser-influx is the plugin that reads InfluxDB's line protocol. See package influx.
package main

import (
	"github.com/narthex-io/narthex/plugins/parser-influx/influx"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(influx.Plugin()) }
