package runtimetest

import (
	"context"
	"io"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

// Opener returns what the conformance kit needs to open guests that start starts.
func Opener(tb testing.TB, start func(tb testing.TB, stderr io.Writer) session.Transport) sdktest.Opener {
	tb.Helper()
	return func(ctx context.Context, kind sdk.Kind, config sdk.Config) (sdktest.Guest, error) {
		s, err := session.Open(ctx, start(tb, io.Discard), session.Options{Kind: kind, Config: config})
		if err != nil {
			return nil, err // not s, which would make an interface that is not nil
		}
		return s, nil
	}
}

func (s Suite) conformance(t *testing.T) {
	request := func(header sdk.Header) []sdk.AuthRequest {
		return []sdk.AuthRequest{{Method: "GET", URL: "/api/v1/query?query=up", Header: header, RemoteAddr: "192.0.2.1:1"}}
	}
	for kind, good := range map[sdk.Kind]string{
		sdk.KindExporter:     `{"do":"echo","text":"up 1\n"}`,
		sdk.KindDiscovery:    `{"do":"once","text":"a:1"}`,
		sdk.KindParser:       `{"do":"count"}`,
		sdk.KindNotify:       `{"do":"take"}`,
		sdk.KindAuthOutbound: `{"do":"token","text":"please"}`,
		sdk.KindAuthInbound:  `{"do":"token","text":"please"}`,
	} {
		t.Run(string(kind), func(t *testing.T) {
			sdktest.Run(t, sdktest.Case{
				Open: Opener(t, s.Start),
				Kind: kind,
				Good: sdk.Config(good),
				Bad:  []sdk.Config{nil, sdk.Config(`{"do":"once","nonsense":1}`), sdk.Config(`[]`)},

				Bodies:   []sdktest.Body{{ContentType: "application/x-kitchen", Text: "one\ntwo\n"}, {Text: "three"}},
				Requests: request(sdk.Header{"Authorization": {"Kitchen please"}, "X-User": {"ann"}}),
				Refused:  request(sdk.Header{"Authorization": {"Kitchen now"}, "X-User": {"ann"}}),
			})
		})
	}
}
