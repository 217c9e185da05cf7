package httpclient

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	httpconfig "github.com/prometheus/common/config"
	"github.com/prometheus/sigv4"
)

func TestSign(t *testing.T) {
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Authorization") }))
	defer server.Close()
	client, err := New(httpconfig.DefaultHTTPClientConfig, Options{Name: "test", UserAgent: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	if err := Sign(t.Context(), client, &sigv4.SigV4Config{Region: "eu-west-1"}); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("without credentials: %v", err)
	}
	if err := Sign(t.Context(), client, &sigv4.SigV4Config{Region: "eu-west-1", AccessKey: "AKID", SecretKey: "hidden"}); err != nil {
		t.Fatal(err)
	}
	resp, err := client.Post(server.URL, "application/json", strings.NewReader("[]"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if text := <-got; !strings.HasPrefix(text, "AWS4-HMAC-SHA256 Credential=AKID/") || !strings.Contains(text, "/eu-west-1/aps/aws4_request") {
		t.Errorf("signed with %q", text)
	}
}
