// Package grant holds what a guest may reach outside itself: HTTP origins, files, host names to look up and environment variables,
// and nothing that is not named.
//
// Start with [Derive], which turns what a manifest asks, what the operator wrote in the plugin's config and what the
// operator granted explicitly into a [Set]; its [HTTP] and [Files] do the work and refuse the rest. The zero Set
// refuses everything. Time, memory, log and message limits are not capabilities but limits, and live with the session
// and the transports.
package grant

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/narthex-io/narthex/sdk"
)

// ErrNotGranted is wrapped by every refusal.
var ErrNotGranted = errors.New("not granted")

// Set is what one guest may do. Nil members refuse everything.
type Set struct {
	HTTP  *HTTP
	Files *Files
	DNS   *DNS
	TCP   *TCP
	Env   Env
	// Usage counts what the others are used for.
	Usage *Usage
	// Access is the same for guests that may do the same with the same credentials; empty without [Options.AccessKey].
	Access string
}

// Options are the operator's side of a grant.
type Options struct {
	// BaseDir is the config file's folder: relative paths in the fields that the manifest asks for, and in Files,
	// start there. Empty means the working directory.
	BaseDir string
	// HTTP are origins that are granted whatever the config says, as scheme://host[:port].
	HTTP []string
	// Files are granted whatever the config says: a file, a folder with everything below it, or a path whose last
	// element is a pattern.
	Files []string
	// Dial are targets, as host:port, that can be connected to whatever the config says.
	Dial []string
	// Addresses are where granted names may be besides where names may be anyway: see [Dial].
	Addresses []netip.Prefix
	// Env are environment variables that are granted whatever the config says.
	Env []string
	// Key is the key of the section, which may grant something by itself; see [ImpliedBy]. Empty means none.
	Key string
	// Getenv looks environment variables up. Nil means the process's own.
	Getenv func(string) string
	// Client sends requests to origins that the plugin's config names. It carries the operator's credentials, TLS
	// settings, redirect policy and timeout, and connects with what [Dial] returns. Nil means a plain client.
	Client *http.Client
	// ClientKey changes when the credentials and settings of Client do.
	ClientKey string
	// AccessKey is a secret of the host's from which, with everything else, [Set.Access] is made, so that nobody can find a
	// credential in it. Empty means that there is no Access.
	AccessKey []byte
	// Plain sends requests to the origins in HTTP, to which the credentials of Client do not belong. Nil means a
	// transport without credentials and without a proxy from the environment.
	Plain http.RoundTripper
	// Resolver looks names up. Nil means the operating system's.
	Resolver *net.Resolver
	// Answers keeps answers to requests for the guests that follow. Nil means that none are kept.
	Answers *Answers
	// FileBytes is the largest file that can be read. 0 means 16 MiB.
	FileBytes int64
}

// Derive returns what a guest with manifest m and section config may do, and the config as the guest shall see it:
// with its defaults filled in, without the credentials that the host sends for it, and with the paths in its file fields
// resolved against BaseDir, like Prometheus resolves them.
func Derive(m sdk.Manifest, config sdk.Config, o Options) (Set, sdk.Config, error) {
	section, err := decode(config)
	if err != nil {
		return Set{}, nil, fmt.Errorf("decode config of plugin %s: %w", m.Name, err)
	}
	section, filled := fillDefaults(section, m.Asks)
	secrets, err := takeCredentials(section, m.Asks)
	if err != nil {
		return Set{}, nil, err
	}
	urls, err := collectFields(section, m.Asks.HTTP, filled)
	if err != nil {
		return Set{}, nil, err
	}
	getenv := o.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	implied := Implied{}
	if slices.Contains(m.Keys, o.Key) {
		implied = ImpliedBy(o.Key, section, getenv)
	}
	paths := implied.Files
	for _, expr := range m.Asks.Files {
		err := visit(section, expr, func(path string) string {
			path = join(o.BaseDir, path)
			if path != "" {
				paths = append(paths, path)
			}
			return path
		})
		if err != nil {
			return Set{}, nil, err
		}
	}
	set := Set{}
	if set.HTTP, err = newHTTP(urls, o, secrets, implied); err != nil {
		return Set{}, nil, err
	}
	trees := make([]string, len(o.Files))
	for i, p := range o.Files {
		trees[i] = join(o.BaseDir, p)
	}
	if set.Files, err = NewFiles(paths, trees, o.FileBytes); err != nil {
		return Set{}, nil, err
	}
	names, err := collect(section, m.Asks.DNS)
	if err != nil {
		return Set{}, nil, err
	}
	set.DNS = NewDNS(names, o.Resolver)
	targets, err := collectFields(section, m.Asks.Dial, filled)
	if err != nil {
		return Set{}, nil, err
	}
	if set.TCP, err = newTCP(targets, o); err != nil {
		return Set{}, nil, err
	}
	set.Env, err = newEnv(m.Asks.Env, slices.Concat(implied.Env, o.Env), func(name string) string {
		return cmp.Or(getenv(name), implied.set[name])
	})
	if err != nil {
		return Set{}, nil, err
	}
	set.countUses()
	set.Access = set.access(o, secrets)
	if changesConfig(m.Asks) {
		if config, err = json.Marshal(section); err != nil {
			return Set{}, nil, fmt.Errorf("encode config of plugin %s: %w", m.Name, err)
		}
	}
	return set, config, nil
}

// countUses has everything count in one place.
func (s *Set) countUses() {
	s.Usage = newUsage()
	s.HTTP.usage, s.Files.usage, s.DNS.usage, s.TCP.usage = s.Usage, s.Usage, s.Usage, s.Usage
}

// changesConfig says whether a guest that asks for this sees another config than the operator wrote.
func changesConfig(a sdk.Asks) bool {
	return len(a.Files)+len(a.Defaults)+len(a.Headers) > 0 || a.BasicAuth != sdk.BasicAuth{}
}

// join resolves path against base; empty and absolute paths stay as they are.
func join(base, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// collectFields is collect, with the values of filled fields apart.
func collectFields(section any, exprs, filled []string) (fields, error) {
	isFilled := func(expr string) bool { return slices.Contains(filled, expr) }
	defaults, err1 := collect(section, slices.DeleteFunc(slices.Clone(exprs), func(e string) bool { return !isFilled(e) }))
	written, err2 := collect(section, slices.DeleteFunc(slices.Clone(exprs), isFilled))
	return fields{written: written, defaults: defaults}, errors.Join(err1, err2)
}

func collect(section any, exprs []string) ([]string, error) {
	var found []string
	for _, expr := range exprs {
		err := visit(section, expr, func(s string) string {
			if s != "" {
				found = append(found, s)
			}
			return s
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func decode(config sdk.Config) (any, error) {
	if len(bytes.TrimSpace(config)) == 0 {
		return nil, nil //nolint:nilnil // no config is a valid config without fields
	}
	d := json.NewDecoder(bytes.NewReader(config))
	d.UseNumber() // numbers travel through unchanged
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}
