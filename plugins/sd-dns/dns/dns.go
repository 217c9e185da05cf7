// Package dns discovers targets in DNS records, as Prometheus's dns_sd_configs does.
//
// Start with [Plugin] and [ParseConfig]. Names are looked up by the host, which grants exactly those in the config, and which
// looks into its file of hosts first; Prometheus asks name servers alone.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/poll"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// defaultRefresh is how often names are looked up.
const defaultRefresh = 30 * time.Second

// Plugin returns the plugin for guest.Main.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "sd-dns",
			Version: "0.1.0",
			Kinds:   []sdk.Kind{sdk.KindDiscovery},
			Keys:    []string{"dns_sd_configs"},
			Asks:    sdk.Asks{DNS: []string{"names[*]"}},
		},
		NewDiscovery: func(c sdk.Config, h sdk.Host) (sdk.Discovery, error) {
			config, err := ParseConfig(c)
			if err != nil {
				return nil, err
			}
			f := &finder{config: config, host: h, known: make([][]sdk.Group, len(config.Names))}
			return poll.New(poll.Options{Interval: config.RefreshInterval, Log: h.Log, Find: f.find}), nil
		},
	}
}

// Config is one entry of dns_sd_configs.
type Config struct {
	// Names are looked up.
	Names []string
	// Type is that of the records.
	Type sdk.DNSType
	// Port is that of the targets; SRV records have their own.
	Port int
	// RefreshInterval is how often names are looked up.
	RefreshInterval time.Duration
}

// ParseConfig decodes an entry strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	raw := struct {
		Names           []string `json:"names"`
		Type            string   `json:"type"`
		Port            int      `json:"port"`
		RefreshInterval *string  `json:"refresh_interval"`
	}{Type: "SRV"}
	if err := section.Decode(text, &raw); err != nil {
		return Config{}, err
	}
	c := Config{Names: raw.Names, Type: sdk.DNSType(strings.ToUpper(raw.Type)), Port: raw.Port}
	if len(c.Names) == 0 {
		return c, errors.New("names: at least one name is needed")
	}
	switch c.Type {
	case sdk.DNSTypeSRV:
	case sdk.DNSTypeA, sdk.DNSTypeAAAA, sdk.DNSTypeMX, sdk.DNSTypeNS:
		if c.Port == 0 {
			return c, fmt.Errorf("port: missing; %s records name no port", c.Type)
		}
	default:
		return c, fmt.Errorf("type: %q is none of SRV, A, AAAA, MX and NS", raw.Type)
	}
	var err error
	c.RefreshInterval, err = section.Interval("refresh_interval", raw.RefreshInterval, defaultRefresh)
	return c, err
}

// finder looks all names up.
type finder struct {
	config Config
	host   sdk.Host
	known  [][]sdk.Group // by the index of the name
}

// find returns the targets of all names. A name whose look-up fails keeps those that it had; it is an error only while
// nothing has ever been found.
func (f *finder) find(ctx context.Context) ([]sdk.Group, error) {
	errs := make([]error, len(f.config.Names))
	var work sync.WaitGroup
	for i, name := range f.config.Names {
		work.Go(func() {
			records, err := f.host.DNS.Lookup(ctx, f.config.Type, name)
			if errs[i] = err; err == nil {
				f.known[i] = groups(name, f.config, records)
			}
		})
	}
	work.Wait()
	all, succeeded := []sdk.Group{}, false
	for i, name := range f.config.Names {
		if errs[i] == nil {
			succeeded = true
		} else if ctx.Err() == nil {
			f.host.Log.Error("looking up a name failed, keeping its last targets", "name", name, "type", string(f.config.Type), "err", errs[i])
		}
		all = append(all, f.known[i]...)
	}
	if !succeeded {
		return nil, errors.New("no name could be looked up")
	}
	return all, nil
}

// groups returns a group for each record of a name; without records, it is an empty one.
func groups(name string, c Config, records []sdk.DNSRecord) []sdk.Group {
	list := make([]sdk.Group, 0, len(records))
	for _, r := range records {
		labels, port := map[string]string{"__meta_dns_name": name}, c.Port
		switch c.Type {
		case sdk.DNSTypeSRV:
			port = int(r.Port)
			labels["__meta_dns_srv_record_target"] = r.Target
			labels["__meta_dns_srv_record_port"] = strconv.Itoa(port)
		case sdk.DNSTypeMX:
			labels["__meta_dns_mx_record_target"] = r.Target
		case sdk.DNSTypeNS:
			labels["__meta_dns_ns_record_target"] = r.Target
		}
		address := net.JoinHostPort(strings.TrimRight(r.Target, "."), strconv.Itoa(port))
		list = append(list, sdk.Group{Source: name, Targets: []string{address}, Labels: labels})
	}
	return list
}
