package plugin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/narthex-io/narthex/host/plugin/trust"
	"github.com/narthex-io/narthex/internal/suggest"
	"github.com/narthex-io/narthex/sdk"
)

// file is a plugin's file. It does not change after it was found.
type file struct {
	name      string
	path      string
	transport Transport
	digest    string
	signature trust.Signature
	manifest  sdk.Manifest
	err       error // why it cannot be loaded
}

// nativePrefixes start the names of executables that are taken for plugins. Another executable is never run to find
// out, unless the config names it: a plugin's folder can be the one with all the system's programs.
var nativePrefixes = []string{"sd-", "exporter-", "notify-", "parser-", "auth-"} //nolint:gochecknoglobals // constant table

var keyPattern = regexp.MustCompile(`^([a-z0-9_]+_(sd_configs|notify_configs|auth)|sigv4)$`)

// found is what a search of the directories found.
type found struct {
	directories []string
	files       []*file // in the order of the directories; names are unique
	shadowed    []*file // of the same name as an earlier one
}

// find searches the directories and reads the manifests of the files.
func (c *Catalogue) find(ctx context.Context, config Config, uses []Use) (*found, error) {
	s := &found{directories: c.options.Directories}
	if config.Directory != "" {
		s.directories = []string{config.Directory}
	}
	named := map[string]bool{}
	for name := range config.Settings {
		named[name] = true
	}
	for i := range uses {
		named[uses[i].Plugin] = true
	}
	for _, path := range c.options.Files {
		f, ok := candidateAt(path)
		if !ok {
			return nil, fmt.Errorf("%s is neither a wasm module nor an executable: build it with narthex plugin build", path)
		}
		s.files = append(s.files, f)
	}
	for _, dir := range s.directories {
		err := s.search(dir, named)
		if err != nil && (config.Directory != "" || !errors.Is(err, fs.ErrNotExist)) {
			return nil, fmt.Errorf("search for plugins: %w: correct plugins.directory or --plugins.directory", err)
		}
	}
	c.describe(ctx, s, config, uses)
	return s, ctx.Err()
}

func (s *found) search(dir string, named map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var files []*file
	for _, e := range entries {
		if f, ok := candidate(dir, e.Name(), named); ok {
			files = append(files, f)
		}
	}
	// Of two files with one name in one folder the sandboxed one wins.
	slices.SortStableFunc(files, func(a, b *file) int { return cmp.Compare(b.transport, a.transport) })
	for _, f := range files {
		if s.byName(f.name) != nil {
			s.shadowed = append(s.shadowed, f)
			continue
		}
		s.files = append(s.files, f)
	}
	return nil
}

// maxModuleBytes bounds a module: compiling takes some fifty times its size of memory. Large ones, with a client for a cloud, have ten
// to forty megabytes.
const maxModuleBytes = 64 << 20

// candidate returns the file if it can be a plugin.
func candidate(dir, base string, named map[string]bool) (*file, bool) {
	if strings.HasPrefix(base, ".") {
		return nil, false
	}
	path := filepath.Join(dir, base)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	if name, ok := strings.CutSuffix(base, ".wasm"); ok {
		f := &file{name: name, path: path, transport: TransportWasm}
		if info.Size() > maxModuleBytes {
			f.err = fmt.Errorf("the module has %d bytes; compiling one of more than %d takes too much memory: build it as an executable", info.Size(), maxModuleBytes)
		}
		return f, true
	}
	name, exe := strings.CutSuffix(base, ".exe")
	known := named[name] || slices.ContainsFunc(nativePrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	executable := info.Mode()&0o111 != 0 || exe && runtime.GOOS == "windows"
	if !known || strings.Contains(name, ".") {
		return nil, false
	}
	f := &file{name: name, path: path, transport: TransportProcess}
	if !executable {
		f.err = errors.New("the file is not executable: chmod +x, or take it out of the plugins directory")
	}
	return f, true
}

// candidateAt is candidate for a file that was named on purpose.
func candidateAt(path string) (*file, bool) {
	dir, base := filepath.Split(path)
	return candidate(dir, base, map[string]bool{strings.TrimSuffix(base, ".exe"): true})
}

func (s *found) byName(name string) *file {
	for _, f := range s.files {
		if f.name == name {
			return f
		}
	}
	return nil
}

// describe fills in digests and manifests: of all files, or of those that the uses need and those whose manifest is kept.
func (c *Catalogue) describe(ctx context.Context, s *found, config Config, uses []Use) {
	if !c.options.OnlyUsed {
		c.read(ctx, s.files, config)
		return
	}
	likely := map[string]bool{}
	for i := range uses {
		likely[uses[i].likelyName()] = true
	}
	var now, later []*file
	for _, f := range s.files {
		if likely[f.name] || c.isKept(f) {
			now = append(now, f)
		} else {
			later = append(later, f)
		}
	}
	c.read(ctx, now, config)
	claimed := func(u Use) bool { return u.Key == "" || len(s.claims(u.Key, u.kind())) > 0 }
	if !slices.ContainsFunc(uses, func(u Use) bool { return !claimed(u) }) {
		for _, f := range later {
			f.err = f.checkHeader()
		}
		return
	}
	c.read(ctx, later, config)
}

// checkHeader finds files that are no wasm modules without reading them whole.
func (f *file) checkHeader() error {
	if f.transport != TransportWasm || f.err != nil {
		return f.err
	}
	r, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	const magic = "\x00asm"
	header := make([]byte, len(magic))
	if _, err := io.ReadFull(r, header); err != nil || string(header) != magic {
		return errors.New("this is no wasm module: build it with narthex plugin build, or with GOOS=wasip1 GOARCH=wasm")
	}
	return nil
}

// isKept reports whether the manifest of a file can be had without starting the plugin.
func (c *Catalogue) isKept(f *file) bool {
	digest, err := digestOf(f.path)
	if err != nil || c.options.CacheDir == "" {
		return false
	}
	_, err = os.Stat(c.keptManifest(digest))
	return err == nil
}

// read fills in digests and manifests, several files at a time.
func (c *Catalogue) read(ctx context.Context, files []*file, config Config) {
	slots := make(chan struct{}, max(runtime.GOMAXPROCS(0), 1))
	var wait sync.WaitGroup
	for _, f := range files {
		if f.err != nil {
			continue
		}
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			f.err = c.describeOne(ctx, f, config)
		})
	}
	wait.Wait()
}

func (c *Catalogue) describeOne(ctx context.Context, f *file, config Config) error {
	err := c.vet(f, config)
	if err != nil {
		return err
	}
	if f.manifest, err = c.manifest(ctx, f, config.Settings[f.name]); err != nil {
		return err
	}
	return f.checkManifest()
}

// checkManifest returns what in a manifest cannot be true. What concerns every host has been checked when it came.
func (f *file) checkManifest() error {
	m := f.manifest
	if m.Name != f.name {
		return fmt.Errorf("the file is named %s, but its manifest says %s: they have to be the same; rename the file, or build it anew", f.name, m.Name)
	}
	for i, k := range m.Keys {
		kinds := kindsOf(k)
		switch {
		case !keyPattern.MatchString(k) || len(kinds) == 0:
			return fmt.Errorf("its manifest claims the key %.80q, which does not end in _sd_configs, _notify_configs or _auth, or is taken: claim another one", k)
		case slices.Contains(m.Keys[:i], k):
			return fmt.Errorf("its manifest claims the key %.80q twice: once is enough", k)
		case !slices.ContainsFunc(kinds, func(kind sdk.Kind) bool { return slices.Contains(m.Kinds, kind) }):
			return fmt.Errorf("its manifest claims the key %.80q, but is not of the kind %s: add the kind or take the key out of the manifest", k, kinds[0])
		}
	}
	return nil
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// resolve returns the one file that serves u.
func (s *found) resolve(u *Use) (*file, error) {
	if u.Key == "" {
		f := s.byName(u.Plugin)
		switch {
		case f == nil:
			return nil, fmt.Errorf("there is no plugin %s%s", u.Plugin, s.searched(u))
		case f.err != nil:
			return nil, fmt.Errorf("plugin %s (%s): %w", f.name, f.path, f.err)
		case !slices.Contains(f.manifest.Kinds, u.kind()):
			return nil, fmt.Errorf("plugin %s (%s) is of the kind %s, not %s", f.name, f.path, joined(f.manifest.Kinds), u.kind())
		}
		return f, nil
	}
	claims := s.claims(u.Key, u.kind())
	switch len(claims) {
	case 0:
		if f := s.byName(u.likelyName()); f != nil && f.err != nil {
			return nil, fmt.Errorf("plugin %s (%s) for the key %s: %w", f.name, f.path, u.Key, f.err)
		}
		return nil, fmt.Errorf("no plugin claims the key %s%s%s%s", u.Key, otherKind(s, u), s.searched(u), s.meant(u))
	case 1:
		return claims[0], nil
	}
	return nil, fmt.Errorf("the key %s is claimed by %s (%s) and by %s (%s)", u.Key,
		claims[0].name, claims[0].path, claims[1].name, claims[1].path)
}

// claims returns the files that claim a key and serve as the kind that belongs to it.
func (s *found) claims(key string, kind sdk.Kind) []*file {
	var claims []*file
	for _, f := range s.files {
		if f.err == nil && slices.Contains(f.manifest.Keys, key) && slices.Contains(f.manifest.Kinds, kind) {
			claims = append(claims, f)
		}
	}
	return claims
}

func joined(kinds []sdk.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// otherKind names a plugin that claims the use's key as another kind.
func otherKind(s *found, u *Use) string {
	for _, kind := range kindsOf(u.Key) {
		if claims := s.claims(u.Key, kind); kind != u.kind() && len(claims) > 0 {
			return fmt.Sprintf(" as %s (%s is %s)", u.kind(), claims[0].path, kind)
		}
	}
	return ""
}

// meant says which key or field is nearly the use's, by what stands before the ending that all keys of a kind have.
func (s *found) meant(u *Use) string {
	names := slices.Clone(u.Alternatives)
	for _, f := range s.files {
		if slices.Contains(f.manifest.Kinds, u.kind()) {
			names = append(names, f.manifest.Keys...)
		}
	}
	stem := func(name string) string {
		for _, suffix := range []string{DiscoveryKeySuffix, NotifyKeySuffix, AuthKeySuffix} {
			name = strings.TrimSuffix(name, suffix)
		}
		return name
	}
	byStem := map[string]string{}
	for _, name := range names {
		byStem[stem(name)] = name
	}
	if best := suggest.Nearest(stem(u.Key), slices.Collect(maps.Keys(byStem))); best != "" {
		return "; did you mean " + byStem[best] + "?"
	}
	return ""
}

// searched says where a plugin was looked for and what was found there: for a key, the keys that are claimed by plugins of that
// kind and the files that cannot be loaded; else the plugins of that kind.
func (s *found) searched(u *Use) string {
	text := "; no directory was searched"
	if len(s.directories) > 0 {
		text = "; searched " + strings.Join(s.directories, ", ")
	}
	var there []string
	for _, f := range s.files {
		switch {
		case f.err != nil && u.Key != "":
			text += fmt.Sprintf("; %s cannot be loaded: %v", f.path, f.err)
		case f.err != nil || !slices.Contains(f.manifest.Kinds, u.kind()):
		case u.Key == "":
			there = append(there, f.name)
		default:
			for _, key := range f.manifest.Keys {
				if slices.Contains(kindsOf(key), u.kind()) {
					there = append(there, key)
				}
			}
		}
	}
	if len(there) > 0 {
		text += "; found " + strings.Join(there, ", ")
	}
	return text
}

// warn logs what is wrong with the files and does no harm to the uses.
func (s *found) warn(log *slog.Logger) {
	for _, f := range s.files {
		if locked := (*lockError)(nil); errors.As(f.err, &locked) {
			log.Debug("plugin is not in the lock; the config does not use it", "plugin", f.name, "path", f.path)
		} else if f.err != nil {
			log.Warn("plugin cannot be loaded; the config does not use it", "plugin", f.name, "path", f.path, "err", f.err)
		} else if f.signature.State == trust.StateWrong {
			log.Warn("signature of plugin is wrong, and none is required", "plugin", f.name, "path", f.path, "err", f.signature.Problem)
		}
		for _, k := range f.manifest.Keys {
			for _, kind := range kindsOf(k) {
				if claims := s.claims(k, kind); len(claims) > 1 && claims[0] == f {
					log.Warn("several plugins claim a key; the config does not use it", "plugin", f.name, "key", k, "kind", kind, "other", claims[1].path)
				}
			}
		}
	}
	for _, f := range s.shadowed {
		log.Warn("plugin file is ignored, an earlier one has the same name", "plugin", f.name, "path", f.path, "used", s.byName(f.name).path)
	}
}
