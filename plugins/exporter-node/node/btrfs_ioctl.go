//go:build linux

package node

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// btrfsDevice is a device of a Btrfs.
type btrfsDevice struct {
	path, uuid  string
	used, total uint64
	errors      [5]uint64 // See btrfsErrorKinds.
}

// The kernel's ioctl numbers: both directions or only reading, the size of the struct, Btrfs' letter, and the number.
const (
	btrfsFSInfo   = 0x8400941f
	btrfsDevInfo  = 0xd000941e
	btrfsDevStats = 0xc4089434
)

// dumpBtrfsDevices asks the Btrfs that is mounted at path for its id, without dashes, and its devices.
func dumpBtrfsDevices(path string) (fsid string, devices []btrfsDevice, err error) {
	dir, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = dir.Close() }()
	var info [1024]byte // struct btrfs_ioctl_fs_info_args
	if err := ioctl(dir, btrfsFSInfo, info[:]); err != nil {
		return "", nil, err
	}
	maxID, count := binary.NativeEndian.Uint64(info[0:]), binary.NativeEndian.Uint64(info[8:])
	fsid = hex.EncodeToString(info[16:32])
	// Ids begin at 1 and have gaps where devices were removed; 0 is a device that is being replaced.
	for id := uint64(0); id <= maxID && uint64(len(devices)) < count; id++ {
		d, err := readBtrfsDevice(dir, id)
		if errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		devices = append(devices, d)
	}
	return fsid, devices, nil
}

func readBtrfsDevice(dir *os.File, id uint64) (btrfsDevice, error) {
	var info [4096]byte // struct btrfs_ioctl_dev_info_args
	binary.NativeEndian.PutUint64(info[0:], id)
	if err := ioctl(dir, btrfsDevInfo, info[:]); err != nil {
		return btrfsDevice{}, err
	}
	const pathAt = 4096 - 1024
	d := btrfsDevice{
		path:  unix.ByteSliceToString(info[pathAt:]),
		uuid:  hex.EncodeToString(info[8:24]),
		used:  binary.NativeEndian.Uint64(info[24:]),
		total: binary.NativeEndian.Uint64(info[32:]),
	}
	var stats [1032]byte // struct btrfs_ioctl_get_dev_stats
	binary.NativeEndian.PutUint64(stats[0:], id)
	binary.NativeEndian.PutUint64(stats[8:], uint64(len(d.errors)))
	if err := ioctl(dir, btrfsDevStats, stats[:]); err != nil {
		return btrfsDevice{}, err
	}
	for i := range d.errors {
		d.errors[i] = binary.NativeEndian.Uint64(stats[24+8*i:])
	}
	return d, nil
}

func ioctl(f *os.File, request uintptr, arg []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&arg[0])))
	if errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}
