package http_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	sdhttp "github.com/narthex-io/narthex/plugins/sd-http/http"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is an endpoint that lists targets.
func backend(t *testing.T, contentType, body string) (url string, last func() http.Header) {
	t.Helper()
	var seen http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		_, _ = w.Write([]byte(body)) // the client sees it if it fails
	}))
	t.Cleanup(func() {
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return s.URL, func() http.Header { return seen }
}

func TestConformance(t *testing.T) {
	url, _ := backend(t, "application/json", `[{"targets": ["a:1"]}]`)
	good, err := json.Marshal(map[string]string{"url": url})
	if err != nil {
		t.Fatal(err)
	}
	sdktest.Run(t, sdktest.Case{
		Open: sdktest.InProcess(sdhttp.Plugin(), sdktest.NewHost(t).SDK()),
		Kind: sdk.KindDiscovery,
		Good: good,
		Bad:  []sdk.Config{sdk.Config(`{}`), sdk.Config(`{"uri": "http://a"}`), sdk.Config(`{"url": "ftp://a"}`)},
	})
}

func TestFind(t *testing.T) {
	url, seen := backend(t, "application/json; charset=utf-8", `[
		{"targets": ["a:1", "a:2"], "labels": {"env": "prod", "__meta_rack": "7"}},
		{"targets": []},
		{"targets": ["b:1"]}]`)
	config, err := json.Marshal(map[string]string{"url": url, "refresh_interval": "1m30s"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := sdhttp.Plugin().NewDiscovery(config, sdktest.NewHost(t).SDK())
	if err != nil {
		t.Fatal(err)
	}
	got := sdktest.Follow(t, d).Wait("a:1", "a:2", "b:1")
	if l := got["a:2"]; l["env"] != "prod" || l["__meta_rack"] != "7" || l["__meta_url"] != url {
		t.Errorf("labels %v", l)
	}
	if h := seen(); h.Get("X-Prometheus-Refresh-Interval-Seconds") != "90" || h.Get("Accept") != "application/json" {
		t.Errorf("request header %v", h)
	}
}

func TestParseConfig(t *testing.T) {
	c, err := sdhttp.ParseConfig(sdk.Config(`{"url": "https://cmdb/targets"}`))
	if err != nil || c.RefreshInterval != time.Minute {
		t.Errorf("%+v, %v", c, err)
	}
	for text, want := range map[string]string{
		`{}`:                         "url: missing",
		`{"url": "cmdb/targets"}`:    `url: the scheme is "", it must be http or https`,
		`{"url": "http:///targets"}`: "names no host",
		`{"url": "http://a b/"}`:     "url: ",
		`{"url": "http://a", "refresh_interval": "x"}`: "refresh_interval: ",
	} {
		if _, err := sdhttp.ParseConfig(sdk.Config(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
