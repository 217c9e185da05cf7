//go:build linux

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/prometheus/procfs"
)

// mountTable lists the mounts to report.
type mountTable struct {
	proc          procfs.FS
	rootfs        string // Where the measured system's / is mounted.
	points, types filter
}

// mount is one mounted file system.
type mount struct {
	device, point, fstype string // The labels; point is as the measured system sees it.
	major, minor          string
	path                  string // Where this process finds the mount.
	readOnly              bool
}

// read lists the mounts as process 1 has them, or as this process has them where process 1 is hidden.
//
// Of mounts that would get the same labels it returns the last one: it lies on top, and so is the one that statfs
// measures.
func (t mountTable) read() ([]mount, error) {
	infos, err := t.proc.GetProcMounts(1)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		infos, err = t.proc.GetMounts()
	}
	if err != nil {
		return nil, err
	}
	type labels struct{ device, point, fstype string }
	index := make(map[labels]int, len(infos))
	mounts := make([]mount, 0, len(infos))
	for _, info := range infos {
		m, err := t.mount(info)
		if err != nil {
			return nil, err
		}
		if !t.points.keeps(m.point) || !t.types.keeps(m.fstype) {
			continue
		}
		key := labels{m.device, m.point, m.fstype}
		if i, ok := index[key]; ok {
			mounts[i] = m
			continue
		}
		index[key] = len(mounts)
		mounts = append(mounts, m)
	}
	return mounts, nil
}

func (t mountTable) mount(info *procfs.MountInfo) (mount, error) {
	major, minor, ok := strings.Cut(info.MajorMinorVer, ":")
	if !ok {
		return mount{}, fmt.Errorf("mount %s: device number %q is not major:minor", info.MountPoint, info.MajorMinorVer)
	}
	point := t.withoutRootfs(unescapeMount(info.MountPoint))
	return mount{
		device:   info.Source,
		point:    point,
		fstype:   info.FSType,
		major:    major,
		minor:    minor,
		path:     filepath.Join(t.rootfs, point),
		readOnly: isReadOnly(info),
	}, nil
}

// withoutRootfs turns a path of this process into one of the measured system; paths elsewhere stay as they are.
func (t mountTable) withoutRootfs(point string) string {
	rest, ok := strings.CutPrefix(point, strings.TrimSuffix(t.rootfs, "/"))
	switch {
	case ok && rest == "":
		return "/"
	case ok && rest[0] == '/':
		return rest
	default:
		return point
	}
}

// isReadOnly holds too for a file system that the kernel made read-only after an error.
func isReadOnly(info *procfs.MountInfo) bool {
	_, mount := info.Options["ro"]
	_, super := info.SuperOptions["ro"]
	_, emergency := info.SuperOptions["emergency_ro"]
	return mount || super || emergency
}

// unescapeMount undoes the kernel's escapes of space, tab, newline and backslash.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
