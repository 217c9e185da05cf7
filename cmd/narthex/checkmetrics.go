package main

import (
	"errors"
	"fmt"
	goio "io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/scrape/lint"
)

func checkMetricsCommand(io streams) *cobra.Command {
	var extended bool
	var what string
	c := &cobra.Command{
		Use:   "metrics",
		Short: "Check metrics that come on standard input, in Prometheus's text format",
		Long: "Looks for names and metadata that do not follow the conventions, which makes exit code 3, and with --extended\n" +
			"tells how many series each metric has:\n\n" +
			"  curl -s http://localhost:9090/metrics | narthex check metrics",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if what != "all" && what != "none" {
				fmt.Fprintf(io.err, "warning: --lint: %q is neither all nor none: taken as all\n", what)
			}
			if what == "none" && !extended {
				return &usageError{errors.New("--lint=none leaves nothing to do: give --extended, too, or leave it out")}
			}
			body, err := goio.ReadAll(io.in)
			if err != nil {
				return fmt.Errorf("read standard input: %w", err)
			}
			return checkMetrics(io, body, what != "none", extended)
		},
	}
	c.Flags().BoolVar(&extended, "extended", false, "print how many series each metric has")
	c.Flags().StringVar(&what, "lint", "all", "conventions to look at: all or none")
	return c
}

func checkMetrics(io streams, body []byte, conventions, extended bool) error {
	var verdict error
	if conventions {
		problems, err := lint.Problems(body)
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		for _, p := range problems {
			fmt.Fprintln(io.err, p.Metric, p.Text)
			verdict = &findings{code: exitLint}
		}
	}
	if !extended {
		return verdict
	}
	counts, total, err := lint.Count(body)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	w := tabwriter.NewWriter(io.out, 4, 4, 4, ' ', tabwriter.TabIndent)
	fmt.Fprintf(w, "Metric\tCardinality\tPercentage\t\n")
	for _, c := range counts {
		fmt.Fprintf(w, "%s\t%d\t%.2f%%\t\n", c.Metric, c.Series, 100*float64(c.Series)/float64(total))
	}
	fmt.Fprintf(w, "Total\t%d\t100%%\t\n", total)
	return errors.Join(w.Flush(), verdict)
}
