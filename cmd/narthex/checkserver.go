package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/web"
)

// checkStateCommand asks for a state that servers report below /-/.
func checkStateCommand(io streams, state string) *cobra.Command {
	var client clientFlags
	var server string
	c := &cobra.Command{
		Use:   state,
		Short: "Check whether a server is " + state,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asked, err := client.open(server)
			if err != nil {
				return err
			}
			ctx, cancel := within(cmd.Context())
			defer cancel()
			var answer bytes.Buffer
			if err := asked.Fetch(ctx, "-/"+state, &answer); err != nil {
				return fmt.Errorf("the server is not %s: %w", state, err)
			}
			fmt.Fprintf(io.err, "  SUCCESS: %s\n", strings.TrimSpace(answer.String()))
			return nil
		},
	}
	c.Flags().StringVar(&server, "url", defaultServer, "server to ask")
	client.addConfig(c.Flags())
	return c
}

func checkWebConfigCommand(io streams) *cobra.Command {
	return &cobra.Command{
		Use:   "web-config FILE...",
		Short: "Check files for --web.config.file, with TLS and passwords",
		Args:  atLeastOne("name the files to check"),
		RunE: func(_ *cobra.Command, files []string) error {
			v := verdicts{streams: io}
			for _, file := range files {
				if err := web.CheckConfigFile(file); err != nil {
					v.failed = true
					fmt.Fprintf(io.err, "%s FAILED: %v\n", file, err)
					continue
				}
				fmt.Fprintf(io.err, "%s SUCCESS\n", file)
			}
			return v.result()
		},
	}
}
