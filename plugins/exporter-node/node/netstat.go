//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const defaultNetstatFields = `^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|` +
	`TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|` +
	`Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|` +
	`Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$`

// netstat reports the chosen fields of /proc/net/netstat, snmp and snmp6, untyped, because the kernel does not say which
// of them count. A kernel without IPv6 has no snmp6.
type netstat struct {
	dir    string
	fields *regexp.Regexp
}

func newNetstat(s sources) (netstat, error) {
	fields, err := compile("netstat.fields", s.cfg.Netstat.Fields)
	return netstat{filepath.Join(s.cfg.PathProcfs, "net"), fields}, err
}

func (c netstat) collect(_ context.Context, _ readings, out *exposition) error {
	for _, file := range [...]struct {
		name     string
		parse    func(text string, add func(field, value string) error) error
		optional bool
	}{
		{name: "netstat", parse: parsePairedLines},
		{name: "snmp", parse: parsePairedLines},
		{name: "snmp6", parse: parseSNMP6, optional: true},
	} {
		path := filepath.Join(c.dir, file.name)
		text, err := os.ReadFile(path)
		if file.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := file.parse(string(text), func(field, value string) error { return c.add(field, value, out) }); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (c netstat) add(field, value string, out *exposition) error {
	if !c.fields.MatchString(field) {
		return nil
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return fmt.Errorf("field %s: %w", field, err)
	}
	out.untyped("node_netstat_"+field, "Field "+field+" of the network stack's statistics.", v)
	return nil
}

// parsePairedLines parses lines that come in pairs: the first names the fields of a protocol, the second has their
// values, and both begin with the protocol and a colon.
func parsePairedLines(text string, add func(field, value string) error) error {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if names == nil {
			names = fields
			continue
		}
		if len(names) == 0 || len(fields) != len(names) || fields[0] != names[0] {
			return fmt.Errorf("names %q and values %q do not belong together", names, fields)
		}
		protocol := strings.TrimSuffix(names[0], ":")
		for i := 1; i < len(names); i++ {
			if err := add(protocol+"_"+names[i], fields[i]); err != nil {
				return err
			}
		}
		names = nil
	}
	return nil
}

// parseSNMP6 parses lines of a name, such as Icmp6InMsgs, and a value.
func parseSNMP6(text string, add func(field, value string) error) error {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		protocol, name, ok := strings.Cut(fields[0], "6")
		if !ok {
			continue
		}
		if err := add(protocol+"6_"+name, fields[1]); err != nil {
			return err
		}
	}
	return nil
}
