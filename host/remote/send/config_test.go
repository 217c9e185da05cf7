package send

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

func TestDefaults(t *testing.T) {
	c := configs(t, `[{url: "http://x/write"}]`)[0]
	q := c.QueueConfig
	if q.Capacity != 10000 || q.MaxShards != 50 || q.MinShards != 1 || q.MaxSamplesPerSend != 2000 || q.BatchSendDeadline != model.Duration(5*time.Second) ||
		q.MinBackoff != model.Duration(30*time.Millisecond) || q.MaxBackoff != model.Duration(5*time.Second) || q.RetryOnHTTP429 || q.SampleAgeLimit != 0 {
		t.Errorf("queue_config is %+v", q)
	}
	if c.RemoteTimeout != model.Duration(30*time.Second) || c.ProtobufMessage != V1 || !c.HTTPClient.FollowRedirects || c.HTTPClient.EnableHTTP2 {
		t.Errorf("defaults are %+v", c)
	}
	if m := c.MetadataConfig; !m.Send || m.SendInterval != model.Duration(time.Minute) || m.MaxSamplesPerSend != 2000 {
		t.Errorf("metadata_config is %+v", m)
	}
}

func TestMistakes(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		_, err := parse("remote_write: " + text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	check(`[null]`, "remote_write[0]: empty or null remote write config section")
	check(`[{}]`, "remote_write[0].url: url for remote_write is empty")
	check(`[{url: "http://x", name: a}, {url: "http://y", name: a}]`, "remote_write[1].name")
	check(`[{url: "http://x"}, {url: "http://x"}]`, "duplicate remote write configs are not allowed")
	check(`[{url: "http://x", protobuf_message: prom}]`, `remote_write[0].protobuf_message: unknown remote write protobuf message "prom"`)
	check(`[{url: "http://x", headers: {Authorization: x}}]`, "authorization header must be changed via the basic_auth")
	check(`[{url: "http://x", headers: {content-type: x}}]`, "content-type is a reserved header: it must not be changed")
	check(`[{url: "http://x", headers: {X-Amz-Date: x}}]`, "X-Amz-Date is a reserved header")
	check(`[{url: "http://x", write_relabel_configs: [null]}]`, "remote_write[0].write_relabel_configs[0]")
	check(`[{url: "http://x", write_relabel_configs: [{action: nope}]}]`, "remote_write[0].write_relabel_configs[0]")
	check(`[{url: "http://x", queue_config: {max_shards: 0}}]`, "remote_write[0].queue_config.max_shards: remote write queue max_shards must be positive")
	check(`[{url: "http://x", queue_config: {min_shards: 0}}]`, "min_shards must be positive")
	check(`[{url: "http://x", queue_config: {min_shards: 5, max_shards: 4}}]`, "min_shards must not be greater than max_shards")
	check(`[{url: "http://x", queue_config: {max_samples_per_send: 0}}]`, "max_samples_per_send must be positive")
	check(`[{url: "http://x", queue_config: {capacity: -1}}]`, "capacity must be positive")
	check(`[{url: "http://x", queue_config: {min_backoff: 6s}}]`, "max_backoff must not be less than min_backoff")
	check(`[{url: "http://x", queue_config: {nope: 1}}]`, "nope")
	check(`[{url: "http://x", metadata_config: {send_interval: 0s}}]`, "metadata_config.send_interval")
	check(`[{url: "http://x", nope: 1}]`, "nope")
	check(`[{url: "http://x", azuread: {cloud: AzurePublic}}]`, "azuread: not built in: use oauth2, or an auth plugin")
	check(`[{url: "http://x", google_iam: {credentials_file: x}}]`, "google_iam: not built in")
	check(`[{url: "http://x", basic_auth: {username: a}, sigv4: {}}]`, "at most one of")
	check(`[{url: "http://x", basic_auth: {username: a}, oauth2: {client_id: a, token_url: "http://t"}}]`, "at most one of")
	check(`[{url: "http://x", tls_config: {min_version: TLS9}}]`, "TLS9")
}

func TestGood(t *testing.T) {
	for _, text := range []string{
		`[]`,
		`[{url: "http://x"}, {url: "http://x", name: a}, {url: "http://x", name: b}]`,
		`[{url: "https://user:secret@x/path", remote_timeout: 5s, headers: {X-Scope-OrgID: a}, send_exemplars: true, send_native_histograms: true, round_robin_dns: true, failed_request_logging: true}]`,
		`[{url: "http://x", sigv4: {region: eu}, metadata_config: {send: false, send_interval: 0s}}]`,
		`[{url: "http://x", azuread: null, protobuf_message: io.prometheus.write.v2.Request, enable_http2: true}]`,
	} {
		if _, err := parse("remote_write: " + text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestShownWithoutSecrets(t *testing.T) {
	text, err := yaml.Marshal(configs(t, `[{url: "http://u:hidden@x", basic_auth: {username: a, password: hidden}}]`))
	if err != nil || strings.Contains(string(text), "hidden") || !strings.Contains(string(text), "max_samples_per_send: 2000") {
		t.Errorf("shown as\n%s%v", text, err)
	}
}

// A host with several addresses is reached at each of them; one that cannot be looked up is left to the system.
func TestRoundRobin(t *testing.T) {
	dialled := map[string]bool{}
	dial := func(_ context.Context, _, address string) (net.Conn, error) {
		dialled[address] = true
		return nil, errors.New("no network here")
	}
	lookup := func(_ context.Context, host string) ([]string, error) {
		if host != "x" {
			return nil, errors.New("no such host")
		}
		return []string{"10.0.0.1", "fd00::1"}, nil
	}
	connect := roundRobin(lookup, dial)
	for range 100 {
		_, _ = connect(t.Context(), "tcp", "x:80")
	}
	_, _ = connect(t.Context(), "tcp", "y:80")
	if len(dialled) != 3 || !dialled["10.0.0.1:80"] || !dialled["[fd00::1]:80"] || !dialled["y:80"] {
		t.Errorf("dialled %v", dialled)
	}
}
