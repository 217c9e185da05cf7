//go:build linux

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// filefd reports /proc/sys/fs/file-nr. The field between the two has been 0 since Linux 2.6.
type filefd struct{ procfs string }

func (c filefd) collect(_ context.Context, _ readings, out *exposition) error {
	path := filepath.Join(c.procfs, "sys/fs/file-nr")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return fmt.Errorf("%s: %q is not three numbers", path, text)
	}
	for i, name := range [...]string{"allocated", "", "maximum"} {
		if name == "" {
			continue
		}
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		out.gauge("node_filefd_"+name, "File descriptors of the whole system, "+name+".", v)
	}
	return nil
}
