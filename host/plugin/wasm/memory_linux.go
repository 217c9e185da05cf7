package wasm

import "syscall"

// reserve returns size bytes of zeros that cost nothing until they are touched; nil when the system refuses.
func reserve(size uint64) []byte {
	const private = syscall.MAP_PRIVATE | syscall.MAP_ANON | syscall.MAP_NORESERVE
	b, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, private)
	if err != nil {
		return nil
	}
	return b
}

func unreserve(b []byte) {
	if b != nil {
		_ = syscall.Munmap(b) // fails for no memory of ours
	}
}
