package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

//go:embed demo
var demoFiles embed.FS

// demoDir is where the demo keeps its configuration and its data, below the working directory.
const demoDir = ".narthex/demo"

func demoCommand(io streams) *cobra.Command {
	demo := &cobra.Command{
		Use:   "demo",
		Short: "Serve with a small configuration: this server, this machine and targets from a file",
		Long:  "Writes a configuration to " + demoDir + " unless there is one, and serves with it. Takes the server's flags.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defaults := map[string]string{
				"config.file":          filepath.Join(demoDir, "narthex.yml"),
				"storage.tsdb.path":    filepath.Join(demoDir, "data"),
				"web.listen-address":   "127.0.0.1:9090",
				"web.enable-lifecycle": "true",
				"log.level":            "warn",
			}
			v, err := mergeSettings(cmd.Flags(), os.Environ(), defaults)
			if err != nil {
				return &usageError{err}
			}
			_, port, err := net.SplitHostPort(v.list("web.listen-address")[0])
			if err != nil {
				return &usageError{fmt.Errorf("--web.listen-address: %w", err)}
			}
			if err := writeDemo(demoDir, port); err != nil {
				return fmt.Errorf("write the demo's configuration: %w", err)
			}
			if text, err := os.ReadFile(filepath.Join(demoDir, "narthex.yml")); err == nil && !bytes.Contains(text, []byte("localhost:"+port)) {
				fmt.Fprintf(io.err, "narthex: %s is from an earlier run on another port than %s: edit its targets, or remove it to have it written anew\n", demoDir, port)
			}
			return serve(cmd.Context(), io, cmd.Flags(), defaults, func(u *url.URL) { greet(io, u) })
		},
	}
	addFlags(demo.Flags())
	return demo
}

// writeDemo copies the files that are not there yet, with the port that the server listens on.
func writeDemo(dir, port string) error {
	return fs.WalkDir(demoFiles, "demo", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("demo", path)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := demoFiles.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = f.Write(bytes.ReplaceAll(text, []byte("localhost:9090"), []byte("localhost:"+port)))
		return errors.Join(err, f.Close())
	})
}

func greet(io streams, u *url.URL) {
	fmt.Fprintf(io.out, `
Narthex is ready at %[1]s

  targets   %[1]sapi/v1/targets
  plugins   %[1]sapi/v1/plugins
  a query   curl -s '%[1]sapi/v1/query' --data-urlencode 'query=rate(node_cpu_seconds_total[1m])'

  Edit %[2]s and watch the target change: no reload is needed.
  Edit %[3]s, then: curl -X POST %[1]s-/reload
  Stop with Ctrl-C. The data stays in %[4]s.

`, u.JoinPath("/").String(), filepath.Join(demoDir, "targets", "example.yml"), filepath.Join(demoDir, "narthex.yml"), filepath.Join(demoDir, "data"))
}
