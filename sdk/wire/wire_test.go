package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/sdk/wire"
)

func TestStream(t *testing.T) {
	frames := []wire.Frame{
		{Type: wire.Hello, ID: 0, Payload: []byte("{}")},
		{Type: wire.Call, ID: 1<<32 - 1, Payload: nil},
		{Type: wire.Result, ID: 7, Payload: bytes.Repeat([]byte{1, 2, 3}, 1<<20)},
	}
	var stream bytes.Buffer
	w := wire.NewWriter(&stream)
	for _, f := range frames {
		if err := w.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	r := wire.NewReader(&stream, 4<<20)
	for _, f := range frames {
		got, err := r.Read()
		if err != nil || got.Type != f.Type || got.ID != f.ID || !bytes.Equal(got.Payload, f.Payload) {
			t.Errorf("read %v %d of %d bytes, %v; want %v %d of %d", got.Type, got.ID, len(got.Payload), err, f.Type, f.ID, len(f.Payload))
		}
	}
	if _, err := r.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestLayout(t *testing.T) {
	got := wire.AppendFrame(nil, wire.Frame{Type: wire.Groups, ID: 3, Payload: []byte("[]")})
	want := []byte{4, 1, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, '[', ']'}
	if !bytes.Equal(got, want) {
		t.Errorf("frame is % x, want % x", got, want)
	}
}

func TestBrokenStreams(t *testing.T) {
	fails := func(stream []byte, want error) {
		t.Helper()
		if _, err := wire.NewReader(bytes.NewReader(stream), 100).Read(); !errors.Is(err, want) {
			t.Errorf("% x: %v, want %v", stream, err, want)
		}
	}
	whole := wire.AppendFrame(nil, wire.Frame{Type: wire.Result, Payload: []byte("abc")})
	fails(whole[:5], io.ErrUnexpectedEOF)
	fails(whole[:12], io.ErrUnexpectedEOF)
	fails(whole[:14], io.ErrUnexpectedEOF)
	fails(wire.AppendFrame(nil, wire.Frame{Payload: make([]byte, 101)}), wire.ErrTooLarge)
}

func TestHead(t *testing.T) {
	h := wire.Head{Line: "GET http://x/", Fields: []wire.Field{{"Accept", "a: b"}, {"Accept", ""}}}
	h.AddUint("n", 5)
	b, err := h.Append(nil)
	if err != nil || string(b) != "GET http://x/\nAccept: a: b\nAccept: \nn: 5\n\n" {
		t.Fatalf("Append = %q, %v", b, err)
	}
	got, body, err := wire.ParseHead(append(b, "body\n\n"...))
	if err != nil || string(body) != "body\n\n" || got.Line != h.Line || len(got.Fields) != 3 {
		t.Errorf("ParseHead = %+v, %q, %v", got, body, err)
	}
	if got.Get("Accept") != "a: b" || got.Get("absent") != "" || got.Uint("n", 1) != 5 || got.Uint("Accept", 1) != 1 {
		t.Errorf("fields %+v", got.Fields)
	}
}

func TestBrokenHeads(t *testing.T) {
	for _, s := range []string{"", "x", "x\n", "x\ny\n", "x\ny\n\n", "x\n: y\n\n", "x\r\n\r\n", "x\na: b\r\n\n", "x\n" + strings.Repeat("a:\n", 5000) + "\n"} {
		if h, _, err := wire.ParseHead([]byte(s)); err == nil {
			t.Errorf("%.20q is taken for %.100v", s, h)
		}
	}
	for _, h := range []wire.Head{
		{Line: "a\nb"},
		{Fields: []wire.Field{{"", "x"}}},
		{Fields: []wire.Field{{"a:b", "x"}}},
		{Fields: []wire.Field{{"a", "x\r"}}},
	} {
		if b, err := h.Append(nil); err == nil {
			t.Errorf("%+v is written as %q", h, b)
		}
	}
}

func TestTypeNames(t *testing.T) {
	for typ := range wire.Type(1000) {
		name := typ.String()
		if known := !strings.HasPrefix(name, "frame type"); typ.FromGuest() && (!known || typ < 256) {
			t.Errorf("%s comes from a guest", name)
		}
	}
}

func BenchmarkHead(b *testing.B) {
	payload := []byte("200\nContent-Type: application/json\nX-Consul-Index: 77\n\n[]")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := wire.ParseHead(payload); err != nil {
			b.Fatal(err)
		}
	}
}
