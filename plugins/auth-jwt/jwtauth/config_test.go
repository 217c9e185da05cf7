package jwtauth

import (
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig(sdk.Config(`{"jwks_url": "https://i/keys", "issuer": "https://i", "audience": ["a", "b"], "leeway": "0s", "refresh_interval": "1h"}`))
	if err != nil || c.Leeway != 0 || c.RefreshInterval != time.Hour || c.Header != "Authorization" || c.UserClaim != "sub" || len(c.Algorithms) != 9 || len(c.Audience) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestBadConfigs(t *testing.T) {
	check := func(fields, want string) {
		t.Helper()
		_, err := ParseConfig(sdk.Config("{" + fields + "}"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("{%s}: %v, want %s", fields, err, want)
		}
	}
	const good = `"jwks_url": "https://i/keys", "issuer": "https://i", "audience": "a"`
	check(``, "jwks_url: missing")
	check(`"jwks_url": "https://i/keys"`, "issuer: missing")
	check(`"jwks_url": "https://i/keys", "issuer": "https://i"`, "audience: missing")
	check(`"jwks_url": "https://i/keys", "issuer": "https://i", "audience": []`, "audience: missing")
	check(`"jwks_url": "https://i/keys", "issuer": "https://i", "audience": ""`, "audience: a name is empty")
	check(`"jwks_url": "https://i/keys", "issuer": "https://i", "audience": ["*", "a"]`, `audience: "*"`)
	check(`"jwks_url": "https://i/keys", "issuer": "https://i", "audience": {"a": 1}`, "audience: it must be a text or a list of texts")
	check(`"jwks_url": "ftp://i", "issuer": "https://i", "audience": "a"`, "jwks_url: the scheme")
	check(`"jwks_url": "https:///keys", "issuer": "https://i", "audience": "a"`, "jwks_url: ")
	check(good+`, "jwks_file": "k"`, "jwks_file: there is jwks_url too")
	check(good+`, "algorithms": ["none"]`, `algorithms[0]: "none" is none of RS256`)
	check(good+`, "algorithms": ["ES256", "HS256"]`, `algorithms[1]: "HS256" is none of`)
	check(good+`, "leeway": "1h"`, "leeway: 1h is more than 10m0s")
	check(good+`, "leeway": "soon"`, "leeway: ")
	check(good+`, "header": "X Y"`, `header: "X Y" is no name`)
	check(good+`, "refresh_interval": "0s"`, "refresh_interval: ")
	check(good+`, "required_claims": [{"equals": "x"}]`, "required_claims[0].claim: missing")
	check(good+`, "required_claims": [{"claim": "x", "equals": 1, "contains": 2}]`, "required_claims[0].contains: there is equals too")
	check(good+`, "required_claims": [{"claim": "x", "equals": {"a": 1}}]`, "required_claims[0].equals: it must be")
	check(good+`, "required_claims": [{"claim": "x", "contains": []}]`, "required_claims[0].contains: the list is empty")
	check(good+`, "rules": [{}, {"contains": "x"}]`, "rules[1].claim: missing")
	check(good+`, "rules": [{"paths": ["api"]}]`, "rules[0].paths[0]: ")
	check(good+`, "rules": [{"paths": ["/api/*/x"]}]`, "rules[0].paths[0]: ")
	check(good+`, "rules": [{"methods": ["get"]}]`, `rules[0].methods[0]: "get"`)
	check(good+`, "rules": [{"alow": false}]`, "alow: unknown field")
	check(good+`, "secret": "x"`, "secret: unknown field")
}
