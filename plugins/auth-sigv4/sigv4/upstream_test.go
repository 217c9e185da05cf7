package sigv4

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	upstream "github.com/prometheus/sigv4"
	"go.yaml.in/yaml/v2"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	sdktest.Run(t, sdktest.Case{
		Open: sdktest.InProcess(Plugin(), sdktest.NewHost(t).SDK()),
		Kind: sdk.KindAuthOutbound,
		Good: sdk.Config(`{"region": "eu-west-1", "access_key": "a", "secret_key": "b"}`),
		Bad:  []sdk.Config{sdk.Config(`{"access_key": "a"}`), sdk.Config(`{"regin": "x"}`), sdk.Config(`[]`)},
	})
}

// TestVerdictsOfUpstream: Prometheus takes the same sections.
func TestVerdictsOfUpstream(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"region":"r"}`, `{"access_key":"a"}`, `{"secret_key":"a"}`, `{"access_key":"a","secret_key":"b"}`, `{"profile":"p"}`,
		`{"external_id":"x"}`, `{"role_arn":"r","external_id":"x"}`, `{"session_name":"ab"}`, `{"role_arn":"r","session_name":"a"}`,
		`{"role_arn":"r","session_name":"a b"}`, `{"role_arn":"r","session_name":"a@b"}`, `{"tags":{"a":"b"}}`, `{"role_arn":"r","tags":{"a":"b"}}`,
		`{"role_arn":"r","tags":{"":"b"}}`, `{"use_fips_sts_endpoint":true}`, `{"service_name":"es"}`, `{"regoin":"x"}`, `{"use_fips_sts_endpoint":"maybe"}`,
	} {
		var theirs upstream.SigV4Config
		their := yaml.UnmarshalStrict([]byte(text), &theirs)
		if _, our := ParseConfig(sdk.Config(text)); (our == nil) != (their == nil) {
			t.Errorf("%s: %v, upstream says %v", text, our, their)
		}
	}
}

// cloud answers as metadata, agents and STS do, whatever host they are at.
func cloud(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		status, text := sts(sdk.Request{Header: r.Header, Body: body})
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, text)
	case r.URL.Path == "/agent":
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"AccessKeyId":"agent%s","SecretAccessKey":"s","Token":"t","Expiration":"2030-01-01T00:00:00Z"}`, r.Header.Get("Authorization"))
	case r.URL.Path == "/latest/api/token":
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
		_, _ = fmt.Fprint(w, "v2-token")
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "v2-token":
		w.WriteHeader(http.StatusUnauthorized)
	case strings.HasSuffix(r.URL.Path, "/security-credentials/"):
		_, _ = fmt.Fprint(w, "role-1")
	case strings.HasSuffix(r.URL.Path, "/role-1"):
		_, _ = fmt.Fprint(w, `{"Code":"Success","AccessKeyId":"instance","SecretAccessKey":"s","Token":"t","Expiration":"2030-01-01T00:00:00Z"}`)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestChainOfUpstream has Prometheus's own signer, with AWS's SDK, find credentials in the same environments.
func TestChainOfUpstream(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(cloud))
	defer server.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"config": "[default]\nregion = file-1\n[profile p]\nregion = file-2\n[profile r]\nrole_arn = arn:r\nsource_profile = p\n" +
			"[profile own]\nrole_arn = arn:own\nsource_profile = own\naws_access_key_id = OWN\naws_secret_access_key = s\n" +
			"[profile chain]\nrole_arn = arn:chain\nsource_profile = r\nexternal_id = x\n" +
			"[profile env]\nrole_arn = arn:env\ncredential_source = Environment\n[profile ec2]\nrole_arn = arn:ec2\ncredential_source = Ec2InstanceMetadata\n" +
			"[profile web]\nrole_arn = arn:web\nweb_identity_token_file = " + dir + "/token\n[profile bare]\nrole_arn = arn:bare\n" +
			"[profile half]\naws_access_key_id = H\n[profile lost]\nrole_arn = arn:lost\nsource_profile = nobody\n[profile odd]\ncredential_source = Moon\nrole_arn = x\n" +
			"[profile quoted] # comment\naws_access_key_id : 'Q' # comment\naws_secret_access_key=s\n",
		"credentials": "[default]\naws_access_key_id = D\naws_secret_access_key = s\n[p]\naws_access_key_id = P\naws_secret_access_key = s\naws_session_token = T\n",
		"token":       "jwt",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base := []string{"AWS_ENDPOINT_URL_STS=" + server.URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + server.URL}
	files := []string{"AWS_CONFIG_FILE=" + dir + "/config", "AWS_SHARED_CREDENTIALS_FILE=" + dir + "/credentials"}
	keys := []string{"AWS_ACCESS_KEY_ID=E", "AWS_SECRET_ACCESS_KEY=s", "AWS_SESSION_TOKEN=T"}
	web := []string{"AWS_WEB_IDENTITY_TOKEN_FILE=" + dir + "/token", "AWS_ROLE_ARN=arn:w"}
	agent := []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + server.URL + "/agent", "AWS_CONTAINER_AUTHORIZATION_TOKEN=secret"}
	check := func(section string, env ...[]string) {
		t.Helper()
		for _, name := range variables() {
			t.Setenv(name, "")
		}
		t.Setenv("AWS_CONFIG_FILE", dir+"/none")
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", dir+"/none")
		for _, list := range append([][]string{base}, env...) {
			for _, e := range list {
				name, value, _ := strings.Cut(e, "=")
				t.Setenv(name, value)
			}
		}
		their, theirErr := credentialOfUpstream(t, section)
		config, err := ParseConfig(sdk.Config(section))
		if err != nil {
			t.Fatal(err)
		}
		c := chain{config: config, host: sdktest.NewHost(t).SDK(), now: time.Now}
		g, err := c.fetch(t.Context())
		our := g.accessKey + "/" + g.region + " " + g.token
		if (err == nil) != (theirErr == nil) || err == nil && our != their {
			t.Errorf("%s in %v: %s, %v; upstream finds %s, %v", section, env, our, err, their, theirErr)
		}
	}
	const region = `{"region":"r"}`
	check(`{"region":"r","access_key":"S","secret_key":"s"}`, files, keys)
	check(`{}`, files, keys)
	check(`{}`, files)
	check(`{}`, keys)
	check(region, keys, web)
	check(region, web)
	check(region, web, files)
	check(region, agent)
	check(region, agent, files)
	check(region)
	check(region, []string{"AWS_EC2_METADATA_DISABLED=true"})
	check(region, []string{"AWS_PROFILE=nobody"}, files)
	check(`{"region":"r","role_arn":"arn:x","external_id":"e"}`, keys)
	for _, name := range []string{"p", "r", "own", "chain", "env", "ec2", "web", "bare", "half", "lost", "odd", "quoted", "nobody"} {
		check(`{"region":"r","profile":"`+name+`"}`, files, keys)
		check(`{}`, files, []string{"AWS_PROFILE=" + name, "AWS_DEFAULT_REGION=env"})
	}
}

// credentialOfUpstream returns the access key, the region and the token that Prometheus signs with.
func credentialOfUpstream(t *testing.T, section string) (string, error) {
	t.Helper()
	var cfg upstream.SigV4Config
	if err := yaml.UnmarshalStrict([]byte(section), &cfg); err != nil {
		t.Fatal(err)
	}
	var seen *http.Request
	signing, err := upstream.NewSigV4RoundTripper(&cfg, roundTrip(func(r *http.Request) (*http.Response, error) {
		seen = r
		return &http.Response{Body: http.NoBody}, nil
	}), upstream.WithContext(t.Context()))
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := signing.RoundTrip(r)
	if err != nil {
		return "", err
	}
	_ = resp.Body.Close()
	_, credential, _ := strings.Cut(seen.Header.Get("Authorization"), "Credential=")
	key, rest, _ := strings.Cut(credential, "/20")
	parts := strings.Split(rest, "/")
	return key + "/" + parts[1] + " " + seen.Header.Get("X-Amz-Security-Token"), nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
