//go:build e2e && linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

const receiving = "--web.enable-remote-write-receiver"

// TestReceivesFromPrometheus has Prometheus write what it scrapes to the server.
func TestReceivesFromPrometheus(t *testing.T) {
	t.Parallel()
	target := newRecorder(t)
	s := start(t, options{config: "global: {}", args: []string{receiving}})
	startPrometheus(t, "global: {scrape_interval: 100ms, external_labels: {from: prometheus}}\nremote_write: [{url: "+s.base+
		"/api/v1/write, queue_config: {batch_send_deadline: 100ms}}]\nscrape_configs:\n"+staticJob("a", "100ms", target.address), filepath.Join(t.TempDir(), "data"))
	s.await(30*time.Second, `count_over_time(up{job="a", from="prometheus"}[1m]) > 10`)
}

// TestReceivedSamplesSurvive kills the server again and again while samples are written to it. What it has acknowledged is there
// after each restart, once.
func TestReceivedSamplesSurvive(t *testing.T) {
	t.Parallel()
	o := options{dir: t.TempDir(), config: "global: {}", args: []string{receiving}}
	first := time.Now().Add(-time.Hour).UnixMilli()
	var sent, acknowledged atomic.Int64
	for round := range 5 {
		s := start(t, o)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				n := sent.Add(1)
				status, err := writeOne(t, s.base, first+n)
				if err != nil {
					return // The server is gone.
				}
				if status != http.StatusNoContent {
					t.Errorf("sample %d: status %d", n, status)
					return
				}
				acknowledged.Store(n)
			}
		}()
		until := acknowledged.Load() + int64(200*(round+1))
		eventually(t, startTimeout, "samples are taken", func() error {
			if n := acknowledged.Load(); n < until {
				return fmt.Errorf("%d are, want %d", n, until)
			}
			return nil
		})
		s.kill()
		<-done
		back := start(t, o)
		found := back.query("count_over_time(written[2h])")
		// One more than was acknowledged may be there in each round: the one whose answer did not arrive.
		if len(found) != 1 || int64(found[0].Value.v) > sent.Load() || int64(found[0].Value.v) < acknowledged.Load()-int64(round) {
			t.Errorf("round %d: %v found, %d acknowledged of %d sent", round, found, acknowledged.Load(), sent.Load())
		}
		back.stop()
	}
}

// writeOne sends one sample, whose value is its time.
func writeOne(t *testing.T, base string, at int64) (status int, err error) {
	t.Helper()
	field := func(n byte, b []byte) []byte { return append([]byte{n<<3 | 2, byte(len(b))}, b...) }
	label := func(name, value string) []byte {
		return field(1, append(field(1, []byte(name)), field(2, []byte(value))...))
	}
	sample := append([]byte{1<<3 | 1}, binary.LittleEndian.AppendUint64(nil, math.Float64bits(float64(at)))...)
	sample = binary.AppendUvarint(append(sample, 2<<3), uint64(at))
	message := field(1, append(label("__name__", "written"), field(2, sample)...))
	// A literal of up to 60 bytes is snappy too.
	body := append([]byte{byte(len(message)), byte(len(message)-1) << 2}, message...)
	if len(message) > 60 {
		return 0, fmt.Errorf("message of %d bytes", len(message))
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/v1/write", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
