package sdktest

import (
	"context"
	"strings"
	"sync"

	"github.com/narthex-io/narthex/sdk"
)

// emptySHA256 is the digest of a body that is not there.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func (c Case) signer(t T) {
	s := c.open(t).Signer()
	if s == nil {
		t.Fatal("there is no signer")
	}
	requests := c.Requests
	if len(requests) == 0 {
		requests = []sdk.AuthRequest{{
			Method: "GET", URL: "http://localhost:9100/metrics?a=b", BodySHA256: emptySHA256,
			Header: sdk.Header{"Accept": {"text/plain"}, "Host": {"localhost:9100"}},
		}}
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Patience)
	defer cancel()
	var all sync.WaitGroup // Sign may be called from several goroutines at once
	for _, r := range append(requests, requests...) {
		all.Go(func() {
			header, err := s.Sign(ctx, r)
			if err != nil {
				t.Errorf("Sign(%s %s): %v", r.Method, r.URL, err)
			}
			if len(header) == 0 {
				t.Errorf("Sign(%s %s) sets no field", r.Method, r.URL)
			}
			for name, values := range header {
				if name == "" || strings.ContainsAny(name, ": \r\n") || strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
					t.Errorf("Sign(%s %s) sets the field %q, which does not fit into a header", r.Method, r.URL, name)
				}
			}
		})
	}
	all.Wait()
	returns(t, c.Patience, "Sign", func(gone context.Context) { _, _ = s.Sign(gone, requests[0]) })
}

// forged are fields that no authenticator can take for a proof.
func forged() []string {
	return []string{
		"", "Bearer", "Bearer ", "Bearer .", "Bearer ..", "Bearer a.b.c", "Basic", "Basic =", "Digest \x00", "\xff", "null",
		"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.", "Bearer " + strings.Repeat("A", 100_000), "Bearer " + strings.Repeat(".", 10_000),
	}
}

func (c Case) authenticator(t T) {
	a := c.open(t).Authenticator()
	if a == nil {
		t.Fatal("there is no authenticator")
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Patience)
	defer cancel()
	var all sync.WaitGroup // Authenticate may be called from several goroutines at once
	for _, r := range append(c.Requests, c.Requests...) {
		all.Go(func() {
			if _, err := a.Authenticate(ctx, r); err != nil {
				t.Errorf("Authenticate(%s %s): %v", r.Method, r.URL, err)
			}
		})
	}
	for _, r := range append(c.Refused, c.Refused...) {
		all.Go(func() {
			if id, err := a.Authenticate(ctx, r); err == nil {
				t.Errorf("Authenticate(%s %s) allows %q what it has to refuse", r.Method, r.URL, id.User)
			}
		})
	}
	all.Wait()
	for _, value := range forged() {
		r := sdk.AuthRequest{Method: "GET", URL: "/", Header: sdk.Header{"Authorization": {value}}, RemoteAddr: "192.0.2.1:1"}
		if id, err := a.Authenticate(ctx, r); err == nil {
			t.Errorf("Authenticate allows %q for Authorization: %.40q", id.User, value)
		}
	}
	if len(c.Requests) == 0 {
		t.Logf("the case has no requests: only forged ones were tried")
		return
	}
	if _, err := a.Authenticate(ctx, c.Requests[0]); err != nil { // as if nothing had happened
		t.Errorf("Authenticate after forged requests: %v", err)
	}
	returns(t, c.Patience, "Authenticate", func(gone context.Context) { _, _ = a.Authenticate(gone, c.Requests[0]) })
}
