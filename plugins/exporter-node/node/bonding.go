//go:build linux

package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// bonding reports how many slaves each bonding device has, and how many of them have a link.
type bonding struct{ sysfs string }

func (c bonding) collect(_ context.Context, _ readings, out *exposition) error {
	root := filepath.Join(c.sysfs, "class/net")
	masters, err := os.ReadFile(filepath.Join(root, "bonding_masters"))
	if err != nil {
		return absent(err)
	}
	for master := range strings.FieldsSeq(string(masters)) {
		slaves, err := os.ReadFile(filepath.Join(root, master, "bonding/slaves"))
		if err != nil {
			return absent(err)
		}
		count, active := 0, 0
		for slave := range strings.FieldsSeq(string(slaves)) {
			state, err := slaveState(filepath.Join(root, master), slave)
			if err != nil {
				return absent(err)
			}
			count++
			if state == "up" {
				active++
			}
		}
		out.gauge("node_bonding_slaves", "Slaves that the bonding device has.", float64(count), label{"master", master})
		out.gauge("node_bonding_active", "Slaves of the bonding device that have a link.", float64(active),
			label{"master", master})
	}
	return nil
}

// slaveState knows the name that old kernels give the slave's folder too.
func slaveState(master, slave string) (string, error) {
	for _, prefix := range []string{"lower_", "slave_"} {
		state, err := os.ReadFile(filepath.Join(master, prefix+slave, "bonding_slave/mii_status"))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return strings.TrimSpace(string(state)), err
		}
	}
	return "", &fs.PathError{Op: "find slave", Path: filepath.Join(master, "lower_"+slave), Err: fs.ErrNotExist}
}
