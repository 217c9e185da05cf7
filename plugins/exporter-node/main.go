//go:build linux

// Command exporter-node is the plugin that measures the machine it runs on; see package node.
package main

import (
	"github.com/narthex-io/narthex/plugins/exporter-node/node"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(node.Plugin()) }
