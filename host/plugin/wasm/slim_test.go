package wasm

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// module returns a module of sections, each with its id before it.
func moduleOf(sections ...[]byte) []byte {
	code := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		code = binary.AppendUvarint(append(code, s[0]), uint64(len(s)-1))
		code = append(code, s[1:]...)
	}
	return code
}

// data returns a data section.
func data(segments ...segment) []byte {
	out := binary.AppendUvarint([]byte{sectionData}, uint64(len(segments)))
	for _, s := range segments {
		out = append(appendVarint(append(out, 0, opI32Const), s.offset), opEnd)
		out = append(binary.AppendUvarint(out, uint64(len(s.data))), s.data...)
	}
	return out
}

// image is what the segments of a module make of memory.
func image(t *testing.T, code []byte) (map[int64]byte, int) {
	t.Helper()
	memory, segments := map[int64]byte{}, 0
	for rest := code[preambleSize:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		body := rest[1+n:][:size]
		if rest[0] == sectionData && !eachSegment(body, func(s segment) {
			segments++
			for i, b := range s.data {
				memory[int64(s.offset)+int64(i)] = b
			}
		}) {
			t.Skip("segments of another kind")
		}
		rest = rest[1+n+int(size):]
	}
	for at, b := range memory {
		if b == 0 {
			delete(memory, at)
		}
	}
	return memory, segments
}

func TestSlim(t *testing.T) {
	check := func(want int, sections ...[]byte) {
		t.Helper()
		code := moduleOf(sections...)
		slimmed := slim(bytes.Clone(code))
		before, _ := image(t, code)
		after, segments := image(t, slimmed)
		if segments != want || len(before) != len(after) {
			t.Fatalf("%d segments with %d bytes became % x", segments, len(after), slimmed)
		}
		for at, b := range before {
			if after[at] != b {
				t.Errorf("memory at %d is %d instead of %d", at, after[at], b)
			}
		}
	}
	one, far := segment{1000, []byte("one")}, segment{9000, []byte("far")}
	near, back := segment{1010, []byte("near")}, segment{500, []byte("back")}
	check(1, data(one, near))
	check(2, data(one, near, far))
	check(3, data(one, near, far, back))
	check(2, data(one, segment{1001, []byte("x")}))           // order matters
	check(3, data(one, far, segment{1002, []byte("across")})) // here too
	check(2, data(one, segment{1003 + maxGap + 1, []byte("x")}))
	check(1, data(one, segment{1003 + maxGap, []byte("x")}))
	check(2, data(one, segment{1003, nil}))
	sparse := make([]segment, 1000)
	for i := range sparse {
		sparse[i] = segment{int32(i) * (maxGap + 1), []byte{1}}
	}
	check(len(sparse), data(sparse...))                    // one segment would be mostly zeros
	check(2, []byte{sectionDataCount, 2}, data(one, near)) // instructions may name them
	check(2, data(segment{-100, []byte("x")}, segment{-90, []byte("y")}))

	custom := append([]byte{sectionCustom, 4}, "namebody"...)
	if got, want := slim(moduleOf(custom, []byte{1, 0}, custom)), moduleOf([]byte{1, 0}); !bytes.Equal(got, want) {
		t.Errorf("custom sections: % x", got)
	}
	for _, bad := range [][]byte{moduleOf([]byte{1, 0})[:9], append(moduleOf(), 5, 200)} {
		if got := slim(bad); !bytes.Equal(got, bad) {
			t.Errorf("% x became % x", bad, got)
		}
	}
}

func TestVarint(t *testing.T) {
	for _, v := range []int32{0, 1, -1, 63, 64, -64, -65, 127, 128, 1 << 20, 1<<31 - 1, -1 << 31} {
		if got, n := readVarint(appendVarint(nil, v)); got != v || n == 0 {
			t.Errorf("%d is read as %d", v, got)
		}
	}
}

// FuzzSlim: whatever a module holds, memory looks the same afterwards.
func FuzzSlim(f *testing.F) {
	f.Add(moduleOf(data(segment{1, []byte("a")}, segment{5, []byte("b")}, segment{3, []byte("c")})))
	f.Add(moduleOf(data(segment{1000, []byte("one")}, segment{1010, []byte("two")}), []byte{sectionCustom, 0}))
	f.Fuzz(func(t *testing.T, code []byte) {
		if inspect(code, 1<<30) != nil {
			return
		}
		slimmed := slim(slices.Clone(code))
		before, _ := image(t, code)
		after, _ := image(t, slimmed)
		for at, b := range before {
			if after[at] != b {
				t.Fatalf("memory at %d: %d instead of %d", at, after[at], b)
			}
		}
		if len(after) != len(before) {
			t.Fatalf("%d bytes instead of %d", len(after), len(before))
		}
	})
}
