package access

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/internal/strictyaml"
)

func TestConfig(t *testing.T) {
	c, err := parseConfig(`
web:
  auth:
    - jwt_auth: {jwks_url: "https://i", rules: [{claim: g}]}
    - acme_auth:
`)
	if err != nil || len(c.Auth) != 2 || c.Auth[0].Key != "jwt_auth" || string(c.Auth[1].JSON) != "{}" || len(c.PublicPaths) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	if got := string(c.Auth[0].JSON); got != `{"jwks_url":"https://i","rules":[{"claim":"g"}]}` {
		t.Errorf("%s", got)
	}
	c, err = parseConfig("web: {public_paths: []}")
	if err != nil || len(c.PublicPaths) != 0 || c.IsZero() {
		t.Errorf("%+v, %v", c, err)
	}
	for _, text := range []string{"web:", "{}"} {
		if c, err = parseConfig(text); err != nil || !c.IsZero() {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
}

func parseConfig(text string) (Config, error) {
	doc, err := strictyaml.Parse([]byte(text))
	if err != nil {
		return Config{}, err
	}
	var whole struct {
		Web Config `yaml:"web,omitempty"`
	}
	err = doc.Decode(&whole)
	return whole.Web, err
}

func TestBadConfigs(t *testing.T) {
	for text, want := range map[string]string{
		"web:\n  auth:":                                             "2: web.auth: the list is empty; remove the field to answer everybody",
		"web:\n  auth: []":                                          "2: web.auth: the list is empty",
		"web:\n  auth: {jwt_auth: {}}":                              "2: web.auth: a list is needed here",
		"web:\n  auth: jwt":                                         "2: web.auth: a list is needed here",
		"web:\n  auth:\n    - jwt_auth":                             "3: web.auth[0]: a mapping with one key",
		"web:\n  auth:\n    - {jwt_auth: {}, x_auth: {}}":           "3: web.auth[0]: a mapping with one key",
		"web:\n  auth:\n    - {}":                                   "3: web.auth[0]: a mapping with one key",
		"web:\n  auth:\n    - jwt_auth: {}\n    - jwt: {}":          "4: web.auth[1].jwt: unknown field; keys of plugins",
		"web:\n  auth:\n    - basic_auth: {}":                       "3: web.auth[0].basic_auth: users and passwords belong",
		"web:\n  auths: []":                                         "2: web.auths: ",
		"web:\n  public_paths: [/a,\n    b]":                        `2: web.public_paths[1]: "b" must start with a slash`,
		"web:\n  public_paths: ['/a*b']":                            `2: web.public_paths[0]: "/a*b"`,
		"web:\n  public_paths: /metrics":                            "2: web.public_paths: a list is needed here",
		"web:\n  auth:\n    - jwt_auth: {}\n  auth:\n    - x_auth:": "web.auth: given twice",
		"web: 7": "1: web: ",
	} {
		_, err := parseConfig(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v, want %s", text, err, want)
		}
	}
}

func TestConfigIsShownWithoutSecrets(t *testing.T) {
	c, err := parseConfig("web: {auth: [{acme_auth: {api_key: hush, url: here}}]}")
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(map[string]any{"web": c})
	if err != nil {
		t.Fatal(err)
	}
	want := "web:\n    auth:\n        - acme_auth:\n            api_key: <secret>\n            url: here\n    public_paths:\n        - /-/healthy\n        - /-/ready\n"
	if string(text) != want {
		t.Errorf("%s", text)
	}
}
