package wasm

import "testing"

func FuzzInspect(f *testing.F) {
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x05\x03\x01\x00\x01\x04\x04\x01\x70\x00\x02"))
	f.Fuzz(func(_ *testing.T, code []byte) { _ = inspect(code, 1<<20) })
}
