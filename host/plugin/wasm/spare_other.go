//go:build !unix

package wasm

import (
	"errors"
	"unsafe"
)

// backWithFile is for other systems.
func backWithFile(unsafe.Pointer, int, string) error { return errors.ErrUnsupported }
