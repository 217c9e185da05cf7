package sigv4

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

func TestMistakes(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		_, err := ParseConfig(sdk.Config(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	check(`{"access_key": "a"}`, "secret_key: missing")
	check(`{"secret_key": "a"}`, "access_key: missing")
	check(`{"external_id": "a"}`, "external_id: it is of no use without role_arn")
	check(`{"session_name": "ab"}`, "session_name: it is of no use without role_arn")
	check(`{"tags": {"a": "b"}}`, "tags: it is of no use without role_arn")
	check(`{"role_arn": "a", "session_name": "a b"}`, `session_name: "a b" is not made of`)
	check(`{"role_arn": "a", "tags": {"": "b"}}`, "tags: a tag's key is empty")
	check(`{"role_arn": "a", "tags": {"`+strings.Repeat("k", 129)+`": ""}}`, "is longer than 128 bytes")
	check(`{"role_arn": "a", "tags": {"k": "`+strings.Repeat("v", 257)+`"}}`, `the value of "k" is longer than 256 bytes`)
	check(`{"regoin": "a"}`, "regoin: unknown field; there are region, access_key")
	check(`{"use_fips_sts_endpoint": "yes"}`, "use_fips_sts_endpoint: a string is not what belongs here")
	check(`[]`, "")
	for _, good := range []string{``, `{}`, `{"region":"r","access_key":"a","secret_key":"b","profile":"p","role_arn":"c","external_id":"d","session_name":"ab","tags":{"k":""},"use_fips_sts_endpoint":true,"service_name":"es"}`} {
		if _, err := ParseConfig(sdk.Config(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// TestSigner checks that keys follow the day and the credentials.
func TestSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{env: map[string]string{envRegion: "eu-west-1", envCredentialsFile: "f"}, files: map[string]string{
			"f": "[default]\naws_access_key_id=A\naws_secret_access_key=s",
		}}
		s := newSigner(Config{}, m.host(), time.Now)
		check := func(want string) {
			t.Helper()
			synctest.Wait()
			r := sdk.AuthRequest{Method: "GET", URL: "http://h/metrics", BodySHA256: digestOf("")}
			got, err := s.Sign(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if auth := got.Get("Authorization"); !strings.Contains(auth, "Credential="+want+"/eu-west-1/aps/aws4_request,") {
				t.Errorf("signed with %s, want %s", auth, want)
			}
			found := s.cache.current.credentials
			if same := signAt(t, r, found, "eu-west-1", "aps", time.Now().UTC()); same.Get("Authorization") != got.Get("Authorization") {
				t.Errorf("signed with a key of another day or other credentials")
			}
		}
		check("A/20000101")
		time.Sleep(24 * time.Hour)
		check("A/20000102")
		m.files["f"] = "[default]\naws_access_key_id=B\naws_secret_access_key=t"
		time.Sleep(2 * time.Minute)
		check("B/20000102")
		m.files["f"] = ""
		m.answer = func(sdk.Request) (int, string) { return 404, "" }
		time.Sleep(2 * time.Minute)
		if _, err := s.Sign(t.Context(), sdk.AuthRequest{}); err == nil || !strings.Contains(err.Error(), "no AWS credentials") {
			t.Error(err)
		}
	})
}
