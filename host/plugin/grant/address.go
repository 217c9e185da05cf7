package grant

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
)

// place is a host to which connections are granted, and what it takes to be it.
type place struct {
	host string // in lower case, without brackets and last dot
	// written says that the operator wrote the host, and not the plugin's manifest.
	written bool
	rules   *addresses
}

// addresses says where granted hosts may be. Whoever answers for a name may answer with any address, and with another one
// each time: what is asked and what is connected to is checked as one, when the connection is made.
type addresses struct {
	granted   []netip.Prefix
	hostsFile string
}

func newAddresses(granted []netip.Prefix) *addresses {
	return &addresses{granted: granted, hostsFile: "/etc/hosts"}
}

// check returns an error that wraps [ErrNotGranted] when the host of p must not be at ip. An address that the operator wrote
// is itself. A name may be anywhere but on this machine, unless it is known here as one of its own, and but where only
// something that speaks for this machine is: link-local addresses, and those at which clouds hand out credentials.
func (p *place) check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	if slices.ContainsFunc(p.rules.granted, func(g netip.Prefix) bool { return g.Contains(ip) }) {
		return nil
	}
	literal, err := netip.ParseAddr(p.host)
	if err == nil && p.written && literal.Unmap().WithZone("") == ip {
		return nil
	}
	what := classify(ip)
	if what == "" || what == loopback && (err == nil || p.isLocal()) {
		return nil
	}
	return fmt.Errorf("connect to %s: its address %v is %s, and it would have to be named in grants.addresses: %w",
		p.host, ip, what, ErrNotGranted)
}

const loopback = "this machine's own"

// classify says what is special about an address; "" is nothing.
func classify(ip netip.Addr) string {
	if inner, ok := embedded(ip); ok {
		if what := classify(inner); what != "" {
			return what
		}
	}
	switch {
	case ip.IsLoopback():
		return loopback
	case ip.IsUnspecified(), ip.Is4() && ip.As4()[0] == 0:
		return "unspecified"
	case ip.IsLinkLocalUnicast():
		return "link-local"
	case ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "multicast"
	case slices.Contains(metadataAddresses, ip):
		return "that of a cloud's metadata"
	}
	return ""
}

// metadataAddresses are where clouds hand out credentials of a machine, besides 169.254.169.254.
var metadataAddresses = []netip.Addr{ //nolint:gochecknoglobals // constant table
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd20:ce::254"),    // Google
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle
	netip.MustParseAddr("168.63.129.16"),   // Azure
}

// embedded returns the IPv4 address to which a gateway on the way would translate ip, as NAT64 and 6to4 do.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return ip, false
	}
	b := ip.As16()
	switch {
	case strings.HasPrefix(string(b[:]), "\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00"):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case strings.HasPrefix(string(b[:]), strings.Repeat("\x00", 12)) && !ip.IsLoopback() && !ip.IsUnspecified():
		return netip.AddrFrom4([4]byte(b[12:])), true // IPv4-compatible, of the past
	}
	return ip, false
}

// isLocal reports whether the machine itself says that the host is one of its own names.
func (p *place) isLocal() bool {
	if p.host == "localhost" || strings.HasSuffix(p.host, ".localhost") {
		return true
	}
	if own, err := os.Hostname(); err == nil && canonical(own) == p.host {
		return true
	}
	f, err := os.Open(p.rules.hostsFile)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) < 2 || !slices.ContainsFunc(fields[1:], func(n string) bool { return canonical(n) == p.host }) {
			continue
		}
		if ip, err := netip.ParseAddr(fields[0]); err == nil && ip.IsLoopback() {
			return true
		}
	}
	return false
}

// placeKey finds the place to connect to in the context of a connection that is made for a guest.
type placeKey struct{}

func toPlace(ctx context.Context, p *place) context.Context {
	return context.WithValue(ctx, placeKey{}, p)
}

// Dial returns a function that connects as d does. For a guest's requests it goes only to addresses that the granted host
// may have: each address is checked right before it is connected to, so that no second look-up can change it. All other
// connections, such as those to the operator's proxy, are as free as d's.
func Dial(d net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	d.ControlContext = func(ctx context.Context, _, address string, _ syscall.RawConn) error {
		p, _ := ctx.Value(placeKey{}).(*place)
		if p == nil {
			return nil
		}
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("connect to %s: %q is no address: %w", p.host, address, ErrNotGranted)
		}
		return p.check(to.Addr())
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if p, _ := ctx.Value(placeKey{}).(*place); p != nil {
			if host, _, err := net.SplitHostPort(address); err != nil || canonical(host) != p.host {
				ctx = toPlace(ctx, nil) // the operator's proxy
			}
		}
		return d.DialContext(ctx, network, address)
	}
}
