package file

import (
	"context"
	"hash/maphash"
	"path/filepath"
	"slices"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Discovery reads files when they change and at each refresh interval. It implements sdk.Discovery.
type Discovery struct {
	config Config
	host   sdk.Host
	seed   maphash.Seed
	known  map[string]known // by path
}

// known is what was last sent of a file.
type known struct {
	hash    uint64 // of the content
	entries int
}

// New returns a Discovery for a config that [ParseConfig] made.
func New(c Config, h sdk.Host) *Discovery {
	return &Discovery{config: c, host: h, seed: maphash.MakeSeed(), known: map[string]known{}}
}

// Run implements sdk.Discovery. Each Run sends everything in its first update and only what changed afterwards.
func (d *Discovery) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	clear(d.known)
	changes := d.host.Files.Changes(ctx) // before the first look, so that nothing is missed in between
	timer := time.NewTicker(d.config.RefreshInterval)
	defer timer.Stop()
	for first := true; ; first = false {
		if groups := d.refresh(); first || len(groups) > 0 {
			select {
			case updates <- groups:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case _, ok := <-changes:
			if !ok {
				changes = nil // the interval remains
			}
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// refresh reads all files and returns what changed since the last time, empty groups for what is gone included.
func (d *Discovery) refresh() []sdk.Group {
	groups := []sdk.Group{}
	present := d.list()
	for _, name := range present {
		groups = append(groups, d.read(name)...)
	}
	for name, k := range d.known {
		if !slices.Contains(present, name) {
			groups = append(groups, gone(name, 0, k.entries)...)
			delete(d.known, name)
		}
	}
	return groups
}

// list returns the paths of the files, each once. What a pattern matched before stays when the host cannot tell now.
func (d *Discovery) list() []string {
	var names []string
	for _, pattern := range d.config.Files {
		found, err := d.host.Files.Glob(pattern)
		if err != nil {
			d.host.Log.Error("listing files failed, keeping the known ones", "pattern", pattern, "err", err)
			for name := range d.known {
				if ok, _ := filepath.Match(pattern, name); ok {
					found = append(found, name)
				}
			}
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// read returns what changed in a file. A file that cannot be read or parsed keeps what was last sent of it.
func (d *Discovery) read(name string) []sdk.Group {
	content, err := d.host.Files.ReadFile(name)
	if err != nil {
		d.host.Log.Error("reading a file failed, keeping its last targets", "path", name, "err", err)
		return nil
	}
	hash := maphash.Bytes(d.seed, content)
	last, ok := d.known[name]
	if ok && last.hash == hash {
		return nil
	}
	groups, err := Parse(name, content)
	if err != nil {
		d.host.Log.Error("file is broken, keeping its last targets", "path", name, "err", err)
		return nil
	}
	d.known[name] = known{hash: hash, entries: len(groups)}
	return append(groups, gone(name, len(groups), last.entries)...)
}

// gone returns empty groups for the entries from first up to end.
func gone(name string, first, end int) []sdk.Group {
	var groups []sdk.Group
	for i := first; i < end; i++ {
		groups = append(groups, sdk.Group{Source: sourceOf(name, i), Targets: []string{}})
	}
	return groups
}
