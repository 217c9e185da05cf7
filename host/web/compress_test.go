package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// TestLengthsAreOfWhatIsSent asks for an answer that names its length, with and without compression.
func TestLengthsAreOfWhatIsSent(t *testing.T) {
	body := strings.Repeat(`["api",1],`, 500)
	srv := httptest.NewServer(compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body)
	})))
	defer srv.Close()
	for _, plain := range []bool{false, true} {
		client := &http.Client{Transport: &http.Transport{DisableCompression: plain}}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != body || resp.Uncompressed == plain {
			t.Errorf("plain %v: %d of %d bytes, %v", plain, len(got), len(body), err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if plain && resp.ContentLength != int64(len(body)) {
			t.Errorf("the length is said to be %d", resp.ContentLength)
		}
	}
}
