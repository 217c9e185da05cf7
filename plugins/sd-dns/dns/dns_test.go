package dns_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/plugins/sd-dns/dns"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone answers look-ups. Names that it does not hold do not exist; one without records cannot be looked up.
type zone struct {
	mu      sync.Mutex
	records map[string][]sdk.DNSRecord
}

func (z *zone) Lookup(_ context.Context, t sdk.DNSType, name string) ([]sdk.DNSRecord, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	records, ok := z.records[string(t)+" "+name]
	if ok && len(records) == 0 {
		return nil, errors.New("server misbehaving")
	}
	return records, nil
}

func (z *zone) set(question string, records ...sdk.DNSRecord) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[question] = records
}

func open(t *testing.T, config string, z *zone) sdk.Discovery {
	t.Helper()
	d, err := dns.Plugin().NewDiscovery(sdk.Config(config), sdk.Host{Log: slog.New(slog.DiscardHandler), DNS: z})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTypes(t *testing.T) {
	z := &zone{records: map[string][]sdk.DNSRecord{
		"SRV _http._tcp.web": {{Target: "w1.internal.", Port: 80}, {Target: "w2.internal.", Port: 81}},
		"A web":              {{Target: "10.0.0.1"}},
		"AAAA web":           {{Target: "fd00::1"}},
		"MX web":             {{Target: "mail.internal."}},
		"NS web":             {{Target: "ns.internal."}},
	}}
	for config, want := range map[string]map[string]map[string]string{
		`{"names": ["_http._tcp.web"]}`: {
			"w1.internal:80": {"__meta_dns_name": "_http._tcp.web", "__meta_dns_srv_record_target": "w1.internal.", "__meta_dns_srv_record_port": "80"},
			"w2.internal:81": {"__meta_dns_name": "_http._tcp.web", "__meta_dns_srv_record_target": "w2.internal.", "__meta_dns_srv_record_port": "81"},
		},
		`{"names": ["web", "gone"], "type": "a", "port": 9100}`: {"10.0.0.1:9100": {"__meta_dns_name": "web"}},
		`{"names": ["web"], "type": "AAAA", "port": 9100}`:      {"[fd00::1]:9100": {"__meta_dns_name": "web"}},
		`{"names": ["web"], "type": "MX", "port": 25}`:          {"mail.internal:25": {"__meta_dns_name": "web", "__meta_dns_mx_record_target": "mail.internal."}},
		`{"names": ["web"], "type": "NS", "port": 53}`:          {"ns.internal:53": {"__meta_dns_name": "web", "__meta_dns_ns_record_target": "ns.internal."}},
	} {
		t.Run(config, func(t *testing.T) {
			var addresses []string
			for a := range want {
				addresses = append(addresses, a)
			}
			for address, labels := range sdktest.Follow(t, open(t, config, z)).Wait(addresses...) {
				if !maps.Equal(labels, want[address]) {
					t.Errorf("%s has %v, want %v", address, labels, want[address])
				}
			}
		})
	}
}

// TestChanges: a name that cannot be looked up keeps its targets, one that does not exist any more has none.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{records: map[string][]sdk.DNSRecord{"A a": {}, "A b": {{Target: "10.0.0.2"}}}}
		d := open(t, `{"names": ["a", "b"], "type": "A", "port": 1}`, z)
		ctx, cancel := context.WithCancel(t.Context())
		updates, ended := make(chan []sdk.Group), make(chan struct{})
		go func() {
			defer close(ended)
			_ = d.Run(ctx, updates) // ends with ctx's error
		}()
		want := func(want string) {
			t.Helper()
			time.Sleep(time.Minute) // the bubble's clock
			synctest.Wait()
			got := []string{}
			select {
			case groups := <-updates:
				for _, g := range groups {
					got = append(got, g.Source+"="+strings.Join(g.Targets, ","))
				}
			default:
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("got %q, want %q", text, want)
			}
		}
		want("b=10.0.0.2:1")
		z.set("A a", sdk.DNSRecord{Target: "10.0.0.1"})
		z.set("A b")
		want("a=10.0.0.1:1")
		z.set("A a")
		want("")
		z.mu.Lock()
		clear(z.records)
		z.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if groups := <-updates; len(groups) != 2 || len(groups[0].Targets)+len(groups[1].Targets) != 0 {
			t.Errorf("names that are gone: %v", groups)
		}
		cancel()
		<-ended
	})
}

func TestParseConfig(t *testing.T) {
	c, err := dns.ParseConfig(sdk.Config(`{"names": ["x"]}`))
	if err != nil || c.Type != sdk.DNSTypeSRV || c.RefreshInterval != 30*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
	for text, want := range map[string]string{
		`{}`:                                        "names: at least one",
		`{"names": ["x"], "type": "A"}`:             "port: missing; A records name no port",
		`{"names": ["x"], "type": "TXT"}`:           `type: "TXT" is none of`,
		`{"name": "x"}`:                             "name: unknown field; there are names, type, port and refresh_interval",
		`{"names": ["x"], "port": "http"}`:          "port: a string is not what belongs here",
		`{"names": ["x"], "refresh_interval": "0"}`: "refresh_interval: ",
	} {
		if _, err := dns.ParseConfig(sdk.Config(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestConformance(t *testing.T) {
	sdktest.Run(t, sdktest.Case{
		Open: sdktest.InProcess(dns.Plugin(), sdktest.NewHost(t).SDK()),
		Kind: sdk.KindDiscovery,
		Good: sdk.Config(`{"names": ["localhost"], "type": "A", "port": 80}`),
		Bad:  []sdk.Config{sdk.Config(`{}`), sdk.Config(`{"names": "x"}`)},
	})
}
