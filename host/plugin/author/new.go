package author

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/template"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/sdk"
)

// sdkModule is the module that holds package sdk.
const sdkModule = "github.com/narthex-io/narthex"

//go:embed template
var templates embed.FS

var shortNamePattern = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// Scaffold is the result of [New].
type Scaffold struct {
	// Plugin is the plugin's name, such as sd-acme.
	Plugin string
	// Key is the config key that the plugin claims, such as acme_sd_configs; empty for a kind that claims none.
	Key string
	// Use says where the plugin is used in the config.
	Use string
	// Dir is the folder.
	Dir string
	// Files are the names in it, sorted.
	Files []string
}

// shape says what the plugins of a kind have in common.
type shape struct {
	kind sdk.Kind
	// prefix starts their names; suffix ends their keys, and is empty for a kind that claims none.
	prefix, suffix string
	// use says where they are used, before and after the key.
	use [2]string
}

// shapes returns those that [New] writes, in the order in which they are listed.
func shapes() []shape {
	return []shape{
		{sdk.KindDiscovery, "sd-", plugin.DiscoveryKeySuffix, [2]string{"use ", " in a job"}},
		{sdk.KindExporter, "exporter-", "", [2]string{"name it below exporters of a job"}},
		{sdk.KindParser, "parser-", "", [2]string{"name it as parser of a job"}},
		{sdk.KindNotify, "notify-", plugin.NotifyKeySuffix, [2]string{"use ", " below alerting"}},
		{sdk.KindAuthOutbound, "auth-", plugin.AuthKeySuffix, [2]string{"use ", " in a job or in an entry of alertmanagers"}},
		{sdk.KindAuthInbound, "auth-", plugin.AuthKeySuffix, [2]string{"use ", " below web.auth"}},
	}
}

// shortKind is the name that [New] also takes for plugins that sign requests: it is what most people mean.
const shortKind = "auth"

// Kinds returns the kinds that [New] takes.
func Kinds() []string {
	var names []string
	for _, s := range shapes() {
		if s.kind == sdk.KindAuthOutbound {
			names = append(names, shortKind)
		} else {
			names = append(names, string(s.kind))
		}
	}
	return names
}

// NameError means that there can be no plugin of that name or kind.
type NameError struct{ text string }

// Error implements error.
func (e *NameError) Error() string { return e.text }

// New writes a folder with a plugin that builds, passes its test and runs: go.mod, main.go, its test and a README. name
// is short, such as acme, or the plugin's, such as sd-acme; a discovery then claims acme_sd_configs, a notifier
// acme_notify_configs, and what signs requests of the server or judges those to it acme_auth. dir is the folder, which must not exist or be
// empty; empty means the plugin's name.
//
// Inside a checkout of Narthex, or below one, go.mod points at the checkout; elsewhere it requires the release that
// this program was built from, and the go command fetches that.
func New(ctx context.Context, name string, kind sdk.Kind, dir string) (Scaffold, error) {
	if kind == shortKind {
		kind = sdk.KindAuthOutbound
	}
	at := slices.IndexFunc(shapes(), func(s shape) bool { return s.kind == kind })
	if at < 0 {
		return Scaffold{}, &NameError{fmt.Sprintf("kind %q is none of %s", kind, strings.Join(Kinds(), ", "))}
	}
	shape := shapes()[at]
	short := strings.TrimPrefix(name, shape.prefix)
	if !shortNamePattern.MatchString(short) {
		return Scaffold{}, &NameError{fmt.Sprintf("name %q is not made of a-z and 0-9, with dashes between words: write one such as acme or rack-list", name)}
	}
	s := Scaffold{Plugin: shape.prefix + short, Dir: dir}
	if shape.suffix != "" {
		s.Key = strings.ReplaceAll(short, "-", "_") + shape.suffix
	}
	s.Use = shape.use[0] + s.Key + shape.use[1]
	if s.Dir == "" {
		s.Dir = s.Plugin
	}
	if err := claim(s.Dir); err != nil {
		return Scaffold{}, err
	}
	if err := s.write(string(kind), strings.ReplaceAll(short, "-", "_")); err != nil {
		return Scaffold{}, err
	}
	if err := s.requireSDK(ctx); err != nil {
		return Scaffold{}, err
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return Scaffold{}, err
	}
	for _, e := range entries {
		s.Files = append(s.Files, e.Name())
	}
	return s, nil
}

// claim makes dir, unless something is in it.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("folder %s is not empty: remove it, or name another with --dir", dir)
	}
	return nil
}

func (s *Scaffold) write(kind, metric string) error {
	t, err := template.New("").ParseFS(templates, "template/"+kind+"/*")
	if err != nil {
		return err
	}
	for _, part := range t.Templates() {
		if part.Name() == "" {
			continue
		}
		var text strings.Builder
		err := part.Execute(&text, map[string]string{"Plugin": s.Plugin, "Key": s.Key, "Metric": metric})
		if err != nil {
			return err
		}
		file := filepath.Join(s.Dir, strings.TrimSuffix(part.Name(), ".tmpl"))
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// requireSDK writes go.mod and go.sum.
func (s *Scaffold) requireSDK(ctx context.Context) error {
	abs, err := filepath.Abs(s.Dir)
	if err != nil {
		return err
	}
	if root, ok := checkout(abs); ok {
		return s.requireCheckout(ctx, root)
	}
	version, err := ownVersion()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("module %s\n\ngo 1.26\n\nrequire %s %s\n", s.Plugin, sdkModule, version)
	if err := os.WriteFile(filepath.Join(s.Dir, "go.mod"), []byte(text), 0o644); err != nil {
		return err
	}
	return goCommand(ctx, s.Dir, []string{"GOWORK=off"}, "mod", "tidy")
}

// requireCheckout takes over what the checkout requires for the SDK, in the same versions, so that nothing has to be fetched.
func (s *Scaffold) requireCheckout(ctx context.Context, root string) error {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	text := fmt.Sprintf("module %s\n\ngo 1.26.0\n\nrequire %s v0.0.0\n\nreplace %s => %s\n",
		s.Plugin, sdkModule, sdkModule, quotePath(root))
	needed, err := modulesOfSDK(ctx, root)
	if err != nil {
		return err
	}
	var required []string
	for line := range strings.Lines(string(mod)) {
		if fields := strings.Fields(line); len(fields) >= 2 && needed[fields[0]] {
			required = append(required, "\t"+fields[0]+" "+fields[1]+" // indirect\n")
		}
	}
	slices.Sort(required)
	text += "\nrequire (\n" + strings.Join(required, "") + ")\n"
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(s.Dir, "go.mod"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(s.Dir, "go.sum"), sum, 0o644),
	)
}

// modulesOfSDK returns which modules a plugin and its test are built of, besides the checkout's own.
func modulesOfSDK(ctx context.Context, root string) (map[string]bool, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./sdk/guest", "./sdk/sdktest")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w\n%s", root, err, strings.TrimSpace(stderr.String()))
	}
	needed := map[string]bool{}
	for path := range strings.FieldsSeq(string(out)) {
		needed[path] = path != sdkModule
	}
	return needed, nil
}

func quotePath(path string) string {
	if strings.ContainsAny(path, " \t\"'`,()[]") {
		return "`" + path + "`"
	}
	return path
}

// checkout returns the folder of the checkout that dir, the working directory or the running program lies in.
func checkout(dir string) (string, bool) {
	starts := []string{dir}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	for _, start := range starts {
		for at := start; ; at = filepath.Dir(at) {
			mod, err := os.ReadFile(filepath.Join(at, "go.mod"))
			if err == nil && strings.HasPrefix(string(mod), "module "+sdkModule+"\n") {
				return at, true
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return "", false
}

var releasePattern = regexp.MustCompile(`^v\d+\.\d+\.\d+`)

// ownVersion is the version of the module that this program was built from.
func ownVersion() (string, error) {
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Path == sdkModule && releasePattern.MatchString(info.Main.Version) {
		return strings.TrimSuffix(info.Main.Version, "+dirty"), nil
	}
	return "", fmt.Errorf("this program was not built from a release of %s: run it in a checkout", sdkModule)
}
