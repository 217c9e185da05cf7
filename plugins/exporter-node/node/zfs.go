//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// zfs reports what the ZFS module tells in /proc/spl/kstat/zfs, untyped, because it does not say what of it counts.
type zfs struct{ dir string }

func (c zfs) collect(_ context.Context, _ readings, out *exposition) error {
	if _, err := os.Stat(c.dir); err != nil {
		return absent(err)
	}
	for _, f := range [...]struct{ file, prefix string }{
		{"abdstats", "node_zfs_abd_"},
		{"arcstats", "node_zfs_arc_"},
		{"dbufstats", "node_zfs_dbuf_"},
		{"dmu_tx", "node_zfs_dmu_tx_"},
		{"dnodestats", "node_zfs_dnode_"},
		{"fm", "node_zfs_fm_"},
		{"vdev_cache_stats", "node_zfs_vdev_cache_"},
		{"vdev_mirror_stats", "node_zfs_vdev_mirror_"},
		{"xuio_stats", "node_zfs_xuio_"},
		{"zfetchstats", "node_zfs_zfetch_"},
		{"zil", "node_zfs_zil_"},
	} {
		stats, err := readKstat(filepath.Join(c.dir, f.file))
		if errors.Is(err, fs.ErrNotExist) {
			continue // Each version of ZFS has other files.
		}
		if err != nil {
			return err
		}
		for _, s := range stats.values {
			out.untyped(f.prefix+strings.ReplaceAll(s.name, "-", "_"), "Statistic "+s.name+" of ZFS's "+f.file+".", s.value)
		}
	}
	return errors.Join(c.addPoolIO(out), c.addDatasets(out), c.addPoolStates(out))
}

// addPoolIO reports a pool's reads and writes, which ZFS before 2.1 has.
func (c zfs) addPoolIO(out *exposition) error {
	return c.eachPoolFile("io", func(pool, path string, text string) error {
		var names []string
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			switch {
			case names == nil && len(fields) >= 12 && fields[0] == "nread":
				names = fields
			case names != nil && len(fields) < len(names):
				return fmt.Errorf("%s: line %q has too few values", path, line)
			case names != nil:
				for i, name := range names {
					value, err := strconv.ParseUint(fields[i], 10, 64)
					if err != nil {
						return fmt.Errorf("%s: %s: %w", path, name, err)
					}
					out.untyped("node_zfs_zpool_"+name, "Statistic "+name+" of the pool.", float64(value), label{"zpool", pool})
				}
			}
		}
		return nil
	})
}

func (c zfs) addDatasets(out *exposition) error {
	return c.eachPoolFile("objset-*", func(pool, path string, text string) error {
		stats, err := parseKstat(path, text)
		for _, s := range stats.values {
			if s.signed {
				continue
			}
			out.untyped("node_zfs_zpool_dataset_"+strings.ReplaceAll(s.name, "-", "_"), "Statistic "+s.name+" of the dataset.",
				s.value, label{"dataset", stats.dataset}, label{"zpool", pool})
		}
		return err
	})
}

func (c zfs) addPoolStates(out *exposition) error {
	return c.eachPoolFile("state", func(pool, _ string, text string) error {
		current, _, _ := strings.Cut(strings.ToLower(text), "\n")
		for _, state := range [...]string{
			"degraded", "faulted", "offline", "online", "removed", "suspended", "unavail",
		} {
			out.gauge("node_zfs_zpool_state", "1 for the state that the pool is in.", truth(current == state),
				label{"state", state}, label{"zpool", pool})
		}
		return nil
	})
}

// eachPoolFile passes over files of a pool that is just being exported.
func (c zfs) eachPoolFile(pattern string, use func(pool, path string, text string) error) error {
	paths, err := filepath.Glob(filepath.Join(c.dir, "*", pattern))
	if err != nil {
		return err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := use(filepath.Base(filepath.Dir(path)), path, string(text)); err != nil {
			return err
		}
	}
	return nil
}

// kstat is a file of named statistics.
type kstat struct {
	dataset string // Whose statistics they are, in a file that says so.
	values  []kstatValue
}

type kstatValue struct {
	name   string
	value  float64
	signed bool
}

func readKstat(path string) (kstat, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return kstat{}, err
	}
	return parseKstat(path, string(text))
}

// parseKstat parses lines of a name, a type and a value after the line that says so, and passes over types that are not
// 64 bits wide.
func parseKstat(path, text string) (kstat, error) {
	const int64Type, uint64Type = "3", "4"
	var k kstat
	started := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if !started {
			started = len(fields) == 3 && fields[0] == "name" && fields[1] == "type" && fields[2] == "data"
			continue
		}
		if len(fields) < 3 {
			continue
		}
		name := fields[0]
		switch {
		case name == "dataset_name":
			k.dataset = strings.TrimSpace(line[strings.Index(line, fields[2]):])
		case fields[1] == uint64Type:
			v, err := strconv.ParseUint(fields[2], 10, 64)
			if err != nil {
				return k, fmt.Errorf("%s: %s: %w", path, name, err)
			}
			k.values = append(k.values, kstatValue{name: name, value: float64(v)})
		case fields[1] == int64Type:
			v, err := strconv.ParseInt(fields[2], 10, 64)
			if err != nil {
				return k, fmt.Errorf("%s: %s: %w", path, name, err)
			}
			k.values = append(k.values, kstatValue{name: name, value: float64(v), signed: true})
		}
	}
	if !started {
		return k, fmt.Errorf("%s: no line says where the statistics begin", path)
	}
	return k, nil
}
