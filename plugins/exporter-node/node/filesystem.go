//go:build linux

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

const (
	defaultMountPointsExclude = `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`
	defaultFSTypesExclude     = `^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|` +
		`iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$`
)

// filesystem reports, with statfs(2), how full the mounted file systems are.
type filesystem struct {
	mounts mountTable
	probe  prober
}

func newFilesystem(cfg config, proc procfs.FS, statfs func(string, *unix.Statfs_t) error) (*filesystem, error) {
	f := cfg.Filesystem
	points, err := newFilter("filesystem.mount_points", f.MountPointsInclude, f.MountPointsExclude,
		defaultMountPointsExclude)
	if err != nil {
		return nil, err
	}
	types, err := newFilter("filesystem.fs_types", f.FSTypesInclude, f.FSTypesExclude, defaultFSTypesExclude)
	if err != nil {
		return nil, err
	}
	return &filesystem{
		mounts: mountTable{proc: proc, rootfs: cfg.PathRootfs, points: points, types: types},
		probe:  prober{statfs: statfs, timeout: time.Duration(f.MountTimeout)},
	}, nil
}

func (c *filesystem) collect(ctx context.Context, _ readings, out *exposition) error {
	mounts, err := c.mounts.read()
	if err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	paths := make([]string, len(mounts))
	for i, m := range mounts {
		paths[i] = m.path
	}
	answers, err := c.probe.ask(ctx, paths)
	if err != nil {
		return err
	}
	for i, m := range mounts {
		addMount(m, answers[i], out)
	}
	return nil
}

func addMount(m mount, a answer, out *exposition) {
	failed, reason := 0.0, ""
	if a.err != nil {
		failed, reason = 1, a.err.Error()
	}
	readOnly := 0.0
	if m.readOnly {
		readOnly = 1
	}
	device, point := label{"device", m.device}, label{"mountpoint", m.point}
	gauge := func(name, help string, value float64) {
		out.gauge(name, help, value, device, label{"device_error", reason}, label{"fstype", m.fstype}, point)
	}
	gauge("node_filesystem_device_error", "1 if the file system could not be measured; device_error says why.", failed)
	gauge("node_filesystem_readonly", "1 if the file system is mounted read-only.", readOnly)
	if a.err != nil {
		return
	}
	s, block := a.stat, float64(a.stat.Bsize)
	gauge("node_filesystem_size_bytes", "Size of the file system.", float64(s.Blocks)*block)
	gauge("node_filesystem_free_bytes", "Free space, including what is reserved for root.", float64(s.Bfree)*block)
	gauge("node_filesystem_avail_bytes", "Free space that is left for users other than root.", float64(s.Bavail)*block)
	gauge("node_filesystem_files", "Number of inodes.", float64(s.Files))
	gauge("node_filesystem_files_free", "Number of free inodes.", float64(s.Ffree))
	gauge("node_filesystem_purgeable_bytes", "Space that macOS could free; always 0 on Linux.", 0)
	out.gauge("node_filesystem_mount_info", "Always 1; the labels say which device is mounted where.", 1,
		device, label{"major", m.major}, label{"minor", m.minor}, point)
}
