//go:build linux

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// vmstat reports the chosen fields of /proc/vmstat, untyped, because the kernel does not say which of them count.
type vmstat struct {
	path   string
	fields *regexp.Regexp
}

func newVmstat(cfg config) (vmstat, error) {
	fields, err := compile("vmstat.fields", cfg.Vmstat.Fields)
	return vmstat{filepath.Join(cfg.PathProcfs, "vmstat"), fields}, err
}

func (c vmstat) collect(_ context.Context, _ readings, out *exposition) error {
	text, err := os.ReadFile(c.path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		name, number, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return fmt.Errorf("%s: line %q is not a name and a number", c.path, line)
		}
		if !c.fields.MatchString(name) {
			continue
		}
		value, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return fmt.Errorf("%s: field %s: %w", c.path, name, err)
		}
		out.untyped("node_vmstat_"+name, "Field "+name+" of /proc/vmstat.", value)
	}
	return nil
}
