//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// timex reports how the kernel keeps its clock in step, from adjtimex(2), which also names the fields.
type timex struct {
	adjtimex func(*unix.Timex) (state int, err error)
}

func (c timex) collect(_ context.Context, _ readings, out *exposition) error {
	const (
		timeError = 5                 // The state of a clock that is not synchronized.
		staNano   = 0x2000            // The status bit that makes times nanoseconds instead of microseconds.
		scaledPPM = 1000000.0 * 65536 // Parts per million with 16 bits of fraction.
	)
	var t unix.Timex
	state, err := c.adjtimex(&t)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: adjtimex: %w", errNoData, err)
	case err != nil:
		return fmt.Errorf("adjtimex: %w", err)
	}
	resolution := 1e6
	if t.Status&staNano != 0 {
		resolution = 1e9
	}
	synchronized := 1.0
	if state == timeError {
		synchronized = 0
	}
	for _, m := range [...]struct {
		name, help string
		value      float64
	}{
		{"sync_status", "1 if the clock is synchronized with a reliable server.", synchronized},
		{"offset_seconds", "How far the clock is from the reference.", float64(t.Offset) / resolution},
		{"frequency_adjustment_ratio", "How much faster the clock is made to run.", 1 + float64(t.Freq)/scaledPPM},
		{"maxerror_seconds", "The clock's maximum error.", float64(t.Maxerror) / 1e6},
		{"estimated_error_seconds", "The clock's estimated error.", float64(t.Esterror) / 1e6},
		{"status", "The bits of the clock's status.", float64(t.Status)},
		{"loop_time_constant", "The time constant of the phase-locked loop.", float64(t.Constant)},
		{"tick_seconds", "Seconds between ticks of the clock.", float64(t.Tick) / 1e6},
		{"pps_frequency_hertz", "The frequency of the pulse per second.", float64(t.Ppsfreq) / scaledPPM},
		{"pps_jitter_seconds", "The jitter of the pulse per second.", float64(t.Jitter) / resolution},
		{"pps_shift_seconds", "The interval of the pulse per second.", float64(t.Shift)},
		{"pps_stability_hertz", "The stability of the pulse per second.", float64(t.Stabil) / scaledPPM},
		{"tai_offset_seconds", "How far International Atomic Time is ahead.", float64(t.Tai)},
	} {
		out.gauge("node_timex_"+m.name, m.help, m.value)
	}
	out.counter("node_timex_pps_jitter_total", "How often the jitter exceeded its limit.", float64(t.Jitcnt))
	out.counter("node_timex_pps_calibration_total", "Calibration intervals.", float64(t.Calcnt))
	out.counter("node_timex_pps_error_total", "Calibration errors.", float64(t.Errcnt))
	out.counter("node_timex_pps_stability_exceeded_total", "How often the stability exceeded its limit.",
		float64(t.Stbcnt))
	return nil
}
