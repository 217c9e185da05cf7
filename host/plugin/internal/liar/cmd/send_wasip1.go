package main

import (
	"runtime"
	"unsafe"
)

//go:wasmimport nx1 send
func hostSend(frameType, id uint32, payload unsafe.Pointer, length uint32) int32

func send(frameType uint32, payload []byte) {
	hostSend(frameType, 0, unsafe.Pointer(unsafe.SliceData(payload)), uint32(len(payload)))
	runtime.KeepAlive(payload)
}
