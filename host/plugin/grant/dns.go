package grant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/sdk"
)

// DNS looks granted names up. It is safe for concurrent use.
type DNS struct {
	resolver *net.Resolver
	names    map[string]struct{}
	usage    *Usage
}

// NewDNS grants look-ups of names through resolver; nil means the operating system's.
func NewDNS(names []string, resolver *net.Resolver) *DNS {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	d := &DNS{resolver: resolver, names: make(map[string]struct{}, len(names))}
	for _, n := range names {
		d.names[canonical(n)] = struct{}{}
	}
	return d
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Names returns what is granted, sorted.
func (d *DNS) Names() []string {
	if d == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(d.names))
}

// Lookup returns the records of a name; a name that does not exist has none. An error wraps [ErrNotGranted] when the name
// is not granted.
func (d *DNS) Lookup(ctx context.Context, t sdk.DNSType, name string) ([]sdk.DNSRecord, error) {
	if d == nil {
		return nil, fmt.Errorf("look-up of %s: %w", name, ErrNotGranted)
	}
	if _, ok := d.names[canonical(name)]; !ok {
		return nil, fmt.Errorf("look-up of %s: %w", name, ErrNotGranted)
	}
	d.usage.count(func(u *Used) map[string]uint64 { return u.DNS }, canonical(name))
	records, err := d.lookup(ctx, t, name)
	if missing := (*net.DNSError)(nil); errors.As(err, &missing) && missing.IsNotFound {
		return nil, nil
	}
	return records, err
}

func (d *DNS) lookup(ctx context.Context, t sdk.DNSType, name string) ([]sdk.DNSRecord, error) {
	var records []sdk.DNSRecord
	add := func(target string, port uint16) { records = append(records, sdk.DNSRecord{Target: target, Port: port}) }
	switch t {
	case sdk.DNSTypeSRV:
		_, found, err := d.resolver.LookupSRV(ctx, "", "", name)
		for _, r := range found {
			add(r.Target, r.Port)
		}
		return records, err
	case sdk.DNSTypeA, sdk.DNSTypeAAAA:
		network := "ip4"
		if t == sdk.DNSTypeAAAA {
			network = "ip6"
		}
		found, err := d.resolver.LookupNetIP(ctx, network, name)
		for _, ip := range found {
			add(ip.Unmap().String(), 0)
		}
		return records, err
	case sdk.DNSTypeMX:
		found, err := d.resolver.LookupMX(ctx, name)
		for _, r := range found {
			add(r.Host, 0)
		}
		return records, err
	case sdk.DNSTypeNS:
		found, err := d.resolver.LookupNS(ctx, name)
		for _, r := range found {
			add(r.Host, 0)
		}
		return records, err
	}
	return nil, fmt.Errorf("look-up of %s: there is no record type %q; there are SRV, A, AAAA, MX and NS", name, t)
}
