package plugin

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/host/plugin/trust"
	"github.com/narthex-io/narthex/internal/strictyaml"
)

// Config is the section plugins of the config file.
type Config struct {
	// Directory holds the plugins, instead of the folders that the catalogue was made with.
	Directory string `yaml:"directory,omitempty"`
	// TrustedKeys are public keys of minisign that may sign plugins, as the line of their files that starts with RW.
	TrustedKeys []string `yaml:"trusted_keys,omitempty"`
	// Lock, if not nil, says which files may be loaded. It comes from a file beside the config; see [ReadLock].
	Lock *Lock `yaml:"-"`
	// Settings are by a plugin's name.
	Settings map[string]Settings `yaml:"settings,omitempty"`
}

// Settings are what the operator decides about one plugin.
type Settings struct {
	// SHA256 pins the plugin's file, in hexadecimal; a file with another digest is not even looked into. A lock does not count
	// for a plugin that is pinned.
	SHA256 string `yaml:"sha256,omitempty"`
	// Limits bound each guest of the plugin.
	Limits Limits `yaml:"limits,omitempty"`
	// Grants are given whatever the plugin's config says.
	Grants Grants `yaml:"grants,omitempty"`
	// Isolation says where a wasm plugin runs; empty means worker for exporters and parsers, inline for all others.
	Isolation Isolation `yaml:"isolation,omitempty"`
	// OnFailure says what becomes of a discovery's targets when the plugin has failed; empty means that they stay.
	OnFailure OnFailure `yaml:"on_failure,omitempty"`
}

// Grants are what a plugin may reach besides what its own config names.
type Grants struct {
	// HTTP are origins, as scheme://host[:port]. Requests there carry no credentials.
	HTTP []string `yaml:"http,omitempty"`
	// Files are files, folders with everything below them, or paths whose last element is a pattern.
	Files []string `yaml:"files,omitempty"`
	// Dial are targets of TCP connections, as host:port.
	Dial []string `yaml:"dial,omitempty"`
	// Addresses are where granted names may be although others may not, as addresses and as prefixes such as 127.0.0.0/8.
	Addresses []string `yaml:"addresses,omitempty"`
	// Env are environment variables, of those that the plugin asks for.
	Env []string `yaml:"env,omitempty"`
}

// prefixes returns the addresses; those that are none are left out.
func (g *Grants) prefixes() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range g.Addresses {
		if p, err := parsePrefix(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// parsePrefix reads an address or a prefix.
func parsePrefix(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return ip.Unmap().Prefix(ip.Unmap().BitLen())
	}
	return netip.ParsePrefix(text)
}

var (
	digestPattern = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	envPattern    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	namePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
)

// SetDirectory resolves relative paths against dir, the config file's folder.
func (c *Config) SetDirectory(dir string) {
	join := func(p string) string {
		if p == "" || filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(dir, p)
	}
	c.Directory = join(c.Directory)
	for name, s := range c.Settings {
		s.Grants.Files = slices.Clone(s.Grants.Files)
		for i, p := range s.Grants.Files {
			s.Grants.Files[i] = join(p)
		}
		c.Settings[name] = s
	}
}

// Validate returns all mistakes, joined, each a *strictyaml.Error whose path starts below plugins.
func (c *Config) Validate() error {
	var errs []error
	for i, key := range c.TrustedKeys {
		if _, err := trust.ParseKey(key); err != nil {
			errs = append(errs, strictyaml.At(strictyaml.Index("trusted_keys", i), err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		path := "settings." + name
		if !namePattern.MatchString(name) {
			errs = append(errs, strictyaml.At(path, errors.New("a plugin's name consists of a-z, 0-9, _, . and -")))
		}
		s := c.Settings[name]
		for _, err := range s.validate() {
			errs = append(errs, strictyaml.At(path, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Settings) validate() []error {
	var errs []error
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			errs = append(errs, strictyaml.At(field, fmt.Errorf(format, args...)))
		}
	}
	check(s.SHA256 == "" || digestPattern.MatchString(s.SHA256), "sha256", "%q is not 64 hexadecimal digits", s.SHA256)
	errs = append(errs, s.Limits.validate()...)
	for i, o := range s.Grants.HTTP {
		check(strings.HasPrefix(o, "http://") || strings.HasPrefix(o, "https://"),
			strictyaml.Index("grants.http", i), "%q does not start with http:// or https://", o)
	}
	for i, f := range s.Grants.Files {
		check(f != "", strictyaml.Index("grants.files", i), "empty path")
	}
	for i, d := range s.Grants.Dial {
		if _, err := grant.ParseTarget(d); err != nil {
			errs = append(errs, strictyaml.At(strictyaml.Index("grants.dial", i), err))
		}
	}
	for i, a := range s.Grants.Addresses {
		_, err := parsePrefix(a)
		check(err == nil, strictyaml.Index("grants.addresses", i), "%q is neither an address nor a prefix such as 127.0.0.0/8", a)
	}
	check(slices.Contains([]OnFailure{"", OnFailureKeepLast, OnFailureDrop}, s.OnFailure),
		"on_failure", "%q is neither keep_last nor drop", s.OnFailure)
	for i, name := range s.Grants.Env {
		check(envPattern.MatchString(name), strictyaml.Index("grants.env", i), "%q is not the name of an environment variable", name)
	}
	check(slices.Contains([]Isolation{"", IsolationInline, IsolationWorker}, s.Isolation),
		"isolation", "%q is neither inline nor worker", s.Isolation)
	return errs
}

// Size is a number of bytes, written with a unit: 64MiB. Units are powers of 1024, with and without the i.
type Size uint64

// ParseSize reads a size such as 512KB, 1.5GiB, 100B or 0.
func ParseSize(text string) (Size, error) {
	number := strings.TrimRight(text, "KMGTiB")
	shift, ok := map[string]int{"B": 0, "KB": 10, "KiB": 10, "MB": 20, "MiB": 20, "GB": 30, "GiB": 30, "TB": 40, "TiB": 40}[text[len(number):]]
	if v, err := strconv.ParseFloat(number, 64); err == nil && v >= 0 && (ok || text == "0") {
		if v *= float64(uint64(1) << shift); v < math.MaxInt64 {
			return Size(v), nil
		}
	}
	return 0, fmt.Errorf("%q is not a size: write a number and a unit, such as 64MiB", text)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	*s = v
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String formats s with the largest unit that keeps it whole.
func (s Size) String() string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for s != 0 && s%1024 == 0 && i < len(units)-1 {
		s /= 1024
		i++
	}
	return strconv.FormatUint(uint64(s), 10) + units[i]
}
