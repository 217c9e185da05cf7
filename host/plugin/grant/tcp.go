package grant

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
)

// TCP connects to granted hosts and ports. It is safe for concurrent use.
type TCP struct {
	targets map[string]*place
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	usage   *Usage
}

// newTCP grants connections to targets, as host:port, and to those in o.
func newTCP(targets fields, o Options) (*TCP, error) {
	t := &TCP{targets: map[string]*place{}, dial: Dial(net.Dialer{Timeout: connectTimeout, Resolver: o.Resolver})}
	rules := newAddresses(o.Addresses)
	for _, list := range []struct {
		targets []string
		written bool
	}{{targets.defaults, false}, {targets.written, true}, {o.Dial, true}} {
		for _, text := range list.targets {
			name, host, err := parseTarget(text)
			if err != nil {
				return nil, fmt.Errorf("grant connections: %w", err)
			}
			t.targets[name] = &place{host: host, written: list.written, rules: rules}
		}
	}
	return t, nil
}

// ParseTarget returns host:port in the one form in which targets are compared.
func ParseTarget(text string) (string, error) {
	name, _, err := parseTarget(text)
	return name, err
}

func parseTarget(text string) (name, host string, err error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", "", fmt.Errorf("%q is not host:port: %w", text, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("%q: %q is no port from 1 to 65535", text, port)
	}
	host, err = toASCII(canonical(host))
	if host == "" && err == nil {
		err = fmt.Errorf("%q has no host", text)
	}
	return net.JoinHostPort(host, port), host, err
}

// Targets returns what is granted, sorted, as host:port.
func (t *TCP) Targets() []string {
	if t == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.targets))
}

// Dial connects to a granted target. The caller closes the connection. An error wraps [ErrNotGranted] when the target, or
// the address that it resolves to, is not granted.
func (t *TCP) Dial(ctx context.Context, target string) (net.Conn, error) {
	name, _, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	if t == nil || t.targets[name] == nil {
		return nil, fmt.Errorf("connection to %s: %w", name, ErrNotGranted)
	}
	t.usage.count(func(u *Used) map[string]uint64 { return u.Dial }, name)
	return t.dial(toPlace(ctx, t.targets[name]), "tcp", name)
}
