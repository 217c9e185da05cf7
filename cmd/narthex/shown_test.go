package main

import (
	"testing"
)

// TestShownFlags checks what /api/v1/status/flags says beside what upstream says to the same flags.
func TestShownFlags(t *testing.T) {
	shown := func(args ...string) map[string]string {
		t.Helper()
		v, err := merge(t, args, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		external, err := externalURL(v)
		if err != nil {
			t.Fatal(err)
		}
		return shownFlags(v, external)
	}
	check := func(got map[string]string, want map[string]string) {
		t.Helper()
		for name, text := range want {
			if got[name] != text {
				t.Errorf("%s is %q, want %q", name, got[name], text)
			}
		}
	}
	check(shown(), map[string]string{
		"storage.tsdb.retention.time": "15d", "storage.tsdb.retention.size": "0B", "storage.tsdb.max-block-duration": "1d12h",
		"storage.tsdb.wal-segment-size": "0B", "storage.tsdb.max-block-chunk-segment-size": "0B", "storage.agent.wal-truncate-frequency": "0s",
		"web.route-prefix": "/", "web.external-url": "", "query.timeout": "2m", "write-documentation": "false", "storage.tsdb.wal-compression-type": "zstd",
		"web.remote-write-receiver.accepted-protobuf-messages": "prometheus.WriteRequest,io.prometheus.write.v2.Request",
	})
	check(shown("--query.timeout=120s", "--storage.tsdb.wal-segment-size=10MB", "--storage.tsdb.retention.size=1536MB", "--storage.tsdb.retention.time=48h",
		"--web.external-url=http://x/y/", "--no-web.enable-lifecycle", "--enable-feature=a,b", "--enable-feature=c", "--query.lookback-delta=90s"), map[string]string{
		"query.timeout": "2m", "storage.tsdb.wal-segment-size": "10MiB", "storage.tsdb.retention.size": "1GiB512MiB", "storage.tsdb.retention.time": "2d",
		"storage.tsdb.max-block-duration": "4h48m", "web.external-url": "http://x/y/", "web.route-prefix": "/y", "web.enable-lifecycle": "false",
		"enable-feature": "a,b,c", "query.lookback-delta": "1m30s",
	})
	check(shown("--storage.tsdb.retention.size=1GB"), map[string]string{"storage.tsdb.retention.time": "0s", "storage.tsdb.max-block-duration": "31d"})
	check(shown("--web.external-url=/y/"), map[string]string{"web.external-url": "/y/", "web.route-prefix": "/y"})
	check(shown("--web.route-prefix=nx/", "--web.external-url=http://x/y/"), map[string]string{"web.route-prefix": "/nx"})
}
