package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/narthex-io/narthex/sdk"
)

// The key and the time of AWS's published examples.
const (
	exampleKey    = "AKIDEXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

func exampleTime() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }

func digestOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func signAt(t *testing.T, r sdk.AuthRequest, c credentials, region, service string, at time.Time) sdk.Header {
	t.Helper()
	key := deriveKey(c.secretKey, scope{date: at.Format(dateFormat), region: region, service: service})
	header, err := sign(r, c, key, at)
	if err != nil {
		t.Fatal(err)
	}
	return header
}

// TestPublishedExamples signs the requests of AWS's documentation and of its test suite for Signature Version 4.
func TestPublishedExamples(t *testing.T) {
	check := func(service, method, url string, header sdk.Header, body, want string) {
		t.Helper()
		got := signAt(t, sdk.AuthRequest{Method: method, URL: url, Header: header, BodySHA256: digestOf(body)},
			credentials{accessKey: exampleKey, secretKey: exampleSecret}, "us-east-1", service, exampleTime())
		if auth := got.Get("Authorization"); !strings.HasSuffix(auth, "Signature="+want) {
			t.Errorf("%s %s is signed with\n%s, want\n%s", method, url, auth, want)
		}
	}
	const host = "https://example.amazonaws.com"
	const vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	form := sdk.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	check("service", "GET", host+"/", nil, "", vanilla)
	check("service", "GET", host+"//", nil, "", vanilla)
	check("service", "GET", host+"/./", nil, "", vanilla)
	check("service", "GET", host+"/foo/..", nil, "", vanilla)
	check("service", "GET", host+"/foo/bar/../..", nil, "", vanilla)
	check("service", "GET", host+"/?Param2=value2&Param1=value1", nil, "", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")
	check("service", "GET", host+"/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", nil, "",
		"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f")
	check("service", "GET", host+"/?Param1=value1", nil, "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb")
	check("service", "POST", host+"/", nil, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")
	check("service", "POST", host+"/", form, "Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a")
	check("iam", "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
		sdk.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}, "",
		"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
}

// TestAsTheSDKSigns compares with the signer of AWS's SDK, which Prometheus uses. It differs from AWS's documentation and from the
// other SDKs where the order of values depends on whether they are quoted, as that of {x} and up does.
func TestAsTheSDKSigns(t *testing.T) {
	check := func(method, raw string, header http.Header, body, token string) {
		t.Helper()
		c := credentials{accessKey: exampleKey, secretKey: exampleSecret, token: token}
		got := signAt(t, sdk.AuthRequest{Method: method, URL: raw, Header: sdk.Header(header), BodySHA256: digestOf(body)}, c,
			"eu-west-1", "aps", exampleTime())
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Method: method, URL: u, Host: u.Host, Header: http.Header{}}
		for name, values := range header { // It would sign the others as well.
			if name == "Content-Type" || strings.HasPrefix(name, "X-Amz-") {
				r.Header[name] = values
			}
		}
		err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: exampleKey, SecretAccessKey: exampleSecret, SessionToken: token},
			r, digestOf(body), "aps", "eu-west-1", exampleTime())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
			if got.Get(name) != r.Header.Get(name) {
				t.Errorf("%s %s: %s is\n%s, the SDK's is\n%s", method, raw, name, got.Get(name), r.Header.Get(name))
			}
		}
	}
	json := http.Header{"Content-Type": {"application/json"}}
	check("GET", "https://h.example/metrics", nil, "", "")
	check("GET", "https://h.example", nil, "", "")
	check("GET", "http://h.example:9090/federate?match%5B%5D=%7B__name__%3D~%22a%20b%2Fc%22%7D&match[]=%7C&z=1&a=2&a=1&empty", nil, "", "token/+=")
	check("GET", "http://10.0.0.1:9090/a/", http.Header{"Accept": {"text/plain;version=0.0.4"}, "User-Agent": {"x"}}, "", "")
	check("GET", "http://[::1]:9090/a%2Fb/c%20d/é/+", nil, "", "")
	check("POST", "https://h.example/workspaces/ws-1/alertmanager/api/v2/alerts", json, `[{"labels":{}}]`, "token")
	check("POST", "https://h.example/x", http.Header{"X-Amz-Target": {"  a   b ", "c"}, "Content-Type": {"a/b;  c=d"}}, "x", "")
}

func TestCannotBeSigned(t *testing.T) {
	if _, err := sign(sdk.AuthRequest{Method: "GET", URL: "http://h\x7f/"}, credentials{}, signingKey{}, exampleTime()); err == nil {
		t.Error("a URL that is none is signed")
	}
}

func BenchmarkSign(b *testing.B) {
	r := sdk.AuthRequest{Method: "GET", URL: "https://10.0.0.1:9100/metrics", BodySHA256: digestOf(""), Header: sdk.Header{
		"Accept": {"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"}, "Accept-Encoding": {"gzip"}, "Host": {"10.0.0.1:9100"},
	}}
	key := deriveKey(exampleSecret, scope{"20150830", "us-east-1", "aps"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sign(r, credentials{accessKey: exampleKey}, key, exampleTime()); err != nil {
			b.Fatal(err)
		}
	}
}
