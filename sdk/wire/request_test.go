package wire

import (
	"reflect"
	"testing"

	"github.com/narthex-io/narthex/sdk"
)

func TestRequest(t *testing.T) {
	want := sdk.AuthRequest{
		Method: "POST", URL: "https://a.example/x y?a=b:c",
		Header: sdk.Header{"Host": {"a.example"}, "X-A": {"", "b: c", " d"}, "Accept": {"text/plain"}},
	}
	text, err := AppendRequest([]byte("before "), want)
	if err != nil {
		t.Fatal(err)
	}
	const form = "before POST https://a.example/x y?a=b:c\nAccept: text/plain\nHost: a.example\nX-A: \nX-A: b: c\nX-A:  d\n\n"
	if string(text) != form {
		t.Errorf("got %q, want %q", text, form)
	}
	got, err := ParseRequest(text[len("before "):])
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestBadRequest(t *testing.T) {
	for name, r := range map[string]sdk.AuthRequest{
		"no method":        {URL: "/"},
		"a space":          {Method: "GET /", URL: "/"},
		"a break":          {Method: "GET", URL: "/\nX: y"},
		"a break in value": {Method: "GET", URL: "/", Header: sdk.Header{"A": {"b\r\nC: d"}}},
		"a colon":          {Method: "GET", URL: "/", Header: sdk.Header{"A:": {"b"}}},
		"many fields":      {Method: "GET", URL: "/", Header: sdk.Header{"A": make([]string, maxFields+1)}},
	} {
		if text, err := AppendRequest(nil, r); err == nil {
			t.Errorf("%s: %q", name, text)
		}
	}
	for _, text := range []string{"", "GET", "GET /\n", "GET\n\n", " /\n\n", "GET /\nA\n\n"} {
		if r, err := ParseRequest([]byte(text)); err == nil {
			t.Errorf("%q becomes %+v", text, r)
		}
	}
	if _, err := ParseRequest([]byte("GET /\n\n")); err != nil {
		t.Error(err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /a?b=c\nHost: x\nA: 1\nA: 2\n\nrest"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRequest(text)
		if err != nil {
			return
		}
		again, err := AppendRequest(nil, r)
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", text, err)
		}
		if got, err := ParseRequest(again); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v becomes %+v, %v", r, got, err)
		}
	})
}
