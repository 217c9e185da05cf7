package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/apiclient"
	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/host/rules/history"
	"github.com/narthex-io/narthex/promql"
)

func rulesCommand(io streams) *cobra.Command {
	c := group("rules", "Apply rules to the past")
	c.AddCommand(rulesReplayCommand(io), rulesBackfillCommand(io))
	return c
}

// past are the flags that both commands have: which rules, which time, and where the samples come from.
type past struct {
	clientFlags
	server, dataDir      string
	start, end, interval string
	ignoreUnknown        bool
	features             []string

	query promql.Options
}

func (p *past) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&p.server, "url", defaultServer, "server to read from")
	c.Flags().StringVar(&p.dataDir, "data-dir", "", "data directory to read from, in place of a server; it is not changed, and may be in use")
	p.addConfig(c.Flags())
	c.Flags().StringVar(&p.start, "start", "", "first time, in Unix seconds or RFC 3339")
	c.Flags().StringVar(&p.end, "end", "", "last time")
	c.Flags().StringVar(&p.interval, "eval-interval", "1m", "how often groups are evaluated that do not say so")
	c.Flags().BoolVar(&p.ignoreUnknown, "ignore-unknown-fields", false, "accept fields of rule files that mean nothing")
	addFeatureFlag(c.Flags(), &p.features)
	c.Args = atLeastOne("name the rule files")
}

// times returns the range; an end that is missing is ago before now.
func (p *past) times(ago time.Duration) (start, end time.Time, err error) {
	if p.start == "" {
		return start, end, &usageError{errors.New("--start is needed: the first time to evaluate rules for")}
	}
	if start, err = rules.ParseTime(p.start); err != nil {
		return start, end, &usageError{fmt.Errorf("--start: %w", err)}
	}
	end = time.Now().Add(-ago)
	if p.end != "" {
		if end, err = rules.ParseTime(p.end); err != nil {
			return start, end, &usageError{fmt.Errorf("--end: %w", err)}
		}
	}
	if end.Before(start) {
		given := "--end"
		if p.end == "" {
			given = "unless --end is given, the end"
		}
		return start, end, &usageError{fmt.Errorf("%s is %s, before the start", given, end.UTC().Format(time.RFC3339))}
	}
	return start, end, nil
}

// config reads the rule files.
func (p *past) config(paths []string) (cfg rules.Config, err error) {
	if p.query, err = enabledFeatures(p.features); err != nil {
		return cfg, err
	}
	interval, err := model.ParseDuration(p.interval)
	if err != nil || interval == 0 {
		return cfg, &usageError{fmt.Errorf("--eval-interval: %q is no duration such as 1m", p.interval)}
	}
	cfg.Interval = time.Duration(interval)
	var problems []error
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		f, err := rules.Parse(path, text, rules.LoadOptions{Parser: queryParser(p.query), IgnoreUnknownFields: p.ignoreUnknown})
		if err != nil {
			problems = append(problems, err)
			continue
		}
		cfg.Files = append(cfg.Files, f)
	}
	if err := errors.Join(problems...); err != nil {
		return cfg, &findings{exitFailure, err}
	}
	return cfg, nil
}

// source opens what the samples come from; close is to be called in the end.
func (p *past) source(ctx context.Context) (source history.Source, closing func() error, err error) {
	if p.dataDir != "" {
		db, err := openCopy(ctx, p.dataDir)
		if err != nil {
			return nil, nil, fmt.Errorf("read data directory %s: %w", p.dataDir, err)
		}
		engine, err := promql.New(p.query)
		if err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		return &history.Local{Engine: engine, Storage: db}, db.Close, nil
	}
	u, err := apiclient.ParseURL(p.server)
	if err != nil {
		return nil, nil, &usageError{fmt.Errorf("--url: %w", err)}
	}
	client, err := p.http()
	if err != nil {
		return nil, nil, err
	}
	return &history.Remote{URL: u, Client: client}, func() error { client.CloseIdleConnections(); return nil }, nil
}

func rulesReplayCommand(io streams) *cobra.Command {
	var p past
	var alerts []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Show when alerts would have been pending, firing and resolved",
		Long: "Evaluates rules for a time that is past, as a server would have, and shows what would have become of the alerts.\n" +
			"Recording rules of the files count, too, if the source is a data directory; a server is asked for what it has.",
		RunE: func(cmd *cobra.Command, paths []string) (err error) {
			start, end, err := p.times(0)
			if err != nil {
				return err
			}
			cfg, err := p.config(paths)
			if err != nil {
				return err
			}
			source, closing, err := p.source(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closing()) }()
			store, err := openScratch(cmd.Context(), scratchSpan)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			w := &eventWriter{streams: io, alerts: alerts, asJSON: asJSON, firing: map[string]time.Time{}, end: end}
			err = history.Replay(cmd.Context(), history.ReplayOptions{
				Source: source, Store: store, Config: cfg, Start: start, End: end, Emit: w.event, Failed: w.failed,
			})
			if err != nil {
				return err
			}
			return w.summary()
		},
	}
	p.addFlags(c)
	c.Flags().StringArrayVar(&alerts, "alert", nil, "name of an alert to show; repeatable; all if none is given")
	c.Flags().BoolVar(&asJSON, "json", false, "write a line of JSON for each event")
	return c
}

// eventWriter shows what becomes of alerts.
type eventWriter struct {
	streams
	alerts []string
	asJSON bool
	end    time.Time
	// firing are the alerts that fire, with the time since when; failures counts rules that could not be evaluated.
	firing   map[string]time.Time
	fired    int
	total    time.Duration
	failures int
}

func (w *eventWriter) event(e history.Event) {
	if len(w.alerts) > 0 && !slices.Contains(w.alerts, e.Alert) {
		return
	}
	key := e.File + ";" + e.Group + ";" + e.Labels.String()
	switch e.What {
	case history.Firing:
		w.firing[key] = e.Time
		w.fired++
	case history.Resolved:
		w.total += e.Time.Sub(w.firing[key])
		delete(w.firing, key)
	case history.Pending, history.Dropped:
	}
	at := e.Time.UTC().Format(time.RFC3339Nano)
	if !w.asJSON {
		fmt.Fprintf(w.out, "%-30s %-8s %s value=%v\n", at, e.What, e.Labels, e.Value)
		return
	}
	line, err := json.Marshal(map[string]any{
		"time": at, "state": e.What, "group": e.Group, "file": e.File, "labels": e.Labels, "annotations": e.Annotations, "value": fmt.Sprint(e.Value),
	})
	if err == nil {
		fmt.Fprintf(w.out, "%s\n", line)
	}
}

func (w *eventWriter) failed(at time.Time, rule, err string) {
	w.failures++
	fmt.Fprintf(w.err, "%s rule %s fails from here on: %s\n", at.UTC().Format(time.RFC3339Nano), rule, strings.TrimSpace(err))
}

// summary ends the output.
func (w *eventWriter) summary() error {
	for _, since := range w.firing {
		w.total += w.end.Sub(since)
	}
	if !w.asJSON {
		fmt.Fprintf(w.out, "fired %s, for %s in total; %d still firing at the end\n", counted(w.fired, "time"), w.total.Round(time.Second), len(w.firing))
	}
	if w.failures > 0 {
		return &findings{exitFailure, errors.New("some rules could not be evaluated")}
	}
	return nil
}

// backfillLag is how long ago backfilling ends where nothing else is said: later samples are in the memory of a server,
// next to which no block belongs.
const backfillLag = 3 * time.Hour

func rulesBackfillCommand(io streams) *cobra.Command {
	b := ruleBackfill{streams: io}
	return b.command("backfill FILE...")
}
