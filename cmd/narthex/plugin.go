package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host"
	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/author"
	"github.com/narthex-io/narthex/sdk"
)

func pluginCommand(io streams) *cobra.Command {
	c := group("plugin", "Write, build, look into and run plugins")
	cache := c.PersistentFlags().String("plugins.cache-directory", "", "directory for compiled plugins; default: narthex in the user's cache directory")
	c.AddCommand(pluginListCommand(io, cache), pluginInspectCommand(io, cache), pluginNewCommand(io),
		pluginBuildCommand(io, cache), pluginRunCommand(io, cache), pluginTestCommand(io, cache), pluginBenchCommand(io, cache), pluginLockCommand(io, cache),
		pluginKeygenCommand(io), pluginSignCommand(io), pluginVerifyCommand(io))
	return c
}

func pluginListCommand(io streams, cache *string) *cobra.Command {
	var directories []string
	var asJSON bool
	var trusted trustFlags
	list := &cobra.Command{
		Use:   "list",
		Short: "List the plugins that a server would find",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			warnOfAbsent(io, directories)
			searched := pluginDirectories(directories)
			trust, err := trusted.read()
			if err != nil {
				return err
			}
			infos, err := author.List(cmd.Context(), plugin.Options{
				Directories: searched, CacheDir: *cache, Worker: ownBinary(), TrustedKeys: trust.Keys, RequireSignature: trust.Required,
			})
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(io, infos)
			}
			if len(infos) == 0 {
				fmt.Fprintf(io.out, "no plugins in %s\n", strings.Join(searched, ", "))
				return nil
			}
			w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tVERSION\tKINDS\tKEYS\tRUNS AS\tSIGNATURE\tFILE")
			for _, p := range infos {
				kinds := make([]string, len(p.Kinds))
				for i, k := range p.Kinds {
					kinds[i] = string(k)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Version, strings.Join(kinds, ","), strings.Join(p.Keys, ","), p.Transport,
					p.Signature.State, p.Path)
				if p.LastError != "" {
					fmt.Fprintf(w, "\t%s\n", p.LastError)
				}
			}
			return w.Flush()
		},
	}
	list.Flags().StringArrayVar(&directories, "plugins.directory", nil, "directory to search first; repeatable")
	trusted.add(list.Flags())
	list.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return list
}

func pluginInspectCommand(io streams, cache *string) *cobra.Command {
	var trusted trustFlags
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show a plugin's manifest, digest, signature, size, imports and what it asks for",
		Args:  oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			trust, err := trusted.read()
			if err != nil {
				return err
			}
			found, err := author.Inspect(cmd.Context(), args[0], plugin.Options{
				CacheDir: *cache, Worker: ownBinary(), TrustedKeys: trust.Keys, RequireSignature: trust.Required,
			})
			if err != nil {
				return err
			}
			return writeJSON(io, inspected{Inspection: found})
		},
	}
	trusted.add(c.Flags())
	return c
}

// inspected leaves out what only a plugin has that a server uses: its fields hide those of the same names.
type inspected struct {
	author.Inspection
	Given    *struct{} `json:"given,omitempty"`
	Used     *struct{} `json:"used,omitempty"`
	Memory   *struct{} `json:"memoryBytes,omitempty"`
	Restarts *struct{} `json:"restarts,omitempty"`
	Uses     *struct{} `json:"uses,omitempty"`
}

func pluginNewCommand(io streams) *cobra.Command {
	var kind, dir string
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Write a folder with a plugin that builds, passes its test and runs",
		Args:  oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := author.New(cmd.Context(), args[0], sdk.Kind(kind), dir)
			if bad, ok := errors.AsType[*author.NameError](err); ok {
				return &usageError{bad}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(io.out, "%s: plugin %s\n  %s\n\nNext:\n  go -C %[1]s test ./...\n  %[4]s plugin build %[1]s\n",
				s.Dir, s.Plugin, strings.Join(s.Files, "\n  "), os.Args[0])
			fmt.Fprintf(io.out, "Then put the file into a plugins directory, %s, and reload. %s shows how.\n", s.Use, filepath.Join(s.Dir, "README.md"))
			return nil
		},
	}
	c.Flags().StringVar(&kind, "kind", string(sdk.KindDiscovery), strings.Join(author.Kinds(), ", "))
	c.Flags().StringVar(&dir, "dir", "", "folder to write; default: the plugin's name")
	return c
}

func pluginBuildCommand(io streams, cache *string) *cobra.Command {
	var native bool
	var out string
	c := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Build a plugin to WebAssembly, or to an executable, and check that it loads",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, target := ".", author.TargetWasm
			if len(args) == 1 {
				dir = args[0]
			}
			if native {
				target = author.TargetNative
			}
			built, err := author.Build(cmd.Context(), dir, target, out, plugin.Options{CacheDir: *cache, Worker: ownBinary()})
			if err != nil {
				return err
			}
			fmt.Fprintf(io.out, "%s: %s, %.1f MB, sha256 %s, in %s\n", built.Path, built.Name, float64(built.SizeBytes)/1e6,
				built.Digest, built.Took.Round(time.Millisecond))
			return nil
		},
	}
	c.Flags().BoolVar(&native, "native", false, "build an executable for this machine")
	c.Flags().StringVarP(&out, "output", "o", "", "file or folder to write; default: the plugin's name in DIR")
	return c
}

func pluginRunCommand(io streams, cache *string) *cobra.Command {
	var configFile, request, bodyFile string
	var fields []string
	o := author.RunOptions{Worker: ownBinary()}
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a plugin alone and watch what it finds",
		Long: "Runs the plugin in a file alone and prints what it finds. --config has one entry of what stands below the\n" +
			"plugin's key in a job, in alerting or in web.auth, or below config of an exporter or a parser, such as: targets: [\"localhost:9100\"]\n" +
			"Fields such as authorization and tls_config may stand there: they are the server's, and the plugin does not see them.\n\n" +
			"A parser reads one body, that of --body or standard input, and what it makes of it is printed.\n" +
			"A plugin that signs requests of the server, or judges those to it, is given one, that of --request and --header:\n" +
			"  plugin run auth-sigv4.wasm --config sigv4.yml --request 'GET http://10.0.0.1:9100/metrics'\n" +
			"  plugin run auth-jwt.wasm --config jwt.yml --request 'POST /-/reload' --header \"Authorization: Bearer $TOKEN\"",
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if configFile != "" {
				var err error
				if o.Config, err = sectionFrom(configFile); err != nil {
					return err
				}
				o.BaseDir, o.Position, o.Split = filepath.Dir(configFile), configFile, splitter(configFile)
			}
			var err error
			if o.Request, err = requestFrom(request, fields); err != nil {
				return err
			}
			body := io.in
			if bodyFile != "" {
				if body, err = os.Open(bodyFile); err != nil {
					return err
				}
				defer func() { _ = body.Close() }() // only read
			}
			o.Body = body
			o.Logger, o.CacheDir = slog.New(slog.NewTextHandler(io.err, nil)), *cache
			return author.Run(cmd.Context(), args[0], o, io.out)
		},
	}
	c.Flags().StringVar(&configFile, "config", "", "file with the plugin's section, in YAML or JSON")
	c.Flags().BoolVar(&o.Once, "once", false, "end after the first update or collection")
	c.Flags().DurationVar(&o.Interval, "interval", 15*time.Second, "how often to ask an exporter")
	c.Flags().StringVar(&bodyFile, "body", "", "file that a parser reads; default: standard input")
	c.Flags().StringVar(&o.ContentType, "content-type", "", "type of that body")
	c.Flags().StringVar(&request, "request", "GET /", "method and path, or URL, of a request to sign or to judge")
	c.Flags().StringArrayVar(&fields, "header", nil, "field of that request's header, as NAME: VALUE; may be given several times")
	return c
}

// requestFrom makes a request of flags.
func requestFrom(line string, fields []string) (sdk.AuthRequest, error) {
	method, url, ok := strings.Cut(line, " ")
	if !ok || method == "" || !strings.HasPrefix(url, "/") && !strings.Contains(url, "://") {
		return sdk.AuthRequest{}, fmt.Errorf("--request %q is not a method and a path or a URL, such as GET /metrics", line)
	}
	r := sdk.AuthRequest{Method: method, URL: url, Header: sdk.Header{"Host": {"localhost:9090"}}, RemoteAddr: "127.0.0.1:1"}
	for _, field := range fields {
		name, value, ok := strings.Cut(field, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return r, fmt.Errorf("--header %q is not a name, a colon and a value", field)
		}
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		r.Header[name] = append(r.Header[name], strings.TrimSpace(value))
	}
	return r, nil
}

// splitter takes what is for the HTTP client out of the section in a file, whose files start beside it.
func splitter(file string) func(json.RawMessage) (json.RawMessage, *http.Client, error) {
	return func(section json.RawMessage) (json.RawMessage, *http.Client, error) {
		return host.SplitSection(section, filepath.Dir(file))
	}
}

// sectionFrom reads a plugin's section, in YAML or JSON.
func sectionFrom(file string) (json.RawMessage, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var section any
	if err := yaml.Unmarshal(text, &section); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if _, ok := section.(map[string]any); !ok {
		return nil, fmt.Errorf("%s: a mapping is needed, one entry of what is below the plugin's key, without a dash", file)
	}
	return json.Marshal(section)
}

func writeJSON(io streams, v any) error {
	enc := json.NewEncoder(io.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// warnOfAbsent names the directories for plugins that are not there.
func warnOfAbsent(io streams, directories []string) {
	for _, dir := range directories {
		if stat, err := os.Stat(dir); err != nil || !stat.IsDir() {
			fmt.Fprintf(io.err, "warning: --plugins.directory %s is not there: no plugins come from it\n", dir)
		}
	}
}
