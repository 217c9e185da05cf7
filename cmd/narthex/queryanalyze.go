package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/bucketuse"
)

func queryAnalyzeCommand(out streams, q *queryFlags) *cobra.Command {
	var server, what, duration, at string
	var selectors []string
	c := &cobra.Command{
		Use:   "analyze --type histogram --match SELECTOR",
		Short: "Show how many buckets of histograms hold anything",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if what != "histogram" {
				return &usageError{fmt.Errorf("--type: %q is not histogram, which is all that can be analyzed", what)}
			}
			if len(selectors) == 0 {
				return &usageError{errors.New("--match is needed: a selector of histograms, or of the buckets of classic ones")}
			}
			before, err := parseStep(duration)
			if err != nil || before < time.Millisecond {
				return &usageError{fmt.Errorf("--duration: %q is no duration such as 1h", duration)}
			}
			end, err := timeFlag("time", at, time.Now())
			if err != nil {
				return err
			}
			client, err := q.open(server)
			if err != nil {
				return err
			}
			ctx, cancel := within(cmd.Context())
			defer cancel()
			all := []bucketuse.Histogram{}
			var warnings []string
			for _, s := range selectors {
				found, warned, err := bucketuse.Analyze(ctx, client, s, before, end)
				if err != nil {
					return err
				}
				all, warnings = append(all, found...), append(warnings, warned...)
			}
			return q.printResult(out, warnings, all, func() error { return bucketuse.WriteText(out.out, all) })
		},
	}
	c.Flags().StringVar(&server, "server", defaultServer, "server to ask")
	c.Flags().StringVar(&what, "type", "histogram", "what to analyze: histogram")
	c.Flags().StringVar(&duration, "duration", "1h", "how far back to look")
	c.Flags().StringVar(&at, "time", "", "until when, in Unix seconds or RFC 3339; now if it is not given")
	c.Flags().StringArrayVar(&selectors, "match", nil, "selector of histograms; repeatable")
	return c
}
