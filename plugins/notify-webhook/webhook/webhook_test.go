package webhook

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	sdktest.Run(t, sdktest.Case{
		Open: sdktest.InProcess(Plugin(), sdktest.NewHost(t).SDK()),
		Kind: sdk.KindNotify,
		Good: sdk.Config(`{"url": "` + server.URL + `"}`),
		Bad:  []sdk.Config{nil, sdk.Config(`{}`), sdk.Config(`{"uri": "http://x"}`), sdk.Config(`[]`)},
	})
}

func TestMistakes(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		_, err := ParseConfig(sdk.Config(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	check(`{}`, "url: missing")
	check(`{"url": "ftp://x"}`, `url: the scheme is "ftp"`)
	check(`{"url": "http://"}`, "url: it names no host")
	check(`{"url": "http://x", "body": "{{ nonsense }}"}`, `body: "{{ nonsense }}": "nonsense" is unknown`)
	check(`{"url": "http://x", "body": {"a": [1, "{{ alert.status }}"]}}`, "body.a[1]: \"{{ alert.status }}\": alert.status stands for one alert")
	check(`{"url": "http://x", "body": {"a": "{{ status"}}`, "body.a: \"{{ status\": {{ without }}")
	check(`{"url": "http://x", "body": {"each_alert": {"x": "{{ alert.nam }}"}}}`, "body.each_alert.x")
	check(`{"url": "http://x", "body": {"each_alert": 1, "more": 2}}`, "body.each_alert: it has to be the only key")
	check(`{"url": "http://x", "body": {"each_alert": {"each_alert": 1}}}`, "no alerts within an alert")
	check(`{"url": "http://x", "body": {"join_alerts": 1}}`, "body.join_alerts")
	check(`{"url": "http://x", "body": {"join_alerts": "x", "with": ","}}`, "body.with")
	if _, err := ParseConfig(sdk.Config(`{"url": "http://:secret@ x"}`)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a bad URL is shown: %v", err)
	}
}

func TestBody(t *testing.T) {
	batches := sdktest.Batches(t)
	check := func(batch int, template, want string) {
		t.Helper()
		body, err := ParseTemplate([]byte(template))
		if err != nil {
			t.Errorf("%s: %v", template, err)
			return
		}
		message, err := batches[batch].Message()
		if err != nil {
			t.Fatal(err)
		}
		got, err := body.Execute(message)
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", template, got, err, want)
		}
	}
	check(0, `{"text": "{{status}}: {{ groupLabels.severity }} at {{ externalURL }}", "n": 5, "on": true, "no": null, "": ""}`,
		`{"":"","n":5,"no":null,"on":true,"text":"firing: page at http://localhost:9090"}`)
	check(1, `["{{ firing }}", "{{ resolved }} over", "{{ commonLabels }}", "all: {{ commonLabels }}", "{{ commonLabels.none }}"]`,
		`[1,"1 over",{"severity":"page"},"all: {\"severity\":\"page\"}",""]`)
	check(1, `{"each_alert": {"title": "{{ alert.labels.alertname }}", "state": "{{alert.status}}", "batch": "{{ id }}"}}`,
		`[{"batch":"2","state":"firing","title":"Down"},{"batch":"2","state":"resolved","title":"Full"}]`)
	check(1, `{"text": {"join_alerts": "{{ alert.annotations.summary }}", "separator": "; "}}`, `{"text":"host a is down; disk is full"}`)
	check(2, `{"text": {"join_alerts": "{{ alert.annotations.summary }}{{ alert.annotations.none }}"}, "end": {"each_alert": "{{ alert.endsAt }}"}}`,
		`{"end":["2026-01-02T03:05:05.678Z"],"text":"quotes \" ' `+"`"+` and {{ braces }},\nlines\tand <tags> & ünïcödé \u2028"}`)
	check(0, `"plain"`, `"plain"`)
}

// TestRequest has each outcome of a request.
func TestRequest(t *testing.T) {
	var got struct {
		body []byte
		key  string
	}
	status := 200
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.body, _ = io.ReadAll(r.Body)
		got.key = r.Header.Get("Idempotency-Key")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, " because ")
	}))
	defer server.Close()
	n, err := Plugin().NewNotifier(sdk.Config(`{"url": "`+server.URL+`/hook"}`), sdktest.NewHost(t).SDK())
	if err != nil {
		t.Fatal(err)
	}
	batch := sdktest.Batches(t)[1]
	if err := n.Notify(t.Context(), batch); err != nil || string(got.body) != string(batch) || got.key != "2" || !json.Valid(got.body) {
		t.Errorf("posted %s with key %s, %v", got.body, got.key, err)
	}
	for code, rejected := range map[int]bool{400: true, 401: false, 404: false, 413: true, 422: true, 429: false, 500: false, 503: false} {
		status = code
		err := n.Notify(t.Context(), batch)
		if err == nil || sdk.IsRejected(err) != rejected || !strings.HasSuffix(err.Error(), ": because") {
			t.Errorf("status %d: %v, rejected: %v", code, err, sdk.IsRejected(err))
		}
	}
	server.Close()
	if err := n.Notify(t.Context(), batch); err == nil || sdk.IsRejected(err) || strings.Contains(err.Error(), "hook") {
		t.Errorf("without a server: %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add([]byte(`{"a": ["{{ status }}", {"each_alert": {"x": "{{ alert.labels.a }}"}}, {"join_alerts": "{{ alert.status }}"}]}`))
	message, err := sdktest.Batches(f)[2].Message()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		body, err := ParseTemplate(text)
		if err != nil {
			return
		}
		out, err := body.Execute(message)
		if err != nil || !json.Valid(out) {
			t.Errorf("%s comes to %s, %v", text, out, err)
		}
	})
}
