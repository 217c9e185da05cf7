//go:build !linux

package wasm

// reserve returns size bytes of zeros. Go takes such an allocation from the system untouched, so that here too only
// touched pages cost memory.
func reserve(size uint64) []byte { return make([]byte, size) }

func unreserve([]byte) {}
