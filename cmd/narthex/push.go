package main

import (
	"context"
	"fmt"
	goio "io"
	"os"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/apiclient"
	"github.com/narthex-io/narthex/host/remote/push"
)

func pushCommand(io streams) *cobra.Command {
	c := group("push", "Send metrics to a server")
	var client clientFlags
	client.addConfig(c.PersistentFlags())
	c.AddCommand(pushMetricsCommand(io, &client))
	return c
}

// pushFlags are what push metrics is told.
type pushFlags struct {
	client                 *clientFlags
	labels                 pairs
	timeout, message, path string
}

func pushMetricsCommand(io streams, client *clientFlags) *cobra.Command {
	f := pushFlags{client: client}
	c := &cobra.Command{
		Use:   "metrics URL [FILE...]",
		Short: "Send metrics from files, or from standard input, by remote write",
		Long: "Sends the metrics of each file in one remote write request, to try a receiver out. Files are in Prometheus's text\n" +
			"format, or in OpenMetrics if they end as that does. Samples without a time of their own get the present one. URL is\n" +
			"that of a server; --remote-write.path is added to it.",
		Args: atLeastOne("name the URL to write to"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), io, args[0], args[1:]) },
	}
	c.Flags().Var(&f.labels, "label", "label to add to each series, as NAME=VALUE; repeatable (default job=promtool)")
	c.Flags().StringVar(&f.timeout, "timeout", "30s", "how long a request may take")
	c.Flags().StringVar(&f.message, "protobuf_message", string(push.V1), "message to send: "+string(push.V1)+" or "+string(push.V2))
	c.Flags().StringVar(&f.path, "remote-write.path", "/api/v1/write", "path of the endpoint below URL")
	client.addHeaders(c.Flags())
	return c
}

func (f *pushFlags) options(server string) (opts push.Options, timeout time.Duration, err error) {
	if opts.URL, err = apiclient.ParseURL(server); err != nil {
		return opts, 0, &usageError{err}
	}
	opts.URL = opts.URL.JoinPath(f.path)
	if opts.Message, err = push.ParseMessage(f.message); err != nil {
		return opts, 0, &usageError{fmt.Errorf("--protobuf_message: %w", err)}
	}
	d, err := model.ParseDuration(f.timeout)
	if err != nil || d == 0 {
		return opts, 0, &usageError{fmt.Errorf("--timeout: %q is no duration such as 30s", f.timeout)}
	}
	opts.Labels = map[string]string{"job": "promtool"}
	if len(f.labels) > 0 {
		opts.Labels = map[string]string{}
	}
	for _, l := range f.labels {
		opts.Labels[l.name] = l.value
	}
	opts.Header = f.client.header()
	opts.Client, err = f.client.http()
	return opts, time.Duration(d), err
}

func (f *pushFlags) run(ctx context.Context, io streams, server string, files []string) error {
	opts, timeout, err := f.options(server)
	if err != nil {
		return err
	}
	failed := false
	send := func(name string, body []byte, err error) {
		fmt.Fprintf(io.out, "Reading %s\n", name)
		var sent push.Sent
		if err == nil {
			bounded, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			opts.Now = time.Now()
			sent, err = push.Push(bounded, body, opts)
		}
		if err != nil {
			failed = true
			fmt.Fprintf(io.err, "  FAILED: %s: %v\n", name, err)
			return
		}
		fmt.Fprintf(io.out, "  SUCCESS: %s: %d series with %s sent\n", name, sent.Series, counted(sent.Samples, "sample"))
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		send(file, body, err)
	}
	if len(files) == 0 {
		body, err := goio.ReadAll(io.in)
		send("standard input", body, err)
	}
	if failed {
		return &findings{code: exitFailure}
	}
	return nil
}
