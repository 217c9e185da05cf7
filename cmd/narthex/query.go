package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/web/api"
)

func queryCommand(out streams) *cobra.Command {
	c := group("query", "Explain queries, list and cancel those that run")
	c.AddCommand(queryExplainCommand(out), queryListCommand(out), queryCancelCommand(out))
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

func queryListCommand(out streams) *cobra.Command {
	var asJSON bool
	list := &cobra.Command{
		Use:   "list SERVER",
		Short: "List the queries that run on a server or wait for their turn",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var active api.ActiveQueries
			if err := askServer(cmd.Context(), http.MethodGet, args[0], "status/queries", nil, &active); err != nil {
				return err
			}
			if asJSON {
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

func queryCancelCommand(out streams) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel SERVER ID",
		Short: "Cancel a query of a server that runs with --web.enable-admin-api",
		Args:  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "admin/queries/" + url.PathEscape(args[1]) + "/cancel"
			if err := askServer(cmd.Context(), http.MethodPost, args[0], path, nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(out.out, "query %s is being canceled\n", args[1])
			return nil
		},
	}
}

// askServer asks an endpoint below /api/v1 and decodes the data of the answer, unless data is nil. Warnings are lost.
func askServer(ctx context.Context, method, server, path string, form url.Values, data any) error {
	base, err := url.Parse(server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return &usageError{fmt.Errorf("%q is no URL of a server such as http://localhost:9090", server)}
	}
	r, err := http.NewRequestWithContext(ctx, method, base.JoinPath("api/v1", path).String(), strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("ask %s: %w", base.Redacted(), err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("ask %s: %w", base.Redacted(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", base.Redacted(), err)
	}
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	var answer struct {
		Status string
		Error  string
		Data   json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status == "" {
		return fmt.Errorf("%s answers %s, and not as an API of this kind", base.Redacted(), resp.Status)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", base.Redacted(), answer.Error)
	}
	if data == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Data, data); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", base.Redacted(), err)
	}
	return nil
}
