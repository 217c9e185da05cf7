package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host"
)

// promtool is the name under which the program is promtool: its subcommands and nothing else, so that a link with this name
// can take promtool's place.
const promtool = "promtool"

func promtoolCommand(io streams) *cobra.Command {
	root := group(promtool, "The tools of Prometheus, as narthex has them")
	root.Version = fmt.Sprintf("%s, version %s (of %s)", promtool, host.PrometheusVersion, versionText())
	// Scripts may give these before the command. The commands that they matter to have them, too.
	root.PersistentFlags().Bool("experimental", false, "without effect: commands that are experimental in promtool need no permission")
	root.PersistentFlags().StringArray("enable-feature", nil, "comma-separated names of PromQL features to enable; repeatable")
	complete(root, io)
	return root
}
