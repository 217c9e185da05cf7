//go:build e2e && linux

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// turncoat is a host whose name means what it should in one look-up, and something else in the next.
type turncoat struct {
	name string
	// others are the addresses besides the right one.
	others []string
	// says is a pattern for what the server says about one of those.
	says string
	// redirect has the guest ask for the right address, which leads it to the name.
	redirect bool
}

func (c turncoat) host() string { return c.name + ".attack.test" }

var turncoats = []turncoat{
	{name: "this-machine", others: []string{"127.0.0.1", "127.5.5.5"}, says: `its address 127\.\S+ is this machine's own`},
	{name: "this-machine-in-IPv6", others: []string{"::1"}, says: `its address ::1 is this machine's own`},
	{name: "nowhere", others: []string{"0.0.0.0"}, says: `its address 0\.0\.0\.0 is unspecified`},
	{name: "the-link", others: []string{"169.254.7.7"}, says: `its address 169\.254\.7\.7 is link-local`},
	{name: "a-cloud", others: []string{"169.254.169.254", "100.100.100.200"}, says: `its address 100\.100\.100\.200 is that of a cloud's metadata`},
	{name: "redirect", others: []string{"127.0.0.1"}, says: `its address 127\.0\.0\.1 is this machine's own`, redirect: true},
}

// rebinding are attacks by names whose address changes between look-ups: a host that may be asked has one, and a server that must not be
// asked listens on the same port of this machine's own.
func rebinding(t *testing.T) []attack {
	t.Helper()
	port, absent := twoFaces(t)
	nameserver := sync.OnceValues(func() (string, error) { return nameTurncoats(t) })
	var list []attack
	for _, c := range turncoats {
		title, granted := "HTTP to a name that turns to "+c.name, fmt.Sprintf("http://%s:%s", c.host(), port)
		try := granted
		if c.redirect {
			try = "http://" + net.JoinHostPort(ownAddress().String(), port) + "/to/" + c.host()
			title, granted = "HTTP redirected to a name that turns to this machine", granted+"', '"+try
		}
		const answer = `count(count_over_time(attacker_reached{answer=~"%s.*"}[1m])) > 0`
		list = append(list, attack{
			name: title, config: fmt.Sprintf("{do: reach, urls: ['%s'], try: ['%s']}", granted, try),
			in: func(t *testing.T) place {
				t.Helper()
				if absent != nil {
					missed.lack(t, "network", absent.Error())
				}
				address, err := nameserver()
				if err != nil {
					missed.lack(t, "port 53", err.Error())
				}
				return dnsPlace(t, address)
			},
			on: func(t *testing.T, s *server) {
				t.Helper()
				s.awaitRefusal(t, c.says)
			},
			alive: fmt.Sprintf(answer, "200") + " and " + fmt.Sprintf(answer, ".*it would have to be named in grants.addresses"),
		})
	}
	return list
}

// ownAddress is an IPv4 address of this machine that is neither loopback nor link-local; the zero one says that there is none.
func ownAddress() netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// twoFaces has a server that may be asked listen on this machine's address, and one that must not on the same port of all its others.
func twoFaces(t *testing.T) (port string, absent error) {
	t.Helper()
	own := ownAddress()
	if !own.IsValid() {
		return "0", errors.New("this machine has only addresses of its own")
	}
	good, err := net.Listen("tcp4", net.JoinHostPort(own.String(), "0"))
	if err != nil {
		return "0", err
	}
	_, port, _ = net.SplitHostPort(good.Addr().String())
	serveOn(t, good, func(w http.ResponseWriter, r *http.Request) {
		if host, ok := strings.CutPrefix(r.URL.Path, "/to/"); ok {
			http.Redirect(w, r, fmt.Sprintf("http://%s:%s/", host, port), http.StatusFound)
		}
	})
	for _, address := range []string{"127.0.0.1", "127.5.5.5", "::1"} {
		bad, err := net.Listen("tcp", net.JoinHostPort(address, port))
		if err != nil {
			t.Logf("nobody listens on %s: %v", address, err) // what would be reached is refused all the same
			continue
		}
		serveOn(t, bad, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was reached as %s", address, r.Host) })
	}
	return port, nil
}

// serveOn serves until the test ends, each request on a connection of its own, so that there is a look-up for each.
func serveOn(t *testing.T, l net.Listener, h http.HandlerFunc) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close() // another one takes its place
	s.Listener = l
	s.Config.SetKeepAlivesEnabled(false)
	s.Start()
	t.Cleanup(s.Close)
}

// nameTurncoats answers for all of them until the test ends, and returns where.
func nameTurncoats(t *testing.T) (string, error) {
	t.Helper()
	const address = "127.9.53.1" // resolv.conf names no ports, and others may have one on 127.0.0.1
	conn, err := net.ListenPacket("udp", net.JoinHostPort(address, "53"))
	if err != nil {
		return "", err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply, err := turn(buf[:n]); err == nil {
				_, _ = conn.WriteTo(reply, from) // who gets nothing asks again
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return address, nil
}

// turn answers a question with the right address or with another one, by chance: several servers ask, at any time.
func turn(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.RCode, m.Additionals = true, true, dnsmessage.RCodeNameError, nil
	for _, q := range m.Questions {
		i := slices.IndexFunc(turncoats, func(c turncoat) bool { return strings.EqualFold(c.host()+".", q.Name.String()) })
		if i < 0 {
			continue
		}
		m.RCode = dnsmessage.RCodeSuccess
		var six, four []dnsmessage.ResourceBody
		for _, text := range append([]string{ownAddress().String()}, turncoats[i].others...) {
			if a := netip.MustParseAddr(text); a.Is4() {
				four = append(four, &dnsmessage.AResource{A: a.As4()})
			} else {
				six = append(six, &dnsmessage.AAAAResource{AAAA: a.As16()})
			}
		}
		if len(six) > 0 {
			four = append(four, nil) // so that at times there is only the other kind
		}
		choice := map[dnsmessage.Type][]dnsmessage.ResourceBody{dnsmessage.TypeA: four, dnsmessage.TypeAAAA: six}[q.Type]
		if len(choice) == 0 {
			continue
		}
		if body := choice[rand.IntN(len(choice))]; body != nil {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0}, Body: body})
		}
	}
	return m.Pack()
}

// awaitRefusal waits until the API says what was refused.
func (s *server) awaitRefusal(t *testing.T, says string) {
	t.Helper()
	want := regexp.MustCompile(says)
	eventually(t, 20*time.Second, "the API says what was refused", func() error {
		if last := s.plugin("exporter-attacker").Used.Refused.Last; !want.MatchString(last) {
			return fmt.Errorf("it says %q", last)
		}
		return nil
	})
}
