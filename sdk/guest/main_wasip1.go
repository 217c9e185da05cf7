//go:build wasip1

package guest

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

//go:wasmimport nx1 send
func hostSend(frameType, id uint32, payload unsafe.Pointer, length uint32) int32

// wasmConn sends through the import and receives from the pollable file, so that Go's netpoller parks the reader while
// other goroutines run.
type wasmConn struct{ r *wire.Reader }

// Send implements Conn.
func (wasmConn) Send(f wire.Frame) error {
	errno := hostSend(uint32(f.Type), f.ID, unsafe.Pointer(unsafe.SliceData(f.Payload)), uint32(len(f.Payload)))
	runtime.KeepAlive(f.Payload)
	if errno != 0 {
		return errors.New("send " + f.Type.String() + ": errno " + strconv.Itoa(int(-errno)))
	}
	return nil
}

// Recv implements Conn.
func (c wasmConn) Recv() (wire.Frame, error) { return c.r.Read() }

// Main serves p and does not return before the host has stopped the plugin. It exits with status 0 after an orderly
// stop and with 1 otherwise.
func Main(p sdk.Plugin) {
	events, err := os.Open(wire.EventsPath)
	if err != nil {
		fatal(usage(p))
	}
	err = Serve(context.Background(), wasmConn{wire.NewReader(events, 1<<32-1)}, p, logLine)
	if err != nil && !errors.Is(err, io.EOF) {
		fatal("plugin " + p.Manifest.Name + ": " + err.Error())
	}
	os.Exit(0)
}

func logLine(line []byte) { _, _ = os.Stderr.Write(line) }

func fatal(line string) {
	logLine([]byte(line + "\n"))
	os.Exit(1)
}
