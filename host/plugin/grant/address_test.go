package grant_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/sdk"
)

// TestAddresses says where a granted host may be.
func TestAddresses(t *testing.T) {
	check := func(host, at string, granted ...netip.Prefix) error {
		return grant.CheckAddress(host, true, netip.MustParseAddr(at), granted...)
	}
	may := func(host string, at ...string) {
		t.Helper()
		for _, ip := range at {
			if err := check(host, ip); err != nil {
				t.Error(err)
			}
		}
	}
	mustNot := func(host string, at ...string) {
		t.Helper()
		for _, ip := range at {
			if err := check(host, ip); !errors.Is(err, grant.ErrNotGranted) || !strings.Contains(err.Error(), host) {
				t.Errorf("%s may be at %s: %v", host, ip, err)
			}
		}
	}
	may("cmdb.internal", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "8.8.8.8", "2606:4700::1111", "::ffff:10.0.0.1",
		"64:ff9b::a00:1")
	mustNot("cmdb.internal", "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "0.1.2.3", "::", "169.254.169.254",
		"::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1", "255.255.255.255", "fd00:ec2::254",
		"100.100.100.200", "168.63.129.16", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1")
	may("localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1")
	may("db.localhost", "127.0.0.1")
	mustNot("localhost", "169.254.169.254", "0.0.0.0")
	mustNot("notlocalhost", "127.0.0.1")
	mustNot("2130706433", "127.0.0.1") // decimal and octal forms are names, of which some resolvers make addresses
	mustNot("0177.0.0.1", "127.0.0.1")
	mustNot("0x7f.1", "127.0.0.1")
	may("169.254.169.254", "169.254.169.254") // the operator wrote it
	may("127.0.0.1", "127.0.0.1")
	may("::1", "::1")
	may("::ffff:127.0.0.1", "127.0.0.1")
	may("fe80::1%eth0", "fe80::1")
	mustNot("169.254.169.254", "169.254.169.253")

	metadata := netip.MustParseAddr("169.254.169.254")
	if err := check("cmdb.internal", "169.254.169.254", netip.MustParsePrefix("169.254.0.0/16")); err != nil {
		t.Error("granted:", err)
	}
	if err := grant.CheckAddress("169.254.169.254", false, metadata); !errors.Is(err, grant.ErrNotGranted) {
		t.Error("a manifest's default reaches metadata:", err)
	}
	if err := grant.CheckAddress("127.0.0.1", false, netip.MustParseAddr("127.0.0.1")); err != nil {
		t.Error("a manifest's default on this machine:", err)
	}
}

// TestOwnNames: what the hosts file says of a name is not the network's answer.
func TestOwnNames(t *testing.T) {
	file := t.TempDir() + "/hosts"
	write(t, file, "127.0.1.1 box.example Box # comment evil.example\n10.0.0.1 far.example\n\nnonsense\n")
	for host, own := range map[string]bool{"box.example": true, "box": true, "evil.example": false, "far.example": false, "": false} {
		if got := grant.IsOwn(host, file); got != own {
			t.Errorf("%s is one of this machine's names: %t", host, got)
		}
	}
	if grant.IsOwn("box", file+"x") {
		t.Error("a name without a file")
	}
}

// TestRebinding resolves a granted name anew for each connection, and each time to another address.
func TestRebinding(t *testing.T) {
	var reached atomic.Int32
	var port string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		if r.URL.Path == "/leave" {
			http.Redirect(w, r, "http://evil.test:"+port+"/", http.StatusFound)
		}
	}))
	defer server.Close()
	var err error
	if _, port, err = net.SplitHostPort(server.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	name := func(ips ...[4]byte) []dnsmessage.ResourceBody {
		var list []dnsmessage.ResourceBody
		for _, ip := range ips {
			list = append(list, &dnsmessage.AResource{A: ip})
		}
		return list
	}
	mapped := [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}
	resolver := nameserver(t, map[string][]dnsmessage.ResourceBody{
		"A evil.test.":      name([4]byte{127, 0, 0, 1}),
		"AAAA mapped.test.": {&dnsmessage.AAAAResource{AAAA: mapped}},
		"AAAA six.test.":    {&dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}}},
		"A both.test.":      name([4]byte{169, 254, 169, 254}, [4]byte{127, 0, 0, 1}),
		"A good.test.":      name([4]byte{127, 0, 0, 1}),
	})
	get := func(url string, o grant.Options) (*http.Response, error) {
		t.Helper()
		plain := &http.Transport{DialContext: grant.Dial(net.Dialer{Resolver: resolver}), DisableKeepAlives: true}
		o.Plain, o.Client = plain, &http.Client{Transport: plain}
		set, _, err := grant.Derive(sdk.Manifest{Name: "x", Asks: sdk.Asks{HTTP: []string{"servers[*]"}}},
			sdk.Config(fmt.Sprintf(`{"servers": [%q, "http://good.test:%s", "http://evil.test:%[2]s"]}`, url, port)), o)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := set.HTTP.Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		return resp, err
	}
	for _, host := range []string{"evil.test", "mapped.test", "six.test", "both.test", "EVIL.test."} {
		if _, err := get("http://"+host+":"+port, grant.Options{}); !errors.Is(err, grant.ErrNotGranted) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if reached.Load() != 0 {
		t.Fatal("a name that resolves to this machine reached it")
	}
	on := netip.MustParsePrefix("127.0.0.1/32")
	if _, err := get("http://good.test:"+port, grant.Options{Addresses: []netip.Prefix{on}}); err != nil {
		t.Error("granted:", err)
	}
	// A redirect to a granted origin is checked like the first request.
	before := reached.Load()
	_, err = get("http://127.0.0.1:"+port+"/leave", grant.Options{})
	if !errors.Is(err, grant.ErrNotGranted) || reached.Load() != before+1 {
		t.Errorf("%v, %d requests", err, reached.Load()-before)
	}
}

// TestProxy: the operator's proxy may be anywhere, and resolves names itself.
func TestProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "for "+r.URL.Host)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(at), DialContext: grant.Dial(net.Dialer{}), DisableKeepAlives: true}}
	h, err := grant.NewHTTP([]string{"http://far.test", "http://bücher.test"}, client)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, h.Origins(), "http://far.test:80", "http://xn--bcher-kva.test:80")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://far.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}
