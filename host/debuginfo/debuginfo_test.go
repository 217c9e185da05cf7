package debuginfo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/apiclient"
)

// contents returns the names of an archive's files and what they hold.
func contents(t *testing.T, archive io.Reader) string {
	t.Helper()
	unpacked, err := gzip.NewReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for files := tar.NewReader(unpacked); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(all, "\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s: %s", h.Name, text))
	}
}

func TestCollect(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/mutex") {
			http.Error(w, "no mutexes here", http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, r.URL.RequestURI())
	}))
	defer server.Close()
	base, err := url.Parse(server.URL + "/prefix")
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	var begun int
	got, err := Collect(t.Context(), apiclient.New(base, server.Client(), nil), append(Profiles("5"), Metrics()...), &archive, func(Page) { begun++ })
	if got != 7 || begun != 8 || err == nil || !strings.HasSuffix(err.Error(), "/prefix/debug/pprof/mutex answers 404 Not Found: no mutexes here") {
		t.Errorf("got %d of %d: %v", got, begun, err)
	}
	const want = `goroutine.pb: /prefix/debug/pprof/goroutine
heap.pb: /prefix/debug/pprof/heap
threadcreate.pb: /prefix/debug/pprof/threadcreate
block.pb: /prefix/debug/pprof/block
cpu.pb: /prefix/debug/pprof/profile?seconds=5
trace.pb: /prefix/debug/pprof/trace?seconds=5
metrics.txt: /prefix/metrics`
	if files := contents(t, &archive); files != want {
		t.Errorf("got\n%s\nwant\n%s", files, want)
	}
}
