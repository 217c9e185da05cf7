package grant_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/sdk"
)

// TestEnv: variables are given where they are asked for and granted, and nothing else of the environment is.
func TestEnv(t *testing.T) {
	vars := map[string]string{"ACME_TOKEN": "t", "ACME_OTHER": "o", "PATH": "/bin", "ACME_LINES": "a\nb"}
	check := func(asks, granted []string, want string) {
		t.Helper()
		set, _, err := grant.Derive(sdk.Manifest{Name: "auth-acme", Asks: sdk.Asks{Env: asks}}, nil,
			grant.Options{Env: granted, Getenv: func(name string) string { return vars[name] }})
		got := strings.Join(set.Env.Names(), " ")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("asked %v and granted %v: %q, want %q", asks, granted, got, want)
		}
	}
	check([]string{"ACME_TOKEN", "PATH"}, []string{"ACME_TOKEN"}, "ACME_TOKEN")
	check([]string{"ACME_TOKEN"}, nil, "")
	check(nil, []string{"ACME_TOKEN", "PATH"}, "")
	check([]string{"ACME_UNSET"}, []string{"ACME_UNSET"}, "")
	check([]string{"AWS_REGION"}, nil, "")
	check([]string{"ACME_LINES"}, []string{"ACME_LINES"}, "environment variable ACME_LINES: its value holds a line break, which cannot be handed to a plugin")
}

// TestImplied: a section sigv4 grants what AWS's chain of credentials reads, to the plugin that claims it alone.
func TestImplied(t *testing.T) {
	home := t.TempDir()
	aws := filepath.Join(home, ".aws")
	if err := os.Mkdir(aws, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(aws, "config"), "[profile a]\nregion = eu-west-3 # home\nweb_identity_token_file = '/run/token'\nregion=ev/il\n")
	derive := func(key, section string, env map[string]string) grant.Set {
		t.Helper()
		env["HOME"] = home
		m := sdk.Manifest{Name: "auth-x", Keys: []string{"sigv4", "x_auth"}, Asks: sdk.Asks{Env: append(grant.AWSVariables(), "HOME", "SECRET")}}
		set, _, err := grant.Derive(m, sdk.Config(section), grant.Options{Key: key, Getenv: func(name string) string { return env[name] }})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	same := func(what string, got []string, want ...string) {
		t.Helper()
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%v, want\n%v", what, got, want)
		}
	}
	local := []string{"http://169.254.169.254:80", "http://[fd00:ec2::254]:80", "http://169.254.170.2:80"}

	set := derive("sigv4", `{"region": "us-east-1"}`, map[string]string{"AWS_REGION": "cn-north-1", "AWS_ACCESS_KEY_ID": "k", "SECRET": "s"})
	same("variables", set.Env.Names(), "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
	if got := set.Env["AWS_CONFIG_FILE"]; got != filepath.Join(aws, "config") {
		t.Errorf("AWS_CONFIG_FILE is %s", got)
	}
	same("files", set.Files.Patterns(), filepath.Join(aws, "config"), filepath.Join(aws, "credentials"), "/run/token")
	same("origins", set.HTTP.Origins(), append([]string{
		"https://sts.us-east-1.amazonaws.com:443", "https://sts-fips.us-east-1.amazonaws.com:443",
		"https://sts.cn-north-1.amazonaws.com.cn:443", "https://sts-fips.cn-north-1.amazonaws.com.cn:443",
		"https://sts.eu-west-3.amazonaws.com:443", "https://sts-fips.eu-west-3.amazonaws.com:443",
	}, local...)...)

	for endpoint, given := range map[string]bool{
		"http://127.0.0.1:9/creds": true, "http://169.254.170.23/v1": true, "https://agent.internal/x": true,
		"http://agent.internal/x": false, "http://10.0.0.1/": false, "ftp://127.0.0.1/": false, "::": false,
	} {
		set := derive("sigv4", `{}`, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint, "AWS_ENDPOINT_URL_STS": "http://sts.test", "AWS_EC2_METADATA_DISABLED": "true"})
		if got := len(set.HTTP.Origins()) == 3; got != given {
			t.Errorf("%s is granted: %v; origins are %v", endpoint, got, set.HTTP.Origins())
		}
	}

	set = derive("x_auth", `{"region": "us-east-1"}`, map[string]string{"AWS_REGION": "r"})
	if n := len(set.Env) + len(set.HTTP.Origins()) + len(set.Files.Patterns()); n != 0 {
		t.Errorf("another key grants %v", set)
	}
	m := sdk.Manifest{Name: "auth-x", Keys: []string{"x_auth"}, Asks: sdk.Asks{Env: grant.AWSVariables()}}
	if set, _, err := grant.Derive(m, nil, grant.Options{Key: "sigv4"}); err != nil || len(set.Env) != 0 {
		t.Errorf("a plugin that does not claim the key gets %v, %v", set, err)
	}
}
