package http_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdhttp "github.com/narthex-io/narthex/plugins/sd-http/http"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

// lines is a log that tells of each line.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(bytes.Clone(p))
	return len(p), nil
}

// TestRefused: answers that are no list of groups are reported, and give nothing.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ contentType, body, want string }{
		"no JSON":         {"text/html", "<html>", "content type is \\\"text/html\\\""},
		"another charset": {"application/json; charset=latin1", "[]", "latin1"},
		"broken":          {"application/json", `[{"targets"`, "endpoint's answer: decode JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := backend(t, c.contentType, c.body)
			refused(t, url, c.want)
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		s := httptest.NewServer(http.NotFoundHandler())
		s.Close()
		refused(t, strings.Replace(s.URL, "http://", "http://user:secret@", 1), "connection refused")
	})
	t.Run("not found", func(t *testing.T) {
		s := httptest.NewServer(http.NotFoundHandler())
		defer s.Close()
		defer http.DefaultClient.CloseIdleConnections()
		refused(t, s.URL, "HTTP status 404")
	})
}

func refused(t *testing.T, url, want string) {
	t.Helper()
	log := make(lines, 10)
	host := sdktest.NewHost(t).SDK()
	host.Log = slog.New(slog.NewTextHandler(log, nil))
	config, err := json.Marshal(map[string]string{"url": url})
	if err != nil {
		t.Fatal(err)
	}
	d, err := sdhttp.Plugin().NewDiscovery(config, host)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	ended := make(chan struct{})
	updates := make(chan []sdk.Group)
	go func() {
		defer close(ended)
		_ = d.Run(ctx, updates) // ends with ctx's error
	}()
	select {
	case line := <-log:
		if !strings.Contains(line, want) || strings.Contains(line, "secret") {
			t.Errorf("the log says %s, want %s and no password", line, want)
		}
	case groups := <-updates:
		t.Errorf("got %v", groups)
	case <-ctx.Done():
		t.Error("no line in the log")
	}
	cancel()
	<-ended
}
