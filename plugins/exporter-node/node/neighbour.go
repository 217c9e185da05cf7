//go:build linux

package node

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// neighbour is an entry of the kernel's ARP table.
type neighbour struct {
	link  int32 // The index of its device.
	state uint16
}

// dumpNeighbours asks the kernel, over netlink, for the IPv4 neighbours of all devices.
func dumpNeighbours() (neighbours []neighbour, err error) {
	err = netlinkDump(neighbourDumpRequest(), func(data []byte) (bool, error) {
		more, done, err := parseNeighbourDump(data)
		neighbours = append(neighbours, more...)
		return done, err
	})
	return neighbours, err
}

// sizeofNdMsg is the size of the kernel's struct ndmsg.
const sizeofNdMsg = 12

func neighbourDumpRequest() []byte {
	req := make([]byte, unix.SizeofNlMsghdr+sizeofNdMsg)
	binary.NativeEndian.PutUint32(req[0:], uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], unix.RTM_GETNEIGH)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	req[unix.SizeofNlMsghdr] = unix.AF_INET
	return req
}

// parseNeighbourDump parses one datagram of the answer; done says that it was the last one.
func parseNeighbourDump(data []byte) (neighbours []neighbour, done bool, err error) {
	messages, err := syscall.ParseNetlinkMessage(data)
	if err != nil {
		return nil, false, fmt.Errorf("parse netlink message: %w", err)
	}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.NLMSG_DONE:
			return neighbours, true, nil
		case unix.NLMSG_ERROR:
			return nil, false, netlinkError(m.Data)
		case unix.RTM_NEWNEIGH:
			if len(m.Data) < sizeofNdMsg {
				return nil, false, fmt.Errorf("netlink message of %d bytes is too short for a neighbour", len(m.Data))
			}
			neighbours = append(neighbours, neighbour{
				link:  int32(binary.NativeEndian.Uint32(m.Data[4:])),
				state: binary.NativeEndian.Uint16(m.Data[8:]),
			})
		}
	}
	return neighbours, false, nil
}
