package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/backfill"
	"github.com/narthex-io/narthex/host/rules/history"
	"github.com/narthex-io/narthex/tsdb/inspect"
)

// createFlags are those of both commands that make blocks.
type createFlags struct {
	human, quiet bool
	span         string
}

func createBlocksCommand(io streams) *cobra.Command {
	var f createFlags
	c := group("create-blocks-from", "Make blocks of samples from elsewhere")
	c.PersistentFlags().BoolVarP(&f.human, "human-readable", "r", false, "print times as dates and sizes in units")
	c.PersistentFlags().BoolVarP(&f.quiet, "quiet", "q", false, "do not print which blocks were made")
	c.PersistentFlags().StringVar(&f.span, "max-block-duration", "", "how long a block may be at most, such as 18h; two hours and less mean two hours")
	c.AddCommand(createFromOpenMetricsCommand(io, &f), createFromRulesCommand(io, &f))
	return c
}

// blockSpan returns the range of the blocks that are made.
func (f *createFlags) blockSpan() (time.Duration, error) {
	if f.span == "" {
		return backfill.BlockSpan(0), nil
	}
	limit, err := model.ParseDuration(f.span)
	if err != nil {
		return 0, &usageError{fmt.Errorf("--max-block-duration: %q is no duration such as 18h", f.span)}
	}
	return backfill.BlockSpan(time.Duration(limit)), nil
}

func createFromOpenMetricsCommand(io streams, f *createFlags) *cobra.Command {
	var pairs []string
	c := &cobra.Command{
		Use:   "openmetrics FILE [DIR]",
		Short: "Make blocks of samples in the OpenMetrics text format",
		Long: "Makes blocks of two hours each of the samples in a file, which need a timestamp each and may come in any order, below a\n" +
			"directory, data/ unless another one is named. It may be that of a server, which finds the blocks within a minute. - stands\n" +
			"for the standard input. The blocks appear when all are complete; on a mistake, which is named with its line, none does.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{fmt.Errorf("name the file to read: %s", cmd.UseLine())}
			}
			return atMost(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := parseLabels(pairs)
			if err != nil {
				return err
			}
			span, err := f.blockSpan()
			if err != nil {
				return err
			}
			opts := backfill.Options{Name: args[0], OutputDir: argument(args, 1, defaultDir), Labels: set, Span: span}
			return f.importFile(cmd.Context(), io, opts)
		},
	}
	c.Flags().StringArrayVar(&pairs, "label", nil, "label to set on each series, as name=value; repeatable")
	return c
}

func (f *createFlags) importFile(ctx context.Context, io streams, opts backfill.Options) (err error) {
	in, err := openInput(io, opts.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	opts.Input = in
	metas, err := backfill.Import(ctx, opts)
	if mistake, ok := errors.AsType[*backfill.Error](err); ok {
		return &findings{exitFailure, mistake}
	}
	if err != nil || f.quiet {
		return err
	}
	if len(metas) == 0 {
		fmt.Fprintf(io.err, "%s has no samples: there is no block\n", opts.Name)
		return nil
	}
	var blocks []inspect.Block
	for _, m := range metas {
		b, err := inspect.Open(filepath.Join(opts.OutputDir, m.ULID.String()))
		if err != nil {
			return err
		}
		blocks = append(blocks, b)
	}
	return inspect.WriteTable(io.out, blocks, f.human)
}

func openInput(streams streams, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(streams.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.Join(fmt.Errorf("%s is a folder, and no file in the OpenMetrics format", name), f.Close())
	}
	return f, nil
}

// parseLabels reads name=value, or name:value as promtool does.
func parseLabels(pairs []string) (map[string]string, error) {
	set := map[string]string{}
	for _, p := range pairs {
		at := strings.IndexAny(p, "=:")
		if at <= 0 {
			return nil, &usageError{fmt.Errorf("--label: %q is not of the form name=value", p)}
		}
		if !utf8.ValidString(p) {
			return nil, &usageError{fmt.Errorf("--label: %q is not valid UTF-8", p)}
		}
		set[p[:at]] = p[at+1:]
	}
	return set, nil
}

func createFromRulesCommand(io streams, f *createFlags) *cobra.Command {
	b := ruleBackfill{streams: io}
	c := b.command("rules FILE...")
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, paths []string) (err error) {
		b.quiet = f.quiet
		if b.span, err = f.blockSpan(); err != nil {
			return err
		}
		return run(cmd, paths)
	}
	return c
}

// ruleBackfill makes blocks of what recording rules would have recorded.
type ruleBackfill struct {
	streams
	past
	output string
	// span is the range of a block; zero means two hours.
	span  time.Duration
	quiet bool
}

func (b *ruleBackfill) command(use string) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: "Make blocks of what recording rules would have recorded",
		Long: "Evaluates recording rules for a time that is past and writes blocks of two hours each. Repeat the command after it\n" +
			"was ended, and it goes on where it was. A rule may read what another one of the files records if the source is a\n" +
			"data directory; with a server, backfill the other one first. The end is three hours ago unless it is given.",
		RunE: func(cmd *cobra.Command, paths []string) error { return b.run(cmd.Context(), paths) },
	}
	b.addFlags(c)
	c.Flags().StringVar(&b.output, "output-dir", defaultDir, "directory in which the blocks appear")
	return c
}

func (b *ruleBackfill) run(ctx context.Context, paths []string) (err error) {
	start, end, err := b.times(backfillLag)
	if err != nil {
		return err
	}
	cfg, err := b.config(paths)
	if err != nil {
		return err
	}
	source, closing, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	return history.Backfill(ctx, history.BackfillOptions{
		Source: source, OutputDir: b.output, Config: cfg, Start: start, End: end, Span: b.span,
		Open: func() (history.Window, error) { return openScratch(ctx, max(scratchSpan, 3*b.span)) },
		Done: b.done,
	})
}

// done tells of a window that is behind.
func (b *ruleBackfill) done(w history.BackfillWindow) {
	if b.quiet {
		return
	}
	at := w.Start.UTC().Format(time.RFC3339)
	switch {
	case w.Before:
		fmt.Fprintf(b.out, "%s block %s is there already\n", at, w.Block)
	case w.Samples == 0:
		fmt.Fprintf(b.out, "%s no samples\n", at)
	default:
		fmt.Fprintf(b.out, "%s block %s with %s\n", at, w.Block, counted(w.Samples, "sample"))
	}
}
