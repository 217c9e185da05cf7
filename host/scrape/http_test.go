package scrape

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// TestOverHTTP scrapes a real server with the client that a job gets by default: credentials, user agent, compression,
// and one connection for all scrapes.
func TestOverHTTP(t *testing.T) {
	requests := make(chan *http.Request, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "a 1\n")
		_ = z.Close()
	}))
	defer server.Close()
	w := &world{T: t, store: storagetest.NewStore()}
	var err error
	w.m, err = New(Options{
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Storage: w.store, UserAgent: "Narthex/test",
	})
	if err != nil {
		t.Fatal(err)
	}
	cfgs := parseConfigs(t, `
- job_name: j
  scrape_interval: 50ms
  authorization: {credentials: word}
  static_configs: [{targets: ["`+strings.TrimPrefix(server.URL, "http://")+`"]}]
`)
	change, err := w.m.Prepare(cfgs, labels.EmptyLabels(), nil)
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	updates := make(chan map[string][]sdk.Group, 1)
	updates <- map[string][]sdk.Group{"j": cfgs[0].Discovery.Groups()}
	done := make(chan error)
	go func() { done <- w.m.Run(ctx, updates) }()
	first := <-requests
	kept := false
	for last, tries := first, 0; !kept && tries < 50; tries++ { // On a busy machine a scrape may time out, which ends its connection.
		next := <-requests
		kept, last = next.RemoteAddr == last.RemoteAddr, next
	}
	<-requests // Once it is here, what came before is stored.
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if first.Header.Get("Authorization") != "Bearer word" || first.UserAgent() != "Narthex/test" || first.Header.Get("Accept-Encoding") != "gzip" {
		t.Errorf("headers %v", first.Header)
	}
	if !kept {
		t.Error("the connection was not kept")
	}
	lines := w.dump(func(name string) bool { return name == "a" })
	if len(lines) != 1 || !strings.Contains(lines[0], "=1") {
		t.Errorf("stored %v", lines)
	}
}
