package wire_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/narthex-io/narthex/sdk/wire"
)

func FuzzReader(f *testing.F) {
	f.Add(wire.AppendFrame(nil, wire.Frame{Type: wire.Groups, ID: 1, Payload: []byte("[]")}))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := wire.NewReader(bytes.NewReader(stream), 1<<16)
		var again bytes.Buffer
		w := wire.NewWriter(&again)
		for {
			frame, err := r.Read()
			if err != nil {
				break
			}
			if err := w.Write(frame); err != nil {
				t.Fatal(err)
			}
			if parsed, err := wire.ParseFrame(wire.AppendFrame(nil, frame)); err != nil || !bytes.Equal(parsed.Payload, frame.Payload) {
				t.Errorf("%+v does not survive: %+v, %v", frame, parsed, err)
			}
		}
		if !bytes.HasPrefix(stream, again.Bytes()) {
			t.Errorf("% x was read as % x", stream, again.Bytes())
		}
		_, _ = wire.ParseFrame(stream)
	})
}

func FuzzHead(f *testing.F) {
	f.Add([]byte("200\nA: b\nA:c\n\nbody"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		h, body, err := wire.ParseHead(payload)
		if err != nil {
			return
		}
		b, err := h.Append(nil)
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", h, err)
		}
		again, rest, err := wire.ParseHead(append(b, body...))
		if err != nil || !bytes.Equal(rest, body) || !reflect.DeepEqual(h, again) {
			t.Errorf("%+v becomes %+v, %v", h, again, err)
		}
	})
}
