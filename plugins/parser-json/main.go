// Command parser-json is the plugin that makes metrics of JSON. See package jsonmetrics.
package main

import (
	"github.com/narthex-io/narthex/plugins/parser-json/jsonmetrics"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(jsonmetrics.Plugin()) }
