package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host"
)

func checkCommand(io streams) *cobra.Command {
	check := group("check", "Check files for mistakes")
	var directories []string
	config := &cobra.Command{
		Use:   "config FILE...",
		Short: "Check configuration files, the plugins that they use included",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{fmt.Errorf("name the files to check: %s", cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			var errs []error
			for _, file := range files {
				jobs, err := host.CheckConfig(cmd.Context(), file, host.CheckOptions{
					Getenv:            os.Getenv,
					PluginDirectories: pluginDirectories(directories),
					PluginWorker:      ownBinary(),
				})
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(io.out, "%s: valid, %d scrape configs\n", file, jobs)
			}
			if err := errors.Join(errs...); err != nil {
				return &host.ConfigError{Err: err}
			}
			return nil
		},
	}
	config.Flags().StringArrayVar(&directories, "plugins.directory", nil, "directory to search for plugins first; repeatable")
	check.AddCommand(config)
	return check
}
