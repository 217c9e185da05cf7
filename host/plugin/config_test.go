package plugin

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/plugin/session"
)

func TestConfig(t *testing.T) {
	var c Config
	err := yaml.Unmarshal([]byte(`
directory: plugins
settings:
  sd-acme:
    sha256: `+strings.Repeat("0f", 32)+`
    limits:
      memory: 64MiB
      call_timeout: 30s
      start_timeout: 1m
      output: 1.5KB
      message: 1MiB
      queue: 64KiB
      open_files: 1
      requests: 2
      log_rate: 3
    grants: {http: ["https://cmdb.internal:8443"], files: [acme, /etc/acme], addresses: [127.0.0.1, "fe80::/10"], dial: ["db.internal:5432"]}
    isolation: inline
    on_failure: drop
`), &c)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.SetDirectory("/etc/narthex")
	s := c.Settings["sd-acme"]
	want(t, "directory", c.Directory, "/etc/narthex/plugins")
	want(t, "files", s.Grants.Files, []string{"/etc/narthex/acme", "/etc/acme"})
	want(t, "addresses", s.Grants.prefixes(), []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("fe80::/10")})
	want(t, "memory", s.Limits.Memory, Size(64<<20))
	want(t, "output", s.Limits.Output, Size(1536))
	want(t, "timeout", time.Duration(s.Limits.CallTimeout), 30*time.Second)
	want(t, "limits", s.Limits.session(), session.Limits{
		MessageBytes: 1 << 20, OutputBytes: 1536, StartTimeout: time.Minute, CallTimeout: 30 * time.Second, HTTPConcurrent: 2, FilesConcurrent: 1,
	})
	want(t, "log", s.Limits.log(), session.LogLimits{LinesPerSecond: 3, Burst: 12})
	large := Limits{Output: 100 << 20}
	want(t, "message for a large output", large.messageBytes(), 100<<20)
	text, err := yaml.Marshal(s.Limits)
	if err != nil || !strings.Contains(string(text), "memory: 64MiB") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestConfigValidateNamesAllMistakes(t *testing.T) {
	c := Config{Settings: map[string]Settings{
		"sd-acme": {
			SHA256: "xyz", Isolation: "jail", OnFailure: "cry",
			Limits: Limits{
				Memory: 1, Output: 1 << 40, CallTimeout: 1, Message: 1, Queue: 1, StartTimeout: 1, OpenFiles: -1, Connections: 1025, Requests: 10_001, LogRate: -1,
			},
			Grants: Grants{HTTP: []string{"https://ok", "ftp://x"}, Files: []string{""}, Addresses: []string{"::1", "localhost"}, Dial: []string{"db:1", "db"}},
		},
		"Sd Acme": {},
	}}
	err := c.Validate()
	for _, w := range []string{
		"settings.sd-acme.sha256", "settings.sd-acme.isolation", "settings.sd-acme.on_failure",
		"settings.sd-acme.limits.memory: 1B", "settings.sd-acme.limits.output",
		"settings.sd-acme.limits.call_timeout", "settings.sd-acme.grants.http[1]", "settings.sd-acme.grants.files[0]", `settings.sd-acme.grants.dial[1]: "db" is not host:port`, `settings.sd-acme.grants.addresses[1]: "localhost" is neither an address`, "settings.Sd Acme",
		"settings.sd-acme.limits.message: 1B is not between 64KiB and 1GiB", "settings.sd-acme.limits.queue",
		"settings.sd-acme.limits.start_timeout: 1ns", "settings.sd-acme.limits.open_files: -1", "settings.sd-acme.limits.requests: 10001",
		"settings.sd-acme.limits.log_rate", "settings.sd-acme.limits.connections: 1025",
	} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v does not say %q", err, w)
		}
	}
}

func TestSize(t *testing.T) {
	good := func(text string, want Size, shown string) {
		t.Helper()
		got, err := ParseSize(text)
		if err != nil || got != want || got.String() != shown {
			t.Errorf("%s: %d (%v), %v", text, got, got, err)
		}
	}
	good("0", 0, "0B")
	good("512B", 512, "512B")
	good("64MiB", 64<<20, "64MiB")
	good("64MB", 64<<20, "64MiB")
	good("1.5GB", 3<<29, "1536MiB")
	for _, bad := range []string{"", "64", "MiB", "-1B", "1XB", "1M", "1e30B", "NaNB", "64 MiB"} {
		if v, err := ParseSize(bad); err == nil {
			t.Errorf("%q is %v", bad, v)
		}
	}
}
