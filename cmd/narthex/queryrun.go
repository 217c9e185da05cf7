package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/narthex-io/narthex/host/apiclient"
	"github.com/narthex-io/narthex/host/rules"
)

// The formats of results.
const (
	formatText = "promql"
	formatJSON = "json"
)

// queryFlags are those of all query commands.
type queryFlags struct {
	clientFlags
	format string
}

func (q *queryFlags) add(fs *pflag.FlagSet) {
	fs.StringVarP(&q.format, "format", "o", formatText, "format of what is printed: promql or json")
	q.addConfig(fs)
	q.addHeaders(fs)
}

// open returns a client of the server at a URL.
func (q *queryFlags) open(server string) (*apiclient.Client, error) {
	if q.format != formatText && q.format != formatJSON {
		return nil, &usageError{fmt.Errorf("--format: %q is neither %s nor %s", q.format, formatText, formatJSON)}
	}
	return q.clientFlags.open(server)
}

// printResult writes a result as one line of JSON, or what text returns, and what the server warned of to standard error.
func (q *queryFlags) printResult(out streams, warnings []string, v any, text func() error) error {
	for _, w := range warnings {
		fmt.Fprintf(out.err, "warning: %s\n", w)
	}
	if q.format == formatJSON {
		return json.NewEncoder(out.out).Encode(v)
	}
	return text()
}

// timeFlag reads the time that a flag gives.
func timeFlag(name, text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	t, err := rules.ParseTime(text)
	if err != nil {
		return t, &usageError{fmt.Errorf("--%s: %w", name, err)}
	}
	return t, nil
}

// rangeFlags are the first and the last time that a query asks for.
type rangeFlags struct{ start, end string }

func (r *rangeFlags) add(fs *pflag.FlagSet, defaults string) {
	fs.StringVar(&r.start, "start", "", "first time, in Unix seconds or RFC 3339; "+defaults)
	fs.StringVar(&r.end, "end", "", "last time, in the same form")
}

// read returns the times, those given in place of the defaults.
func (r *rangeFlags) read(defaultStart, defaultEnd time.Time) (start, end time.Time, err error) {
	if end, err = timeFlag("end", r.end, defaultEnd); err != nil {
		return start, end, err
	}
	start, err = timeFlag("start", r.start, defaultStart)
	return start, end, err
}

// longAgo is how far before now, and after it, series are looked for where no time is given: further than servers go by
// themselves.
const longAgo = 9999 * time.Hour

func queryInstantCommand(out streams, q *queryFlags) *cobra.Command {
	var at string
	c := &cobra.Command{
		Use:   "instant SERVER EXPR",
		Short: "Evaluate an expression on a server, at one time",
		Args:  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := timeFlag("time", at, time.Now())
			if err != nil {
				return err
			}
			client, err := q.open(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := within(cmd.Context())
			defer cancel()
			v, warnings, err := client.Query(ctx, args[1], t)
			if err != nil {
				return err
			}
			return q.printResult(out, warnings, v, func() error { return printLines(out, []any{v}) })
		},
	}
	c.Flags().StringVar(&at, "time", "", "when to evaluate, in Unix seconds or RFC 3339; now if it is not given")
	return c
}

func queryRangeCommand(out streams, q *queryFlags) *cobra.Command {
	var within5m rangeFlags
	var step string
	c := &cobra.Command{
		Use:   "range SERVER EXPR",
		Short: "Evaluate an expression on a server, at each step of a range of time",
		Args:  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			start, end, err := within5m.read(time.Time{}, now)
			if err != nil {
				return err
			}
			if within5m.start == "" {
				start = end.Add(-5 * time.Minute)
			}
			if !start.Before(end) {
				return &usageError{errors.New("--start is not before --end")}
			}
			every, err := stepOf(step, end.Sub(start))
			if err != nil {
				return &usageError{err}
			}
			client, err := q.open(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := within(cmd.Context())
			defer cancel()
			v, warnings, err := client.QueryRange(ctx, args[1], start, end, every)
			if err != nil {
				return err
			}
			return q.printResult(out, warnings, v, func() error { return printLines(out, []any{v}) })
		},
	}
	within5m.add(c.Flags(), "five minutes before the last one if it is not given")
	c.Flags().StringVar(&step, "step", "", "distance of steps, such as 15s; if it is not given, such that there are some 250")
	return c
}

// stepOf reads the distance of steps. Without one there are about 250, a second apart at least.
func stepOf(text string, span time.Duration) (time.Duration, error) {
	if text == "" {
		return time.Duration(max(math.Floor(span.Seconds()/250), 1)) * time.Second, nil
	}
	d, err := parseStep(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("--step: %q is not more than zero", text)
	}
	return d, err
}

// parseStep reads a duration in seconds, in Prometheus's form or in Go's.
func parseStep(text string) (time.Duration, error) {
	if seconds, err := time.ParseDuration(text + "s"); err == nil {
		return seconds, nil
	}
	d, err := model.ParseDuration(text)
	if err == nil {
		return time.Duration(d), nil
	}
	if d, goErr := time.ParseDuration(text); goErr == nil {
		return d, nil
	}
	return 0, fmt.Errorf("--step: %w", err)
}

func querySeriesCommand(out streams, q *queryFlags) *cobra.Command {
	var r rangeFlags
	var selectors []string
	c := &cobra.Command{
		Use:   "series --match SELECTOR SERVER",
		Short: "List the series of a server that match",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(selectors) == 0 {
				return &usageError{errors.New("--match is needed: a selector of the series to list, such as up{job=\"a\"}")}
			}
			start, end, err := r.read(time.Now().Add(-longAgo), time.Now().Add(longAgo))
			if err != nil {
				return err
			}
			client, err := q.open(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := within(cmd.Context())
			defer cancel()
			found, warnings, err := client.Series(ctx, selectors, start, end)
			if err != nil {
				return err
			}
			return q.printResult(out, warnings, found, func() error { return printLines(out, found) })
		},
	}
	c.Flags().StringArrayVar(&selectors, "match", nil, "selector of series; repeatable")
	r.add(c.Flags(), "all there is if it is not given")
	return c
}

func queryLabelsCommand(out streams, q *queryFlags) *cobra.Command {
	var r rangeFlags
	var selectors []string
	c := &cobra.Command{
		Use:   "labels SERVER NAME",
		Short: "List the values of a label on a server",
		Args:  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			start, end, err := r.read(time.Now().Add(-longAgo), time.Now().Add(longAgo))
			if err != nil {
				return err
			}
			client, err := q.open(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := within(cmd.Context())
			defer cancel()
			found, warnings, err := client.LabelValues(ctx, args[1], selectors, start, end)
			if err != nil {
				return err
			}
			return q.printResult(out, warnings, found, func() error { return printLines(out, found) })
		},
	}
	c.Flags().StringArrayVar(&selectors, "match", nil, "selector of the series whose labels count; repeatable")
	r.add(c.Flags(), "all there is if it is not given")
	return c
}

func printLines[T any](out streams, all []T) error {
	for _, one := range all {
		if _, err := fmt.Fprintln(out.out, one); err != nil {
			return err
		}
	}
	return nil
}
