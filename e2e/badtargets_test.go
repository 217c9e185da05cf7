//go:build e2e && linux

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// misbehaviour is one kind of bad target.
type misbehaviour struct {
	name string
	// up says that the target is taken all the same, as Prometheus takes it.
	up bool
	// reason is part of what the API says about it.
	reason string
	serve  http.HandlerFunc
}

const (
	textType  = "text/plain; version=0.0.4"
	omType    = "application/openmetrics-text; version=1.0.0"
	protoType = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

// says serves a body.
func says(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{contentType}
		_, _ = w.Write([]byte(body)) // Whoever hangs up early does so on purpose.
	}
}

// zips serves a body as compressed.
func zips(encoding string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textType)
		w.Header().Set("Content-Encoding", encoding)
		_, _ = w.Write(body)
	}
}

func zipped(t *testing.T, body []byte, times int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(b.Bytes(), times)
}

// forever writes until the other side has enough, with a pause between pieces.
func forever(piece string, pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textType)
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(piece)); err != nil {
				return
			}
			if pause > 0 {
				w.(http.Flusher).Flush()
				time.Sleep(pause)
			}
		}
	}
}

// familyMessage is a delimited protobuf message from its fields.
func familyMessage(fields ...string) string {
	text := strings.Join(fields, "")
	return string(binary.AppendUvarint(nil, uint64(len(text)))) + text
}

// fieldMessage is a field of protobuf with bytes.
func fieldMessage(number byte, content string) string {
	return string(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(content)))) + content
}

func misbehaviours(t *testing.T) []misbehaviour {
	t.Helper()
	line := func(format string, args ...any) string { return fmt.Sprintf(format, args...) + "\n" }
	manyLabels := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `l%d="v",`, i)
		}
		return "a{" + b.String() + "} 1\n"
	}
	hangsUp := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}
	}
	const histogramField, metricField = 7, 4
	native := func(fields string) string {
		return familyMessage(fieldMessage(1, "h"), "\x18\x04", fieldMessage(metricField, fieldMessage(histogramField, fields)))
	}
	return []misbehaviour{
		{"good", true, "", says(textType, "a 1\n")},
		{"empty", true, "", says(textType, "")},
		{"comments alone", true, "", says(textType, "# nothing here\n")},
		{"garbage", false, "expected a metric name", says(textType, "\x7fELF\x02\x01\x01\x00garbage")},
		{"html", false, `unsupported Content-Type "text/html; charset=utf-8"`, says("text/html; charset=utf-8", "<html>")},
		{"html as text", false, "expected a metric name", says(textType, "<html></html>\n")},
		{"no content type", false, "blank Content-Type", says("", "a 1\n")},
		{"odd content type", false, "Content-Type", says(";;;", "a 1\n")},
		{"json", false, "unsupported Content-Type", says("application/json", "{}")},
		{"truncated gzip", false, "read body", zips("gzip", zipped(t, []byte("a 1\n"), 1)[:15])},
		{"no gzip", false, "read gzip body", zips("gzip", []byte("a 1\n"))},
		{"gzip bomb", false, "body_size_limit", zips("gzip", zipped(t, bytes.Repeat([]byte("\n"), 64<<20), 64))},
		{"endless", false, "body_size_limit", forever(strings.Repeat("a 1\n", 1<<14), 0)},
		{"endless line", false, "body_size_limit", forever(strings.Repeat("a", 1<<16), 0)},
		{"dripping", false, "timeout", forever("a 1\n", 100*time.Millisecond)},
		{"silent", false, "timeout", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"invalid UTF-8", false, "UTF-8", says(textType, "a{x=\"\xff\"} 1\n")},
		{"10k labels", true, "", says(textType, manyLabels(10_000))},
		{"label twice", false, "not unique", says(textType, `a{x="1",x="2"} 1`+"\n")},
		{"1 MB value", true, "", says(textType, line(`a{x="%s"} 1`, strings.Repeat("x", 1<<20)))},
		{"1 MB name", true, "", says(textType, line(`%s 1`, strings.Repeat("x", 1<<20)))},
		{"huge exponent", false, "is not a value", says(textType, "a 1e99999\n")},
		{"many digits", true, "", says(textType, line("a 0.%s1", strings.Repeat("0", 100_000)))},
		{"hexadecimal float", false, "is not a value", says(textType, "a 0x1p-2\n")},
		{"open quotes", false, "closing brace", says(textType, `a{x="\"\"\\"\"} 1`+"\n")},
		{"nested quotes", false, "expected", says(textType, `a{x=""y""} 1`+"\n")},
		{"open brace", false, "closing brace", says(textType, "a{x=\"1\" 1\n")},
		{"no value", false, "expected a value", says(textType, "a\n")},
		{"bad timestamp", false, "timestamp", says(textType, "a 1 soon\n")},
		{"time far ahead", true, "", says(textType, "a 1 99999999999999\n")},
		{"same series twice", true, "", says(textType, "a 1\na 2\n")},
		{"cut off OpenMetrics", false, "# EOF", says(omType, "a 1\n")},
		{"blank line in OpenMetrics", false, "expected", says(omType, "a 1\n\n# EOF\n")},
		{"unit that does not fit", false, "unit", says(omType, "# UNIT a seconds\na 1\n# EOF\n")},
		{"broken exemplar", false, "exemplar", says(omType, "# TYPE a counter\na_total 1 # {x=1} 1\n# EOF\n")},
		{"contradicting buckets", true, "", says(textType, "# TYPE h histogram\nh_bucket{le=\"1\"} 5\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 1\n")},
		{"text as protobuf", false, "metric family 1", says(protoType, "a 1\n")},
		{"cut off protobuf", false, "cut off", says(protoType, familyMessage(fieldMessage(1, "a"))[:2])},
		{"huge length in protobuf", false, "metric family 1", says(protoType, "\xff\xff\xff\xff\x0fabc")},
		{"broken metric in protobuf", false, "protobuf", says(protoType, familyMessage(fieldMessage(1, "a"), fieldMessage(metricField, "\x1a\x09\x09")))},
		{"unknown type in protobuf", false, "unknown metric type", says(protoType, familyMessage(fieldMessage(1, "a"), "\x18\x77", fieldMessage(metricField, "")))},
		{"spans without buckets", false, "spans require", says(protoType, native("\x08\x03"+fieldMessage(12, "\x10\xff\xff\xff\xff\x0f")))},
		{"histogram that does not add up", false, "histogram", says(protoType, native("\x08\x63"+fieldMessage(12, "\x10\x01")+fieldMessage(13, "\x04")))},
		{"status", false, "HTTP status 500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		{"redirect loop", false, "redirects", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }},
		{"redirect to nowhere", false, "refused", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}},
		{"hangs up", false, "EOF", hangsUp("")},
		{"hangs up in the head", false, "", hangsUp("HTTP/1.1 200 OK\r\nContent-Ty")},
		{"hangs up in the body", false, "read body", hangsUp("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\na 1\n")},
		{"endless head", false, "", func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }() // what is sent is bad anyway
			for _, err = conn.Write([]byte("HTTP/1.1 200 OK\r\n")); err == nil && r.Context().Err() == nil; {
				_, err = conn.Write([]byte("X-Filler: " + strings.Repeat("x", 1<<12) + "\r\n"))
			}
		}},
	}
}

// badServers serves all kinds and returns the configuration of a job for them and the kinds.
func badServers(t *testing.T) (config string, kinds []misbehaviour) {
	t.Helper()
	kinds = misbehaviours(t)
	mux := http.NewServeMux()
	var b strings.Builder
	entry := func(address, kind, path string) {
		fmt.Fprintf(&b, "      - targets: ['%s']\n        labels: {kind: '%s', __metrics_path__: '%s'}\n", address, kind, path)
	}
	srv := httptest.NewUnstartedServer(mux)
	address := srv.Listener.Addr().String()
	for i, k := range kinds {
		mux.HandleFunc(fmt.Sprintf("/%d", i), k.serve)
		entry(address, k.name, fmt.Sprintf("/%d", i))
	}
	srv.Start()
	t.Cleanup(srv.Close)

	resets := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	resets.EnableHTTP2 = true
	resets.StartTLS()
	t.Cleanup(resets.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	const job = "  - job_name: %s\n    scrape_interval: 1s\n    scrape_timeout: 900ms\n    scrape_native_histograms: true\n%s    static_configs:\n"
	config = fmt.Sprintf(job, "bad", "") + b.String()
	b.Reset()
	entry(address, "HTTP instead of TLS", "/0")
	entry(silent.Addr().String(), "no TLS handshake", "/")
	entry(resets.Listener.Addr().String(), "unknown certificate", "/")
	config += fmt.Sprintf(job, "tls", "    scheme: https\n") + b.String()
	b.Reset()
	entry(resets.Listener.Addr().String(), "HTTP/2 reset", "/")
	config += fmt.Sprintf(job, "resets", "    scheme: https\n    tls_config: {insecure_skip_verify: true}\n") + b.String()
	return config, append(kinds,
		misbehaviour{"HTTP instead of TLS", false, "HTTP response to HTTPS client", nil},
		misbehaviour{"no TLS handshake", false, "", nil},
		misbehaviour{"unknown certificate", false, "certificate", nil},
		misbehaviour{"HTTP/2 reset", false, "", nil})
}

// TestBadTargets scrapes fifty kinds of bad target each second, and a good one beside them. BAD_TARGETS_SECONDS says for how
// long, and BAD_TARGETS_PEER names a Prometheus whose verdicts on the same targets have to be the same.
func TestBadTargets(t *testing.T) {
	duration := 10 * time.Second
	if n, err := strconv.Atoi(os.Getenv("BAD_TARGETS_SECONDS")); err == nil {
		duration = time.Duration(n) * time.Second
	}
	jobs, kinds := badServers(t)
	control := newRecorder(t)
	s := start(t, options{config: "scrape_configs:\n" + staticJob("control", "1s", control.address) + jobs})
	control.awaitMore(t, 1)
	time.Sleep(duration)
	got := s.verdicts()
	for _, k := range kinds {
		v := got[k.name]
		want := map[bool]string{true: "up", false: "down"}[k.up]
		if v.Health != want || !strings.Contains(v.LastError, k.reason) || !k.up && v.LastError == "" {
			t.Errorf("%s: %s, %q; want %s, %q", k.name, v.Health, v.LastError, want, k.reason)
		}
		t.Logf("%-32s %-5s %.150s", k.name, v.Health, v.LastError)
	}
	control.wantCadence(t, time.Second)
	if down := s.query(`count_over_time((up{job="control"} == 0)[10m:1s])`); len(down) != 0 {
		t.Errorf("the control target was down: %v", down)
	}
	peak := peakMemory(t, s.cmd.Process.Pid)
	t.Logf("narthex took %d MiB at most", peak>>20)
	if peak > 3<<30 {
		t.Errorf("too much memory: %d MiB", peak>>20)
	}
	if peer := os.Getenv("BAD_TARGETS_PEER"); peer != "" {
		comparePeer(t, peer, jobs, kinds, got, duration)
	}
}

func comparePeer(t *testing.T, path, jobs string, kinds []misbehaviour, got map[string]target, duration time.Duration) {
	t.Helper()
	address := "127.0.0.1:" + freePort(t)
	dir := t.TempDir()
	write(t, dir+"/prometheus.yml", "scrape_configs:\n"+jobs)
	p := launch(t, dir, path, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+address)
	c := client{t: t, base: "http://" + address}
	c.awaitStatus("/-/ready", http.StatusOK, p)
	time.Sleep(duration)
	want := c.verdicts()
	for _, k := range kinds {
		if got[k.name].Health != want[k.name].Health {
			t.Errorf("%s: %s, Prometheus says %s: %q", k.name, got[k.name].Health, want[k.name].Health, want[k.name].LastError)
		}
	}
	t.Logf("Prometheus took %d MiB at most", peakMemory(t, p.cmd.Process.Pid)>>20)
}

// verdicts are the targets by their label kind.
func (c client) verdicts() map[string]target {
	c.t.Helper()
	all := map[string]target{}
	for _, job := range []string{"bad", "tls", "resets"} {
		for _, found := range c.targets(job) {
			all[found.Labels["kind"]] = found
		}
	}
	return all
}

// peakMemory is the most resident memory that a process has had, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(status), "VmHWM:")
	if !ok {
		t.Fatal(errors.New("the kernel does not say how much memory was taken"))
	}
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
