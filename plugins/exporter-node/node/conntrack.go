//go:build linux

package node

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/prometheus/procfs"
)

// conntrack reports how full the table of tracked connections is, and what /proc/net/stat/nf_conntrack counts. Both are
// there once the kernel's module is loaded.
type conntrack struct {
	proc procfs.FS
	path string
}

func (c conntrack) collect(_ context.Context, _ readings, out *exposition) error {
	for _, file := range [...]struct{ file, name, help string }{
		{"nf_conntrack_count", "node_nf_conntrack_entries", "Connections tracked now."},
		{"nf_conntrack_max", "node_nf_conntrack_entries_limit", "Connections that can be tracked."},
	} {
		v, err := readUint(filepath.Join(c.path, "sys/net/netfilter", file.file))
		if err != nil {
			return absent(err)
		}
		out.gauge(file.name, file.help, float64(v))
	}
	cpus, err := c.proc.ConntrackStat()
	if err != nil {
		return fmt.Errorf("read nf_conntrack: %w", absent(err))
	}
	var sum procfs.ConntrackStatEntry
	for _, s := range cpus {
		sum.Found += s.Found
		sum.Invalid += s.Invalid
		sum.Ignore += s.Ignore
		sum.Insert += s.Insert
		sum.InsertFailed += s.InsertFailed
		sum.Drop += s.Drop
		sum.EarlyDrop += s.EarlyDrop
		sum.SearchRestart += s.SearchRestart
	}
	for _, s := range [...]struct {
		name, help string
		value      uint64
	}{
		{"drop", "Packets dropped because tracking them failed.", sum.Drop},
		{"early_drop", "Entries dropped to make room for new ones.", sum.EarlyDrop},
		{"found", "Look-ups that found an entry.", sum.Found},
		{"ignore", "Packets of connections that were tracked already.", sum.Ignore},
		{"insert", "Entries inserted.", sum.Insert},
		{"insert_failed", "Entries that could not be inserted.", sum.InsertFailed},
		{"invalid", "Packets that could not be tracked.", sum.Invalid},
		{"search_restart", "Look-ups that started again because the table was resized.", sum.SearchRestart},
	} {
		out.gauge("node_nf_conntrack_stat_"+s.name, s.help, float64(s.value))
	}
	return nil
}
