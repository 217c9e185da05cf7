//go:build linux

package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dumpLinks asks the kernel, over netlink, for all network devices of this process's network namespace.
func dumpLinks() (links []link, err error) {
	err = netlinkDump(linkDumpRequest(), func(data []byte) (bool, error) {
		more, done, err := parseLinkDump(data)
		links = append(links, more...)
		return done, err
	})
	return links, err
}

// netlinkDump sends the request and hands the datagrams of the answer to take, until that is done or fails.
func netlinkDump(request []byte, take func(data []byte) (done bool, err error)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	// The kernel answers at once or never.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	buf := make([]byte, 32<<10) // The kernel's largest dump message.
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		if done, err := take(buf[:n]); done || err != nil {
			return err
		}
	}
}

// linkDumpRequest is a header and an ifinfomsg of zeroes, which stands for all devices.
func linkDumpRequest() []byte {
	req := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(req[0:], uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	return req
}

// parseLinkDump parses one datagram of the answer; done says that it was the last one.
func parseLinkDump(data []byte) (links []link, done bool, err error) {
	messages, err := syscall.ParseNetlinkMessage(data)
	if err != nil {
		return nil, false, fmt.Errorf("parse netlink message: %w", err)
	}
	for i := range messages {
		switch m := &messages[i]; m.Header.Type {
		case unix.NLMSG_DONE:
			return links, true, nil
		case unix.NLMSG_ERROR:
			return nil, false, netlinkError(m.Data)
		case unix.RTM_NEWLINK:
			l, ok, err := parseLink(m)
			if err != nil {
				return nil, false, err
			}
			if ok {
				links = append(links, l)
			}
		}
	}
	return links, false, nil
}

func netlinkError(data []byte) error {
	if len(data) < 4 {
		return errors.New("netlink answered with an error that it does not name")
	}
	errno := unix.Errno(-int32(binary.NativeEndian.Uint32(data)))
	return fmt.Errorf("netlink answered: %w", errno)
}

// parseLink is not ok for a device without statistics.
func parseLink(m *syscall.NetlinkMessage) (l link, ok bool, err error) {
	if len(m.Data) < unix.SizeofIfInfomsg { // The parser of the attributes takes it for granted.
		return link{}, false, fmt.Errorf("netlink message of %d bytes is too short for a device", len(m.Data))
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return link{}, false, fmt.Errorf("parse netlink attributes: %w", err)
	}
	l.index = int32(binary.NativeEndian.Uint32(m.Data[4:]))
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			l.name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_STATS64:
			ok = true
			whole := make([]byte, binary.Size(l.stats))
			copy(whole, a.Value)
			if _, err := binary.Decode(whole, binary.NativeEndian, &l.stats); err != nil {
				return link{}, false, fmt.Errorf("parse netlink statistics: %w", err)
			}
		}
	}
	return l, ok && l.name != "", nil
}
