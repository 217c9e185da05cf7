package block

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"reflect"
	"testing"
)

// FuzzTombstones: no bytes make the decoder panic, and what it takes is encoded to something with the same meaning. The
// checksum is put right, so that the fuzzer reaches what is behind it.
func FuzzTombstones(f *testing.F) {
	f.Add(encodeTombstones(nil))
	f.Add(encodeTombstones(Tombstones{3: {{-5, 5}, {9, 1 << 60}}, 1 << 30: {{0, 0}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeTombstones(b)
		if len(b) < tombstonesHeader+crc32.Size {
			return
		}
		end := len(b) - crc32.Size
		binary.BigEndian.PutUint32(b[end:], crc32.Checksum(b[tombstonesHeader:end], castagnoli()))
		stones, err := decodeTombstones(b)
		if err != nil {
			return
		}
		again, err := decodeTombstones(encodeTombstones(stones))
		if err != nil || !reflect.DeepEqual(stones, again) {
			t.Fatalf("got %v, %v, want %v", again, err, stones)
		}
	})
}

// FuzzMeta: no bytes make the decoder panic, and what it takes survives being encoded.
func FuzzMeta(f *testing.F) {
	f.Add([]byte(`{"ulid":"01M7Y0THABSC9MPTD9AEBHJG7C","minTime":1,"maxTime":5,"compaction":{"level":1},"version":1,"x":{"y":[1]}}`))
	f.Add([]byte(`{"MinTime":1,"minTime":2,"stats":null,"":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Meta
		if json.Unmarshal(b, &m) != nil {
			return
		}
		encoded, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(encoded, &again); err != nil || again.MinTime != m.MinTime || len(again.Extra) != len(m.Extra) {
			t.Fatalf("%s: got %+v, %v, want %+v", encoded, again, err, m)
		}
	})
}

// FuzzSegment: no bytes of a segment and no offset make the reader panic.
func FuzzSegment(f *testing.F) {
	f.Add([]byte{0x85, 0xBD, 0x40, 0xDD, 1, 0, 0, 0, 3, 1, 0, 0, 0, 9, 9, 9, 9}, uint32(8))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint32(1<<32-1))
	f.Fuzz(func(_ *testing.T, b []byte, ref uint32) {
		_, _, _ = chunkAt(b, ref)
	})
}
