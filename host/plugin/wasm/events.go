package wasm

import (
	"io/fs"
	"path"
	"sync/atomic"
	"time"

	experimentalsys "github.com/tetratelabs/wazero/experimental/sys"
	wasisys "github.com/tetratelabs/wazero/sys"

	"github.com/narthex-io/narthex/sdk/wire"
)

// eventsMount is where the folder with the events file appears in the guest.
var eventsMount = path.Dir(wire.EventsPath) //nolint:gochecknoglobals // derived constant

// maxOpens bounds how often a guest can open something: each costs an entry in the host's table.
const maxOpens = 64

// eventsFS is the guest's whole file system: one pollable file with the frames from the host.
type eventsFS struct {
	experimentalsys.UnimplementedFS
	instance *Instance
	opens    *atomic.Int32
}

// OpenFile implements experimentalsys.FS.
func (f eventsFS) OpenFile(name string, _ experimentalsys.Oflag, _ fs.FileMode) (experimentalsys.File, experimentalsys.Errno) {
	if f.opens.Add(1) > maxOpens {
		return nil, experimentalsys.EPERM
	}
	switch name {
	case path.Base(wire.EventsPath):
		return &eventsFile{instance: f.instance}, 0
	case ".", "":
		return eventsDir{}, 0
	}
	return nil, experimentalsys.ENOENT
}

type eventsDir struct {
	experimentalsys.UnimplementedFile
}

// IsDir implements experimentalsys.File.
func (eventsDir) IsDir() (bool, experimentalsys.Errno) { return true, 0 }

// Stat implements experimentalsys.File.
func (eventsDir) Stat() (wasisys.Stat_t, experimentalsys.Errno) {
	return wasisys.Stat_t{Mode: fs.ModeDir | 0o555, Nlink: 1}, 0
}

// Close implements experimentalsys.File.
func (eventsDir) Close() experimentalsys.Errno { return 0 }

// eventsFile reads the queue. The guest's thread alone uses it.
type eventsFile struct {
	experimentalsys.UnimplementedFile
	instance *Instance
	nonblock bool
}

// IsDir implements experimentalsys.File.
func (*eventsFile) IsDir() (bool, experimentalsys.Errno) { return false, 0 }

// Stat implements experimentalsys.File. A character device is what Go's runtime polls.
func (*eventsFile) Stat() (wasisys.Stat_t, experimentalsys.Errno) {
	return wasisys.Stat_t{Mode: fs.ModeDevice | fs.ModeCharDevice | 0o444, Nlink: 1}, 0
}

// Close implements experimentalsys.File.
func (*eventsFile) Close() experimentalsys.Errno { return 0 }

// IsNonblock implements experimentalsys.File.
func (f *eventsFile) IsNonblock() bool { return f.nonblock }

// SetNonblock implements experimentalsys.File.
func (f *eventsFile) SetNonblock(on bool) experimentalsys.Errno { f.nonblock = on; return 0 }

// Poll implements experimentalsys.File.
func (f *eventsFile) Poll(_ experimentalsys.Pflag, timeoutMillis int32) (bool, experimentalsys.Errno) {
	d := max(time.Duration(timeoutMillis)*time.Millisecond, -1)
	return f.instance.queue.wait(f.instance.closing, true, d), 0
}

// Read implements experimentalsys.File.
func (f *eventsFile) Read(b []byte) (int, experimentalsys.Errno) {
	for {
		if n := f.instance.queue.read(b); n > 0 || len(b) == 0 {
			return n, 0
		}
		if f.nonblock {
			return 0, experimentalsys.EAGAIN
		}
		if !f.instance.queue.wait(f.instance.closing, true, -1) {
			return 0, experimentalsys.EIO
		}
	}
}
