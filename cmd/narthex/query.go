package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/web/api"
)

func queryCommand(out streams) *cobra.Command {
	c := group("query", "Ask servers for samples, explain queries, list and cancel those that run")
	var q queryFlags
	q.add(c.PersistentFlags())
	c.AddCommand(queryInstantCommand(out, &q), queryRangeCommand(out, &q), querySeriesCommand(out, &q), queryLabelsCommand(out, &q),
		queryAnalyzeCommand(out, &q), queryExplainCommand(out, &q), queryListCommand(out, &q), queryCancelCommand(out, &q))
	return c
}

// exactly asks for n arguments.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			needed := "one is"
			if n > 1 {
				needed = fmt.Sprintf("%d are", n)
			}
			return &usageError{fmt.Errorf("%s where %s needed: %s", counted(len(args), "argument"), needed, cmd.UseLine())}
		}
		return nil
	}
}

func queryListCommand(out streams, q *queryFlags) *cobra.Command {
	var asJSON bool
	list := &cobra.Command{
		Use:   "list SERVER",
		Short: "List the queries that run on a server or wait for their turn",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var active api.ActiveQueries
			if err := q.ask(cmd.Context(), http.MethodGet, args[0], "status/queries", nil, &active); err != nil {
				return err
			}
			if asJSON || q.format == formatJSON {
				return writeJSON(out, active)
			}
			w := tabwriter.NewWriter(out.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tSTATE\tSECONDS\tSAMPLES READ\tSAMPLES HELD\tBYTES HELD\tFROM\tQUERY")
			for _, q := range active.Queries {
				from := "-"
				if q.Request != nil {
					from = q.Request.ClientIP
				} else if q.Rule != nil {
					from = q.Rule.File + ";" + q.Rule.Name
				}
				fmt.Fprintf(w, "%s\t%s\t%.1f\t%d\t%d\t%d\t%s\t%s\n",
					q.ID, q.State, q.Seconds, q.SamplesRead, q.Samples, q.Bytes, from, strings.Join(strings.Fields(q.Query), " "))
			}
			return w.Flush()
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return list
}

func queryCancelCommand(out streams, q *queryFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel SERVER ID",
		Short: "Cancel a query of a server that runs with --web.enable-admin-api",
		Args:  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "admin/queries/" + url.PathEscape(args[1]) + "/cancel"
			if err := q.ask(cmd.Context(), http.MethodPost, args[0], path, nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(out.out, "query %s is being canceled\n", args[1])
			return nil
		},
	}
}

// ask asks an endpoint below /api/v1 of a server and decodes the data of the answer, unless data is nil. Warnings are lost.
func (q *queryFlags) ask(ctx context.Context, method, server, path string, form url.Values, data any) error {
	client, err := q.open(server)
	if err != nil {
		return err
	}
	_, err = client.Ask(ctx, method, path, form, data)
	return err
}
