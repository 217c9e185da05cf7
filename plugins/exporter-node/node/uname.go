//go:build linux

package node

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// uname asks uname(2).
type uname struct {
	uname func(buf *unix.Utsname) error
}

func (c uname) collect(_ context.Context, _ readings, out *exposition) error {
	var u unix.Utsname
	if err := c.uname(&u); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	out.gauge("node_uname_info", "Always 1; the labels are what uname(2) says about the system.", 1,
		label{"domainname", unix.ByteSliceToString(u.Domainname[:])},
		label{"machine", unix.ByteSliceToString(u.Machine[:])},
		label{"nodename", unix.ByteSliceToString(u.Nodename[:])},
		label{"release", unix.ByteSliceToString(u.Release[:])},
		label{"sysname", unix.ByteSliceToString(u.Sysname[:])},
		label{"version", unix.ByteSliceToString(u.Version[:])},
	)
	return nil
}
