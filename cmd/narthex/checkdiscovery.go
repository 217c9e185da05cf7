package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/model/labels"
)

// shownCandidate is what check service-discovery prints of a target.
type shownCandidate struct {
	Discovered labels.Labels `json:"discoveredLabels"`
	Labels     labels.Labels `json:"labels"`
	Error      string        `json:"error,omitempty"`
}

func checkDiscoveryCommand(io streams) *cobra.Command {
	var directories []string
	var trusted trustFlags
	var timeout string
	c := &cobra.Command{
		Use:   "service-discovery FILE JOB",
		Short: "Show which targets the discoveries of a job find, before and after relabelling",
		Long: "Runs the discoveries of one job and prints, as JSON, the labels of each target before and after relabelling; those\n" +
			"after it are empty where a target is dropped. It ends when each discovery has answered and nothing new comes, or\n" +
			"after --timeout. Nothing is scraped.",
		Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			limit, err := model.ParseDuration(timeout)
			if err != nil || limit == 0 {
				return &usageError{fmt.Errorf("--timeout: %q is no duration such as 30s", timeout)}
			}
			opts, err := checkOptions(io, directories, &trusted)
			if err != nil {
				return err
			}
			opts.PluginLogger = slog.New(slog.NewTextHandler(io.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			found, err := host.Discover(cmd.Context(), args[0], args[1], time.Duration(limit), opts)
			if err != nil {
				return &findings{exitFailure, err}
			}
			for _, reason := range found.Silent {
				fmt.Fprintf(io.err, "warning: %v\n", reason)
			}
			return writeJSON(io, shownCandidates(found.Targets))
		},
	}
	c.Flags().StringArrayVar(&directories, "plugins.directory", nil, "directory to search for plugins first; repeatable")
	c.Flags().StringVar(&timeout, "timeout", "30s", "how long to wait for the discoveries")
	trusted.add(c.Flags())
	return c
}

func shownCandidates(found []scrape.Candidate) []shownCandidate {
	shown := make([]shownCandidate, len(found))
	for i, c := range found {
		shown[i] = shownCandidate{Discovered: c.Discovered, Labels: c.Labels}
		if c.Err != nil {
			shown[i].Error = c.Err.Error()
		}
	}
	return shown
}
