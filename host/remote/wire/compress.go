package wire

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/snappy"
)

var errCorrupt = errors.New("snappy: corrupt input")

// DecompressedSize returns how many bytes a text says that it has when it is decompressed, zero if it is none.
func DecompressedSize(compressed []byte) int {
	size, err := snappy.DecodedLen(compressed)
	if err != nil || size > maxRatio*len(compressed) {
		return 0
	}
	return size
}

// maxRatio is more than snappy's format can reach: what claims more is damaged, and no room is to be made for it.
const maxRatio = 64

// Decompress undoes snappy's block format, up to limit bytes.
func Decompress(compressed []byte, limit int) ([]byte, error) {
	size, err := snappy.DecodedLen(compressed)
	if err != nil {
		return nil, errCorrupt
	}
	if size > limit {
		return nil, fmt.Errorf("snappy: decoded length %d exceeds limit %d", size, limit)
	}
	if size > maxRatio*len(compressed) {
		return nil, errCorrupt
	}
	body, err := snappy.Decode(nil, compressed)
	if err != nil {
		return nil, errCorrupt
	}
	return body, nil
}
