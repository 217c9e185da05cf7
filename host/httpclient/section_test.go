package httpclient

import (
	"slices"
	"testing"
)

func TestFieldsAreThoseOfTheSection(t *testing.T) {
	fields := Fields()
	for _, want := range []string{"basic_auth", "authorization", "oauth2", "tls_config", "proxy_url", "http_headers", "follow_redirects"} {
		if !slices.Contains(fields, want) {
			t.Errorf("%s is missing from %v", want, fields)
		}
	}
}

func TestParse(t *testing.T) {
	cfg, err := Parse([]byte(`{"basic_auth":{"username":"u","password":"p"}}`))
	if err != nil || cfg.BasicAuth.Password != "p" || !cfg.FollowRedirects {
		t.Fatalf("got %+v, %v", cfg, err)
	}
	for _, bad := range []string{
		`{"basic_auth":{"user":"u"}}`,
		`{"basic_auth":{"username":"u"},"authorization":{"credentials":"x"}}`,
	} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
