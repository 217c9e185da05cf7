package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/tsdb"
	"github.com/narthex-io/narthex/tsdb/inspect"
)

// defaultDir is the data directory that commands look at.
const defaultDir = "data/"

func tsdbCommand(io streams) *cobra.Command {
	c := group("tsdb", "Look into data directories and make blocks")
	c.AddCommand(tsdbListCommand(io), tsdbAnalyzeCommand(io), tsdbDumpCommand(io), tsdbDumpOpenMetricsCommand(io),
		createBlocksCommand(io), tsdbBenchCommand(io))
	return c
}

// atMost allows up to n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return &usageError{fmt.Errorf("%s, of which %d are understood: %s", counted(len(args), "argument"), n, cmd.UseLine())}
		}
		return nil
	}
}

// argument returns the argument at i, or what stands for it when it is missing.
func argument(args []string, i int, missing string) string {
	if i < len(args) {
		return args[i]
	}
	return missing
}

func tsdbListCommand(io streams) *cobra.Command {
	var human bool
	c := &cobra.Command{
		Use:   "list [DIR]",
		Short: "List the blocks of a data directory",
		Long:  "Lists the blocks of a data directory, data/ unless another one is named. It may be in use, and is not changed.",
		Args:  atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			blocks, damaged, err := inspect.Blocks(argument(args, 0, defaultDir))
			if err != nil {
				return err
			}
			if err := inspect.WriteTable(io.out, blocks, human); err != nil {
				return err
			}
			if len(damaged) > 0 {
				return &findings{exitFailure, errors.Join(damaged...)}
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&human, "human-readable", "r", false, "print times as dates and sizes in units")
	return c
}

func tsdbAnalyzeCommand(io streams) *cobra.Command {
	var opts inspect.AnalyzeOptions
	c := &cobra.Command{
		Use:   "analyze [DIR [BLOCK]]",
		Short: "Show which labels make a block large, what churns, and how well chunks are filled",
		Long: "Shows of a block, the newest of a data directory unless another one is named, which labels have the most values, which are in\n" +
			"the most series, and which are in series that do not last.",
		Args: atMost(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			opts.Dir, opts.Block = argument(args, 0, defaultDir), argument(args, 1, "")
			if opts.Selector != "" {
				sets, err := selectors([]string{opts.Selector})
				if err != nil {
					return err
				}
				opts.Matchers = sets[0]
			}
			log := newDamageLog(io)
			opts.Damaged = log.report
			if err := inspect.Analyze(cmd.Context(), io.out, opts); err != nil {
				return err
			}
			return log.verdict()
		},
	}
	c.Flags().IntVar(&opts.Limit, "limit", 20, "how many entries each list has")
	c.Flags().BoolVar(&opts.Extended, "extended", false, "show how well the chunks are filled, too")
	c.Flags().StringVar(&opts.Selector, "match", "", "selector of the series that count; all if none is given")
	return c
}

// dumpFlags are those of both commands that print samples.
type dumpFlags struct {
	match            []string
	minTime, maxTime int64
	format           string
	sandbox          string
}

func (f *dumpFlags) add(c *cobra.Command) {
	c.Args = atMost(1)
	c.Flags().StringArrayVar(&f.match, "match", []string{"{__name__=~'(?s:.*)'}"}, "selector of series; repeatable")
	c.Flags().Int64Var(&f.minTime, "min-time", math.MinInt64, "first time, in milliseconds since 1970")
	c.Flags().Int64Var(&f.maxTime, "max-time", math.MaxInt64, "last time")
	c.Flags().StringVar(&f.sandbox, "sandbox-dir-root", "", "where promtool writes temporary files; nothing is written here")
}

func tsdbDumpCommand(io streams) *cobra.Command {
	var f dumpFlags
	c := &cobra.Command{
		Use:   "dump [DIR]",
		Short: "Print the samples of a data directory",
		Long: "Prints the samples of a data directory, data/ unless another one is named: a line each, with labels, value and milliseconds.\n" +
			"The directory may be in use, and is not changed. What is damaged is named and left out, and the command fails in the end.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.format != string(inspect.FormatProm) && f.format != string(inspect.FormatSeriesJSON) {
				return &usageError{fmt.Errorf("--format: %q is neither prom nor seriesjson", f.format)}
			}
			return f.dump(cmd.Context(), io, argument(args, 0, defaultDir))
		},
	}
	f.add(c)
	c.Flags().StringVar(&f.format, "format", string(inspect.FormatProm), "prom for samples, seriesjson for the labels of series alone")
	return c
}

func tsdbDumpOpenMetricsCommand(io streams) *cobra.Command {
	f := dumpFlags{format: string(inspect.FormatOpenMetrics)}
	c := &cobra.Command{
		Use:   "dump-openmetrics [DIR]",
		Short: "Print the samples of a data directory as OpenMetrics",
		Long: "Prints the samples of a data directory in the text format that create-blocks-from openmetrics reads. Native histograms have no\n" +
			"place in it and are left out; the markers of series that end become NaN.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.dump(cmd.Context(), io, argument(args, 0, defaultDir))
		},
	}
	f.add(c)
	return c
}

func (f *dumpFlags) dump(ctx context.Context, io streams, dir string) (err error) {
	matchers, err := selectors(f.match)
	if err != nil {
		return err
	}
	log := newDamageLog(io)
	db, err := tsdb.OpenReadOnly(ctx, tsdb.Options{Dir: dir, Logger: slog.New(log), SkipDamage: true})
	if errors.Is(err, tsdb.ErrNoData) || errors.Is(err, fs.ErrNotExist) {
		return &findings{exitFailure, fmt.Errorf("%s is no data directory: %w", dir, err)}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q, err := db.Querier(f.minTime, f.maxTime)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	err = inspect.Dump(ctx, io.out, inspect.DumpOptions{Querier: q, Matchers: matchers, Format: inspect.Format(f.format), Failed: log.report})
	if err != nil {
		return err
	}
	return log.verdict()
}

// selectors parses selectors of series.
func selectors(texts []string) ([][]*labels.Matcher, error) {
	sets, err := parser.New(parser.Options{}).ParseMetricSelectors(texts)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--match: %w", err)}
	}
	return sets, nil
}

// damageLog prints what is wrong with a data directory, and counts what is missing for it.
type damageLog struct {
	slog.Handler
	io      streams
	damaged *atomic.Int64
}

func newDamageLog(io streams) *damageLog {
	h := slog.NewTextHandler(io.err, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return &damageLog{h, io, &atomic.Int64{}}
}

// Handle implements [slog.Handler].
func (l *damageLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		l.damaged.Add(1)
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (l *damageLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &damageLog{l.Handler.WithAttrs(attrs), l.io, l.damaged}
}

// WithGroup implements [slog.Handler].
func (l *damageLog) WithGroup(name string) slog.Handler {
	return &damageLog{l.Handler.WithGroup(name), l.io, l.damaged}
}

// report prints one thing that could not be read.
func (l *damageLog) report(err error) {
	l.damaged.Add(1)
	fmt.Fprintf(l.io.err, "damaged: %v\n", err)
}

// verdict is an error if anything was damaged.
func (l *damageLog) verdict() error {
	if l.damaged.Load() == 0 {
		return nil
	}
	return &findings{exitFailure, errors.New("parts of the data directory are damaged, as said above: what they held is missing")}
}
