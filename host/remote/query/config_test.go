package query

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestConfigDefaults(t *testing.T) {
	entries, err := parsed("[{url: 'http://u:p@x/read', basic_auth: {username: a, password_file: secret}, sigv4: null}]")
	if err != nil {
		t.Fatal(err)
	}
	c := entries[0]
	if time.Duration(c.RemoteTimeout) != time.Minute || c.ChunkedReadLimit != 5e7 || !c.FilterExternalLabels || c.ReadRecent {
		t.Errorf("got %+v", c)
	}
	if got := c.HTTPClient.BasicAuth.PasswordFile; got != filepath.FromSlash("/etc/secret") {
		t.Errorf("the file of the password is %s", got)
	}
	text, err := yaml.Marshal(entries)
	if err != nil || strings.Contains(string(text), ":p@") || !strings.Contains(string(text), "filter_external_labels: true") {
		t.Errorf("shown as\n%s%v", text, err)
	}
}

func TestConfigMistakes(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		_, err := parsed(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	check("[null]", "remote_read[0]: empty or null remote read section")
	check("[{}]", "remote_read[0].url: the URL of the server to read from is missing")
	check("[{url: ''}]", "remote_read[0].url: the URL of the server to read from is missing")
	check("[{url: 'localhost:9090/read'}]", "remote_read[0].url: \"localhost:9090/read\" is no URL of a server")
	check("[{url: 'http:///read'}]", "names no server")
	check("[{url: 'http://a', urls: x}]", "unknown field")
	check("[{url: 'http://a', remote_timeout: 0s}]", "remote_timeout: the timeout must be above zero")
	check("[{url: 'http://a', chunked_read_limit: 0}]", "chunked_read_limit: the limit must be above zero")
	check("[{url: 'http://a', chunked_read_limit: -1}]", "chunked_read_limit")
	check("[{url: 'http://a', headers: {Authorization: x}}]", "remote_read[0].headers.Authorization: ")
	check("[{url: 'http://a', headers: {x-prometheus-remote-read-version: x}}]", "reserved")
	check("[{url: 'http://a', required_matchers: {'': x}}]", `required_matchers: "" is not a valid label name`)
	check("[{url: 'http://a', name: n}, {url: 'http://b', name: n}]", `remote_read[1].name: "n" is the name of remote_read[0] too: names must differ`)
	check("[{url: 'http://a'}, {url: 'http://b'}, {url: 'http://a'}]", "remote_read[2]: this is the same as remote_read[0]")
	check("[{url: 'http://a', basic_auth: {username: u}, bearer_token: x}]", "remote_read[0].")
	check("[{url: 'http://a', sigv4: {region: x}, basic_auth: {username: u}}]", "remote_read[0].sigv4: at most one of")
	if _, err := parsed("[{url: 'http://a', name: a}, {url: 'http://a', name: b}, {url: 'http://a'}]"); err != nil {
		t.Errorf("names tell remotes apart, but: %v", err)
	}
}
