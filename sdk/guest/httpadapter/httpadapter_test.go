package httpadapter_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/httpadapter"
)

type fake func(sdk.Request) (*sdk.Response, error)

// Do implements sdk.HTTPClient.
func (f fake) Do(_ context.Context, r sdk.Request) (*sdk.Response, error) { return f(r) }

func TestRoundTrip(t *testing.T) {
	client := httpadapter.Client(fake(func(r sdk.Request) (*sdk.Response, error) {
		if r.Method != http.MethodPost || r.URL != "http://api/x?y=1" || string(r.Body) != "ping" || r.Header["Content-Type"][0] != "text/plain" {
			t.Errorf("request %+v", r)
		}
		return &sdk.Response{
			Status: 201,
			Header: map[string][]string{"Content-Length": {"4"}, "X-Index": {"7"}},
			Body:   io.NopCloser(strings.NewReader("pong")),
		}, nil
	}))
	resp, err := client.Post("http://api/x?y=1", "text/plain", strings.NewReader("ping"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != "pong" || resp.StatusCode != http.StatusCreated || resp.Status != "201 Created" ||
		resp.ContentLength != 4 || resp.Header.Get("X-Index") != "7" {
		t.Errorf("response %+v %q, %v", resp, b, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestError(t *testing.T) {
	client := httpadapter.Client(fake(func(sdk.Request) (*sdk.Response, error) { return nil, io.ErrUnexpectedEOF }))
	resp, err := client.Get("http://api/")
	if err == nil {
		_ = resp.Body.Close()
		t.Error("the host's error is lost")
	}
}
