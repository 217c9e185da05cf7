package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// defaultLookback is how far back selectors of a server look by default.
const defaultLookback = "5m"

func checkCommand(io streams) *cobra.Command {
	c := group("check", "Check files for mistakes, and servers for their state")
	var lookback string
	c.PersistentFlags().StringVar(&lookback, "query.lookback-delta", defaultLookback, "--query.lookback-delta of the server, which scrape intervals must be below")
	c.AddCommand(checkConfigCommand(io, &lookback), checkRulesCommand(io), checkMetricsCommand(io), checkWebConfigCommand(io),
		checkDiscoveryCommand(io), checkStateCommand(io, "healthy"), checkStateCommand(io, "ready"))
	return c
}

// verdicts says how the checks of files go, with good news on standard output and bad news on standard error, and
// remembers what they come to.
type verdicts struct {
	streams
	failed bool
}

func (v *verdicts) begin(name string) { fmt.Fprintf(v.out, "Checking %s\n", name) }

func (v *verdicts) success(format string, args ...any) {
	fmt.Fprintf(v.out, "  SUCCESS: "+format+"\n", args...)
}

// warn says what is not a mistake.
func (v *verdicts) warn(text string) { fmt.Fprintf(v.err, "  warning: %s\n", text) }

// remarks lists what was looked for besides mistakes, which is a failure or a warning.
func (v *verdicts) remarks(found []string, fatal bool) {
	if fatal {
		fmt.Fprintf(v.err, "  FAILED:\n%s\n", strings.Join(found, "\n"))
		return
	}
	for _, text := range found {
		v.warn(text)
	}
}

// failure lists mistakes, each in a line that starts with its place.
func (v *verdicts) failure(err error) {
	v.failed = true
	fmt.Fprintf(v.err, "  FAILED:\n%s\n", strings.TrimSuffix(err.Error(), "\n"))
}

// end closes what is said about a file.
func (v *verdicts) end() { fmt.Fprintln(v.out) }

// result returns the error that makes the exit code.
func (v *verdicts) result() error {
	if v.failed {
		return &findings{code: exitFailure}
	}
	return nil
}
