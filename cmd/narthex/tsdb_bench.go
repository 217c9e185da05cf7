package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/tsdb/writebench"
)

func tsdbBenchCommand(io streams) *cobra.Command {
	c := group("bench", "Measure the storage")
	c.AddCommand(tsdbBenchWriteCommand(io))
	return c
}

func tsdbBenchWriteCommand(io streams) *cobra.Command {
	opts := writebench.Options{Report: io.out}
	c := &cobra.Command{
		Use:   "write FILE",
		Short: "Measure how fast samples are written",
		Long: "Writes samples to a new storage and prints how many it takes in a second. The file has the labels of a series in each line,\n" +
			"such as narthex tsdb dump --format=seriesjson prints. The storage and profiles are left in a folder.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("name the file with series: %s", cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.SeriesFile = args[0]
			return writebench.Run(cmd.Context(), opts)
		},
	}
	c.Flags().StringVar(&opts.OutDir, "out", "benchout", "folder for the storage and profiles; what an earlier run left there is replaced")
	c.Flags().IntVar(&opts.Series, "metrics", 10_000, "how many series to read at most")
	c.Flags().IntVar(&opts.Scrapes, "scrapes", 3000, "how many samples to write for each series")
	return c
}
