package exec

import "strings"

// keyPiece is how many bytes of keys lie in one piece of memory.
const keyPiece = 8 << 10

// keyIndex numbers keys in the order in which they come. Fast path: keys share their memory, for there can be one for
// each series.
type keyIndex struct {
	of   map[string]int32
	text *strings.Builder
}

// newKeyIndex returns an index for about so many keys.
func newKeyIndex(size int) *keyIndex {
	return &keyIndex{of: make(map[string]int32, size), text: &strings.Builder{}}
}

// add returns the number of a key, which it copies, and whether it came for the first time.
func (x *keyIndex) add(key []byte) (n int32, isNew bool) {
	if n, found := x.of[string(key)]; found {
		return n, false
	}
	if x.text.Cap()-x.text.Len() < len(key) {
		x.text = &strings.Builder{} // The keys before stay in the memory of the old one.
		x.text.Grow(max(keyPiece, len(key)))
	}
	start := x.text.Len()
	x.text.Write(key)
	n = int32(len(x.of))
	x.of[x.text.String()[start:]] = n
	return n, true
}
