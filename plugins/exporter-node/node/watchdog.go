//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/prometheus/procfs/sysfs"
)

// watchdog reports the watchdog timers of /sys/class/watchdog.
type watchdog struct{ fs sysfs.FS }

func (c watchdog) collect(_ context.Context, _ readings, out *exposition) error {
	watchdogs, err := c.fs.WatchdogClass()
	if err != nil {
		if errors.Is(err, fs.ErrInvalid) {
			err = errors.Join(errNoData, err)
		}
		return fmt.Errorf("read watchdogs: %w", absent(err))
	}
	for _, id := range slices.Sorted(maps.Keys(watchdogs)) {
		w := watchdogs[id]
		name := label{"name", w.Name}
		for _, v := range [...]struct {
			name, help string
			value      *int64
		}{
			{"access_cs0", "1 if the backup image was booted.", w.AccessCs0},
			{"bootstatus", "The watchdog's status after boot.", w.Bootstatus},
			{"fw_version", "Version of the watchdog's firmware.", w.FwVersion},
			{"nowayout", "1 if the watchdog cannot be stopped.", w.Nowayout},
			{"pretimeout_seconds", "Seconds before the timeout at which the watchdog warns.", w.Pretimeout},
			{"timeleft_seconds", "Seconds until the watchdog resets the machine.", w.Timeleft},
			{"timeout_seconds", "Seconds without a sign of life after which the watchdog resets the machine.", w.Timeout},
		} {
			if v.value != nil {
				out.gauge("node_watchdog_"+v.name, v.help, float64(*v.value), name)
			}
		}
		out.gauge("node_watchdog_info", "Always 1; the labels describe the watchdog.", 1,
			label{"identity", orEmpty(w.Identity)},
			name,
			label{"options", orEmpty(w.Options)},
			label{"pretimeout_governor", orEmpty(w.PretimeoutGovernor)},
			label{"state", orEmpty(w.State)},
			label{"status", orEmpty(w.Status)},
		)
	}
	return nil
}
