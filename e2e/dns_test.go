//go:build e2e && linux

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// zone is example.test as BIND reads it; records come after what each zone has.
func zone(serial int, records string) string {
	return fmt.Sprintf("$TTL 1\n@ SOA ns1 root %d 1 1 1 1\n@ NS ns1\n@ NS ns2.other.test.\nns1 A 192.0.2.53\n%s\n", serial, records)
}

const (
	dnsRecords = `web A 10.6.0.1
web A 10.6.0.2
web AAAA fd00:6::1
alias CNAME web
_http._tcp SRV 10 5 8080 web
_http._tcp SRV 20 0 9090 db.elsewhere.test.
_gone._tcp SRV 0 0 0 .
@ MX 10 mail
@ MX 20 mail.elsewhere.test.
txt TXT "no address"
`
	dnsChanged = `web A 10.6.0.3
alias CNAME web
_http._tcp SRV 10 5 8081 web
@ MX 10 mail3
`
)

// dnsPlace is a place where a name server of the test answers all questions. Where it cannot be made, the test is skipped.
func dnsPlace(t *testing.T, nameserver string) place {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, file, "nameserver "+nameserver+"\nsearch example.test\noptions timeout:1 attempts:1\n")
	in := place{wrap: []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, file}}
	if out, err := exec.Command(in.wrap[0], append(in.wrap[1:], "true")...).CombinedOutput(); err != nil {
		missed.lack(t, "mounts", fmt.Sprintf("another /etc/resolv.conf cannot be put in place: %v: %s", err, out))
	}
	return in
}

// TestDNS: sd-dns finds what Prometheus finds in a real name server, and sees the same changes.
func TestDNS(t *testing.T) {
	t.Parallel()
	named := component(t, "named", "bind9")
	const address = "127.0.0.1" // BIND serves only those that an interface has, and resolv.conf names no ports
	in := dnsPlace(t, address)
	free, err := net.ListenPacket("udp", address+":53")
	if err != nil {
		missed.lack(t, "port 53", err.Error())
	}
	_ = free.Close() // BIND says it if that did not free it
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "example.test"), zone(1, dnsRecords))
	write(t, filepath.Join(dir, "named.conf"), fmt.Sprintf(`options {
	directory %[1]q; pid-file %[2]q; session-keyfile %[3]q; listen-on { %[4]s; }; listen-on-v6 { none; };
	recursion no; dnssec-validation no; allow-transfer { none; };
};
controls { };
zone "example.test" { type master; file "example.test"; };
`, dir, filepath.Join(dir, "pid"), filepath.Join(dir, "key"), address))
	server := launch(t, dir, named, "-f", "-c", filepath.Join(dir, "named.conf"), "-n", "1", "-g")

	eventually(t, startTimeout, "BIND answers", func() error {
		if server.ended() {
			t.Fatalf("BIND ended: %v", server.cmd.ProcessState)
		}
		if !strings.Contains(server.output(), "running") {
			return errors.New("it does not run yet")
		}
		return nil
	})

	config := "scrape_configs:\n"
	job := func(name, section string) { config += sdJob(name, "dns", "refresh_interval: 1s\n"+section) }
	job("a", "type: A\nport: 80\nnames: [web.example.test, nothing.example.test]")
	job("aaaa", "type: AAAA\nport: 80\nnames: [web.example.test.]")
	job("alias", "type: A\nport: 80\nnames: [alias.example.test]")
	job("search", "type: A\nport: 80\nnames: [web]")
	job("srv", "names: [_http._tcp.example.test]")
	job("srv-gone", "names: [_gone._tcp.example.test]")
	job("mx", "type: MX\nport: 25\nnames: [example.test]")
	job("ns", "type: NS\nport: 53\nnames: [example.test]")
	job("no-data", "type: A\nport: 1\nnames: [txt.example.test]")
	job("refused", "type: A\nport: 1\nnames: [web.elsewhere.invalid]")
	p := startPair(t, t.TempDir(), config, in)
	p.wantAll("start", map[string]int{
		"a": 2, "aaaa": 1, "alias": 2, "search": 2, "srv": 2, "srv-gone": 1, "mx": 2, "ns": 2, "no-data": 0, "refused": 0,
	})

	write(t, filepath.Join(dir, "example.test"), zone(2, dnsChanged))
	server.signal(syscall.SIGHUP)
	p.want("changed", "a", 1, `__address__="10.6.0.3:80"`)
	p.want("changed", "alias", 1, `__address__="10.6.0.3:80"`)
	p.want("changed", "srv", 1, `__meta_dns_srv_record_port="8081"`)
	p.want("changed", "mx", 1, `mail3`)
	p.wantAll("changed", map[string]int{"aaaa": 0, "srv-gone": 0, "ns": 2})

	server.stop()
	p.wantAll("stopped", map[string]int{"a": 1, "srv": 1, "mx": 1, "ns": 2}) // The last answers hold.
	if output := p.ours.output(); !strings.Contains(output, "looking up a name failed") {
		t.Error("the log does not tell that a look-up failed")
	}
}
