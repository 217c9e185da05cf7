//go:build linux

package node

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/prometheus/procfs/sysfs"
)

// tapestats reports the tape drives of /sys/class/scsi_tape.
type tapestats struct {
	fs      sysfs.FS
	ignored *regexp.Regexp
}

func newTapestats(s sources) (tapestats, error) {
	ignored, err := compile("tapestats.ignored_devices", s.cfg.Tapestats.IgnoredDevices)
	return tapestats{s.sysfs, ignored}, err
}

func (c tapestats) collect(_ context.Context, _ readings, out *exposition) error {
	tapes, err := c.fs.SCSITapeClass()
	if err != nil {
		return fmt.Errorf("read tape drives: %w", absent(err))
	}
	for _, name := range slices.Sorted(maps.Keys(tapes)) {
		if c.ignored.MatchString(name) {
			continue
		}
		device, s := label{"device", name}, tapes[name].Counters
		out.gauge("node_tape_io_now", "Requests in flight.", float64(s.InFlight), device)
		counter := func(name, help string, value float64) { out.counter("node_tape_"+name+"_total", help, value, device) }
		counter("io_time_seconds", "Seconds spent by all requests.", float64(s.IoNs)/1e9)
		counter("io_others", "Requests other than reads and writes.", float64(s.OtherCnt))
		counter("read_bytes", "Bytes read.", float64(s.ReadByteCnt))
		counter("reads_completed", "Reads completed.", float64(s.ReadCnt))
		counter("read_time_seconds", "Seconds spent by all reads.", float64(s.ReadNs)/1e9)
		counter("residual", "Requests that moved fewer bytes than asked for.", float64(s.ResidCnt))
		counter("written_bytes", "Bytes written.", float64(s.WriteByteCnt))
		counter("writes_completed", "Writes completed.", float64(s.WriteCnt))
		counter("write_time_seconds", "Seconds spent by all writes.", float64(s.WriteNs)/1e9)
	}
	return nil
}
