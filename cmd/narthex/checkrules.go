package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/host/rules"
)

func checkRulesCommand(streams streams) *cobra.Command {
	checks := ruleChecks{lookback: defaultLookback}
	c := &cobra.Command{
		Use:   "rules [FILE...]",
		Short: "Check rule files, or what comes on standard input",
		RunE: func(_ *cobra.Command, files []string) error {
			query, err := checks.prepare(streams)
			if err != nil {
				return err
			}
			opts := rules.LoadOptions{Parser: queryParser(query), IgnoreUnknownFields: checks.ignoreUnknown}
			v := verdicts{streams: streams}
			check := func(path string, text []byte, err error) {
				v.begin(path)
				var f *rules.File
				if err == nil {
					f, err = rules.Parse(path, text, opts)
				}
				if err != nil {
					v.failure(err)
					v.end()
					return
				}
				checks.reportRules(&v, f)
			}
			for _, path := range files {
				text, err := os.ReadFile(path)
				check(path, text, err)
			}
			if len(files) == 0 {
				text, err := io.ReadAll(streams.in)
				check("standard input", text, err)
			}
			return checks.verdict(v.result())
		},
	}
	checks.addFlags(c.Flags())
	return c
}
