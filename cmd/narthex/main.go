// Command narthex is a Prometheus-compatible monitoring server whose discoveries, exporters and parsers are plugins.
// Started with flags it serves, as prometheus would; its subcommands check configurations and handle plugins.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/narthex-io/narthex/host"
	"github.com/narthex-io/narthex/host/plugin/worker"
)

// Set by the linker.
var (
	version  = "0.0.0-dev"
	revision = "unknown" //nolint:gochecknoglobals // the linker sets it
)

// Exit codes, as upstream's.
const (
	exitFailure = 1
	exitUsage   = 2
	exitLint    = 3
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == worker.Command {
		worker.Main(os.Args[2:])
	}
	os.Exit(run(filepath.Base(os.Args[0])))
}

// run runs the program under the name that it was started with, and returns its exit code.
func run(name string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	io := streams{os.Stdin, os.Stdout, os.Stderr}
	root := rootCommand(io)
	if name == promtool {
		root = promtoolCommand(io)
	}
	used, err := root.ExecuteContextC(ctx)
	return exitCode(io, root, used == root && name != promtool, err)
}

// exitCode says what went wrong, if anything did, and returns the exit code for it. Mistakes in flags and in the
// configuration make another one where root was to serve than in its subcommands, as in upstream's two programs.
func exitCode(io streams, root *cobra.Command, serving bool, err error) int {
	if err == nil {
		return 0
	}
	if found, ok := errors.AsType[*findings](err); ok {
		if found.err != nil {
			fmt.Fprintln(io.err, found.err)
		}
		return found.code
	}
	config, badConfig := errors.AsType[*host.ConfigError](err)
	if badConfig {
		fmt.Fprintln(io.err, config.Err) // A line for each mistake, which starts with its place.
	} else {
		fmt.Fprintf(io.err, "%s: %v\n", root.Name(), err)
	}
	if _, badUsage := errors.AsType[*usageError](err); serving && (badUsage || badConfig) {
		return exitUsage
	}
	return exitFailure
}

// streams are where commands read and write.
type streams struct {
	in       *os.File
	out, err *os.File
}

// usageError means that the command line or the settings make no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func rootCommand(io streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "narthex",
		Short: "Prometheus-compatible monitoring with everything outside as a plugin",
		Long: "Without a subcommand, narthex serves: it takes Prometheus's flags and configuration file.\n" +
			"Each flag can also be set in --settings.file and by an environment variable such as\n" +
			"NARTHEX_STORAGE_TSDB_PATH; flags win.",
		Args:    noArgs,
		Version: versionText(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), io, cmd.Flags(), nil, nil)
		},
	}
	addFlags(root.Flags())
	complete(root, io)
	root.AddCommand(demoCommand(io), rulesCommand(io), pluginCommand(io))
	return root
}

// complete gives a program what both have: how it prints and fails, and the subcommands of promtool.
func complete(root *cobra.Command, io streams) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetOut(io.out)
	root.SetErr(io.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
			err = fmt.Errorf("%w%s", err, suggestFlag(cmd.Flags(), unknown))
		}
		return &usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(checkCommand(io), testCommand(io), queryCommand(io), pushCommand(io), debugCommand(io), promqlCommand(io), tsdbCommand(io))
}

// group is a command that only holds others.
func group(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		if len(args) == 0 {
			return &usageError{fmt.Errorf("name a command: %s has %s; see %[1]s --help", cmd.CommandPath(), strings.Join(names, ", "))}
		}
		return &usageError{fmt.Errorf("unknown command %q; %s has %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))}
	}}
}

// oneArg asks for what the command's Use line names.
func oneArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return &usageError{fmt.Errorf("%s where one is needed: %s", counted(len(args), "argument"), cmd.UseLine())}
	}
	return nil
}

// noArgs refuses arguments that are no subcommand.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("unexpected argument %q%s; see %s --help", args[0], suggestCommand(cmd, args[0]), cmd.CommandPath())}
	}
	return nil
}

func versionText() string {
	return fmt.Sprintf("narthex, version %s (revision: %s, compatible with Prometheus %s)\n  go version: %s\n  platform:   %s/%s",
		version, revision, host.PrometheusVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
