package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/tsdb"
)

// explanation is a query that is to be explained, as the flags say.
type explanation struct {
	expr             string
	start, end, step string
	analyze, asJSON  bool
	// storage is the data directory that is read in place of asking a server.
	storage  string
	features []string
}

func queryExplainCommand(out streams, q *queryFlags) *cobra.Command {
	var x explanation
	explain := &cobra.Command{
		Use:   "explain SERVER EXPR | explain --storage DIR EXPR",
		Short: "Show how a query is evaluated: its plan before and after optimization",
		Long: "Shows how a server evaluates a query: its plan before and after optimization and, with --analyze, what each\n" +
			"operator costs. SERVER is a URL such as http://localhost:9090. Without --step it is an instant query at\n" +
			"--start; times are Unix seconds or RFC 3339, and default to now.\n\n" +
			"With --storage a data directory is read in place of asking a server. Nothing in it is written, so that a server\n" +
			"may be using it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := x.askServer(q)
			want := 2
			if x.storage != "" {
				ask, want = x.readStorage(out), 1
			}
			if err := exactly(want)(cmd, args); err != nil {
				return err
			}
			if x.end != "" && x.step == "" {
				return &usageError{errors.New("--end is for range queries: give --step, too")}
			}
			x.expr = args[want-1]
			found, err := ask(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if x.asJSON || q.format == formatJSON {
				return writeJSON(out, found)
			}
			return found.WriteText(out.out)
		},
	}
	flags := explain.Flags()
	flags.BoolVar(&x.analyze, "analyze", false, "evaluate the query, and show what each operator costs")
	flags.StringVar(&x.start, "start", "", "time of the query, or of its first step")
	flags.StringVar(&x.end, "end", "", "time of the last step")
	flags.StringVar(&x.step, "step", "", "distance of steps, such as 15s: makes it a range query")
	flags.BoolVar(&x.asJSON, "json", false, "write JSON")
	flags.StringVar(&x.storage, "storage", "", "data directory to read in place of asking a server")
	addFeatureFlag(flags, &x.features)
	return explain
}

// askServer returns what has a server explain the query.
func (x *explanation) askServer(q *queryFlags) func(ctx context.Context, server string) (*promql.Explanation, error) {
	return func(ctx context.Context, server string) (*promql.Explanation, error) {
		form, path := url.Values{"query": {x.expr}, "explain": {"plan"}}, "query"
		if x.analyze {
			form.Set("explain", "analyze")
		}
		now := fmt.Sprint(float64(time.Now().UnixMilli()) / 1000)
		if x.step != "" {
			path = "query_range"
			form.Set("start", cmp.Or(x.start, now))
			form.Set("end", cmp.Or(x.end, now))
			form.Set("step", x.step)
		} else {
			form.Set("time", cmp.Or(x.start, now))
		}
		var found promql.Explanation
		err := q.ask(ctx, http.MethodPost, server, path, form, &found)
		return &found, err
	}
}

// readStorage returns what explains the query over the samples of a data directory.
func (x *explanation) readStorage(out streams) func(ctx context.Context, _ string) (*promql.Explanation, error) {
	return func(ctx context.Context, _ string) (found *promql.Explanation, err error) {
		start, end, step, err := x.times(time.Now())
		if err != nil {
			return nil, &usageError{err}
		}
		opts, err := enabledFeatures(x.features)
		if err != nil {
			return nil, err
		}
		engine, err := promql.New(opts)
		if err != nil {
			return nil, err
		}
		defer engine.Close()
		logger := slog.New(slog.NewTextHandler(out.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
		db, err := tsdb.OpenReadOnly(ctx, tsdb.Options{Dir: x.storage, Logger: logger})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		return engine.Explain(ctx, db, x.expr, promql.QueryOptions{}, start, end, step, x.analyze)
	}
}

// times reads the times of the query; the step is zero for an instant query.
func (x *explanation) times(now time.Time) (start, end time.Time, step time.Duration, err error) {
	at := func(flag, text string) time.Time {
		if text == "" {
			return now
		}
		t, timeErr := rules.ParseTime(text)
		if timeErr != nil {
			err = errors.Join(err, fmt.Errorf("--%s: %w", flag, timeErr))
		}
		return t
	}
	start, end = at("start", x.start), at("end", x.end)
	if x.step == "" {
		return start, start, 0, err
	}
	step, stepErr := parseStep(x.step)
	return start, end, step, errors.Join(err, stepErr)
}
