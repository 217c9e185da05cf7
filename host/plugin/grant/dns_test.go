package grant_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/sdk"
)

// nameserver answers over UDP until the test ends; records are by "TYPE name.".
func nameserver(t *testing.T, records map[string][]dnsmessage.ResourceBody) *net.Resolver {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return // closed
			}
			var m dnsmessage.Message
			if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			bodies, ok := records[strings.TrimPrefix(q.Type.String(), "Type")+" "+strings.ToLower(q.Name.String())]
			if !ok {
				m.RCode = dnsmessage.RCodeNameError
			}
			for _, b := range bodies {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: b})
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from) // a lost answer fails the test
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close() // ends the loop
		<-ended
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestDNS(t *testing.T) {
	name := dnsmessage.MustNewName
	resolver := nameserver(t, map[string][]dnsmessage.ResourceBody{
		"SRV _http._tcp.web.test.": {
			&dnsmessage.SRVResource{Target: name("w1.test."), Port: 80, Priority: 1},
			&dnsmessage.SRVResource{Target: name("w2.test."), Port: 81, Priority: 2},
		},
		"A web.test.":    {&dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}},
		"AAAA web.test.": {&dnsmessage.AAAAResource{AAAA: [16]byte{0xfd, 15: 1}}},
		"MX web.test.":   {&dnsmessage.MXResource{MX: name("mail.test."), Pref: 5}},
		"NS web.test.":   {&dnsmessage.NSResource{NS: name("ns.test.")}},
	})
	d := grant.NewDNS([]string{"_http._tcp.web.test", "Web.test.", "gone.test"}, resolver)
	equal(t, d.Names(), "_http._tcp.web.test", "gone.test", "web.test")
	for question, want := range map[string]string{
		"SRV _http._tcp.web.test": "[{w1.test. 80} {w2.test. 81}]",
		"A web.test":              "[{10.0.0.1 0}]",
		"A WEB.test.":             "[{10.0.0.1 0}]",
		"AAAA web.test":           "[{fd00::1 0}]",
		"MX web.test":             "[{mail.test. 0}]",
		"NS web.test":             "[{ns.test. 0}]",
		"A gone.test":             "[]",
	} {
		kind, name, _ := strings.Cut(question, " ")
		got, err := d.Lookup(t.Context(), sdk.DNSType(kind), name)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v, want %s", question, got, err, want)
		}
	}
	if _, err := d.Lookup(t.Context(), sdk.DNSTypeA, "other.test"); !errors.Is(err, grant.ErrNotGranted) {
		t.Errorf("a name that was not granted: %v", err)
	}
	if _, err := d.Lookup(t.Context(), "TXT", "web.test"); err == nil || !strings.Contains(err.Error(), `no record type "TXT"`) {
		t.Errorf("another type: %v", err)
	}
	if _, err := (*grant.DNS)(nil).Lookup(t.Context(), sdk.DNSTypeA, "web.test"); !errors.Is(err, grant.ErrNotGranted) {
		t.Errorf("nothing granted: %v", err)
	}
}
