package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"github.com/narthex-io/narthex/sdk/wire"
)

const sandboxed = true

//go:wasmimport nx1 send
//go:noescape
func hostSend(frameType, id uint32, payload unsafe.Pointer, length uint32) int32

//go:wasmimport nx1 recv
//go:noescape
func hostRecv(payload unsafe.Pointer, capacity uint32, timeoutMillis int32) int32

// run serves over the imports and the events file.
func run(f func(conn) error) {
	events, err := os.Open(wire.EventsPath)
	if err == nil {
		err = f(imports{wire.NewReader(events, 1<<31)})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

type imports struct{ r *wire.Reader }

func (imports) send(f wire.Frame) error {
	errno := hostSend(uint32(f.Type), f.ID, unsafe.Pointer(unsafe.SliceData(f.Payload)), uint32(len(f.Payload)))
	runtime.KeepAlive(f.Payload)
	if errno != 0 {
		return errors.New("errno " + strconv.Itoa(int(-errno)))
	}
	return nil
}

func (i imports) recv() (wire.Frame, error) { return i.r.Read() }

// trap ends the module; Go has nothing that comes nearer to an unreachable instruction.
func trap() { os.Exit(134) }

// wildSend hands the host memory that is not there.
func wildSend() string {
	out := ""
	for _, at := range []uintptr{0xffff_ffff, 0xffff_0000, 0x7fff_ffff} {
		p := unsafe.Pointer(at) //nolint:govet // wild on purpose
		out += fmt.Sprintf("attacker_errno{at=\"%x\"} %d\n", at, hostSend(uint32(wire.Ready), 0, p, 1<<20))
		_ = hostRecv(p, 1<<20, 0)
	}
	return out
}
