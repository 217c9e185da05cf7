package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/debuginfo"
)

// debugArchive is the file that the commands write, in the current directory.
const debugArchive = "debug.tar.gz"

func debugCommand(io streams) *cobra.Command {
	c := group("debug", "Collect what a server says about its own state")
	var client clientFlags
	client.addConfig(c.PersistentFlags())
	profile := c.PersistentFlags().Int("seconds", 30, "how long the profile of the processor and the trace take, each")
	collect := func(name, short string, pages func() []debuginfo.Page) *cobra.Command {
		return &cobra.Command{
			Use:   name + " SERVER",
			Short: short + ", into " + debugArchive,
			Args:  oneArg,
			RunE: func(cmd *cobra.Command, args []string) error {
				if *profile < 1 {
					return &usageError{fmt.Errorf("--seconds: %d is less than 1", *profile)}
				}
				return collectDebug(cmd, io, &client, args[0], pages())
			},
		}
	}
	profiles := func() []debuginfo.Page { return debuginfo.Profiles(fmt.Sprint(*profile)) }
	c.AddCommand(
		collect("pprof", "Collect profiles", profiles),
		collect("metrics", "Collect metrics", debuginfo.Metrics),
		collect("all", "Collect profiles and metrics", func() []debuginfo.Page { return append(profiles(), debuginfo.Metrics()...) }),
	)
	return c
}

func collectDebug(cmd *cobra.Command, io streams, flags *clientFlags, server string, pages []debuginfo.Page) (err error) {
	client, err := flags.open(server)
	if err != nil {
		return err
	}
	f, err := os.Create(debugArchive)
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	got, err := debuginfo.Collect(cmd.Context(), client, pages, f, func(p debuginfo.Page) {
		fmt.Fprintf(io.out, "collecting: %s/%s\n", client.Server(), p.Path)
	})
	switch {
	case got == 0:
		return errors.Join(err, os.Remove(debugArchive))
	case err != nil:
		return fmt.Errorf("%s is not complete: %w", debugArchive, err)
	}
	fmt.Fprintf(io.out, "all is in %s\n", debugArchive)
	return nil
}
