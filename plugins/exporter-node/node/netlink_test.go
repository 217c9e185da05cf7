//go:build linux

package node

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// message is a netlink message with its header.
func message(kind uint16, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = append(m, make([]byte, 10)...) // Flags, sequence and port.
	return append(m, body...)
}

// attribute is padded to a multiple of four bytes.
func attribute(kind uint16, value []byte) []byte {
	a := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	a = append(a, value...)
	return append(a, make([]byte, -len(a)&3)...)
}

// counters are n of them, numbered from 1.
func counters(n int) []byte {
	var b []byte
	for i := range n {
		b = binary.NativeEndian.AppendUint64(b, uint64(i+1))
	}
	return b
}

func linkMessage(name string, stats []byte) []byte {
	header, ifname := make([]byte, unix.SizeofIfInfomsg), attribute(unix.IFLA_IFNAME, append([]byte(name), 0))
	if stats == nil {
		return message(unix.RTM_NEWLINK, header, ifname)
	}
	return message(unix.RTM_NEWLINK, header, ifname, attribute(unix.IFLA_STATS64, stats))
}

func TestParseLinkDump(t *testing.T) {
	old := countedStats()
	old.RxNoHandler = 0
	links, done, err := parseLinkDump(slices.Concat(
		linkMessage("eth0", counters(24)),
		linkMessage("new0", counters(25)), // Fields of the future are ignored,
		linkMessage("old0", counters(23)), // those that an old kernel lacks are 0,
		linkMessage("nostats", nil),       // and a device without any is left out.
	))
	want := []link{{name: "eth0", stats: countedStats()}, {name: "new0", stats: countedStats()}, {name: "old0", stats: old}}
	if err != nil || done || !slices.Equal(links, want) {
		t.Errorf("got %+v, %v, %v", links, done, err)
	}
	links, done, err = parseLinkDump(slices.Concat(linkMessage("eth0", counters(24)), message(unix.NLMSG_DONE)))
	if err != nil || !done || len(links) != 1 {
		t.Errorf("got %+v, %v, %v", links, done, err)
	}
	refusal := -int32(unix.EPERM)
	_, _, err = parseLinkDump(message(unix.NLMSG_ERROR, binary.NativeEndian.AppendUint32(nil, uint32(refusal))))
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("got %v", err)
	}
}

func TestDumpLinksFindsLoopback(t *testing.T) {
	links, err := dumpLinks()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(links, func(l link) bool { return l.name == "lo" }) {
		t.Errorf("no lo in %+v", links)
	}
}

func FuzzParseLinkDump(f *testing.F) {
	f.Add(linkMessage("eth0", counters(24)))
	f.Add(linkMessage("old0", counters(3)))
	f.Add(message(unix.NLMSG_ERROR, []byte{1}))
	f.Add(message(unix.NLMSG_DONE)[:7])
	f.Add(message(unix.RTM_NEWLINK))
	f.Fuzz(func(t *testing.T, data []byte) {
		links, _, err := parseLinkDump(data)
		if err != nil && links != nil {
			t.Errorf("links and an error: %v", err)
		}
		for _, l := range links {
			if l.name == "" {
				t.Error("a device without a name")
			}
		}
	})
}
