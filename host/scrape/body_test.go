package scrape

import (
	"bytes"
	"errors"
	"testing"
	"testing/iotest"
)

// TestBodySizes reads bodies around the sizes at which their memory changes, in both ways.
func TestBodySizes(t *testing.T) {
	var memory bodyMemory
	memory.init(0)
	b := &body{}
	for _, size := range []int{0, 1, minBody - 1, minBody, minBody + 1, freeBody - 1, freeBody, freeBody + 1, freeBody + pieceSize, freeBody + 3*pieceSize + 7} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7 / 3)
		}
		b.begin(&memory, 0, size/2)
		if err := b.readFrom(iotest.HalfReader(bytes.NewReader(want))); err != nil {
			t.Fatal(err)
		}
		if b.complete(); !bytes.Equal(b.bytes, want) || b.size != size {
			t.Errorf("%d bytes: what was read is not what there is", size)
		}
		b.release()
		b.begin(&memory, 0, 2*size)
		if n, err := b.Write(want); err != nil || n != size {
			t.Fatal(n, err)
		}
		if b.complete(); !bytes.Equal(b.bytes, want) {
			t.Errorf("%d bytes: what was written is not what there is", size)
		}
		b.release()
	}
	if used := memory.used.Load(); used != 0 {
		t.Errorf("%d bytes are not given back", used)
	}
}

// TestBodyShares checks that each endless body gets its share and leaves room for the next one.
func TestBodyShares(t *testing.T) {
	var memory bodyMemory
	memory.init(minBodyMemory)
	var bodies [4]body
	before := minBodyMemory
	for i := range bodies {
		b := &bodies[i]
		b.begin(&memory, 0, 0)
		if err := b.readFrom(endless{}); !errors.Is(err, errBodyMemory) {
			t.Fatal(err)
		}
		if b.size <= freeBody || b.size >= before {
			t.Errorf("body %d: %d bytes, the one before has %d", i, b.size, before)
		}
		before = b.size
	}
	b := &body{}
	b.begin(&memory, 3*freeBody, 0) // What is configured counts more.
	if err := b.readFrom(endless{}); !errors.Is(err, errBodySizeLimit) || b.size < 3*freeBody {
		t.Errorf("%d bytes, %v", b.size, err)
	}
	for i := range bodies {
		bodies[i].release()
	}
	b.release()
	if used := memory.used.Load(); used != 0 {
		t.Errorf("%d bytes are not given back", used)
	}
}
