//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/prometheus/procfs"
)

// sockstat reports /proc/net/sockstat and sockstat6: how many sockets there are and what memory they take.
type sockstat struct{ proc procfs.FS }

func (c sockstat) collect(_ context.Context, _ readings, out *exposition) error {
	v4, err := c.proc.NetSockstat()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read sockstat: %w", err)
	}
	v6, err := c.proc.NetSockstat6()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read sockstat6: %w", err)
	}
	if v4 != nil && v4.Used != nil {
		out.gauge("node_sockstat_sockets_used", "Sockets in use.", float64(*v4.Used))
	}
	for _, family := range [...]*procfs.NetSockstat{v4, v6} {
		if family == nil {
			continue
		}
		for _, p := range family.Protocols {
			addSockstat(p, out)
		}
	}
	return nil
}

func addSockstat(p procfs.NetSockstatProtocol, out *exposition) {
	for _, field := range [...]struct {
		name  string
		value *int
	}{
		{"alloc", p.Alloc},
		{"inuse", &p.InUse},
		{"mem", p.Mem},
		{"memory", p.Memory},
		{"orphan", p.Orphan},
		{"tw", p.TW},
	} {
		if field.value != nil {
			out.gauge("node_sockstat_"+p.Protocol+"_"+field.name, "Field "+field.name+" of the protocol "+p.Protocol+".",
				float64(*field.value))
		}
	}
	if p.Mem != nil {
		out.gauge("node_sockstat_"+p.Protocol+"_mem_bytes", "Memory of all sockets of the protocol "+p.Protocol+".",
			float64(*p.Mem)*float64(os.Getpagesize()))
	}
}
