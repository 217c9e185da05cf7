package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host"
)

func checkCommand(io streams) *cobra.Command {
	check := &cobra.Command{Use: "check", Short: "Check files for mistakes", Args: noArgs}
	var directories []string
	config := &cobra.Command{
		Use:   "config FILE...",
		Short: "Check configuration files, the plugins that they use included",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			var errs []error
			for _, file := range files {
				jobs, err := host.CheckConfig(cmd.Context(), file, host.CheckOptions{
					Getenv:            os.Getenv,
					PluginDirectories: pluginDirectories(directories),
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
