package index

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
)

// FuzzReader: no bytes make the reader panic, hang or ask for much memory.
func FuzzReader(f *testing.F) {
	f.Add(writeIndex(f, makeSeries(0)))
	f.Add(writeIndex(f, makeSeries(40)))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = readEverything(data)
	})
}

// FuzzSections does the same to contents of sections whose checksums are right.
func FuzzSections(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 1, 'a'}, []byte{0, 0, 0, 1, 2, 1, 'a', 1, 'a', 8}, []byte{1, 0, 0, 1, 0, 0, 0}, []byte{0, 0, 0, 1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, symbols, table, series, postings []byte) {
		var b bytes.Buffer
		section := func(content []byte) uint64 {
			at := b.Len()
			b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(content))))
			b.Write(content)
			b.Write(binary.BigEndian.AppendUint32(nil, crc32.Checksum(content, castagnoli())))
			return uint64(at)
		}
		b.Write([]byte{0xBA, 0xAA, 0xD7, 0x00, 2})
		b.Write(make([]byte, 11))
		b.Write(binary.AppendUvarint(nil, uint64(len(series))))
		b.Write(series)
		b.Write(binary.BigEndian.AppendUint32(nil, crc32.Checksum(series, castagnoli())))
		toc := binary.BigEndian.AppendUint64(nil, section(symbols))
		toc = append(toc, make([]byte, 24)...)
		toc = binary.BigEndian.AppendUint64(toc, section(postings))
		toc = binary.BigEndian.AppendUint64(toc, section(table))
		b.Write(toc)
		b.Write(binary.BigEndian.AppendUint32(nil, crc32.Checksum(toc, castagnoli())))
		_, _ = readEverything(b.Bytes())
		r, err := NewReader(b.Bytes())
		if err != nil {
			return
		}
		_, _ = r.Chunks(1, 0, 1<<60, nil)
		_, _ = r.LabelValue(1, "a")
		_, _ = r.LabelNamesOf(t.Context(), []uint32{1})
		_, _ = LabelValues(t.Context(), r, "a", nil, labels.MustNewMatcher(labels.MatchRegexp, "b", ".+"))
		_, _ = r.list(r.toc.postings)
	})
}
