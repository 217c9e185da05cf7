package parser

import (
	"math"
	"strconv"
	"time"
)

// durationUnits are the units of durations, largest first.
//
//nolint:gochecknoglobals // constant table
var durationUnits = [...]struct {
	name   string
	millis int64
	// exact says that the unit is printed only when it divides the duration: 24h is 1d, but 8d is not 1w1d.
	exact bool
}{
	{"y", 365 * 24 * 3600 * 1000, true},
	{"w", 7 * 24 * 3600 * 1000, true},
	{"d", 24 * 3600 * 1000, false},
	{"h", 3600 * 1000, false},
	{"m", 60 * 1000, false},
	{"s", 1000, false},
	{"ms", 1, false},
}

// duration prints d, which is not negative, in whole milliseconds.
func (p *printer) duration(d time.Duration) {
	ms := d.Milliseconds()
	if ms == 0 {
		p.str("0s")
		return
	}
	for _, unit := range durationUnits {
		if unit.exact && ms%unit.millis != 0 {
			continue
		}
		if n := ms / unit.millis; n > 0 {
			p.buf = strconv.AppendInt(p.buf, n, 10)
			p.str(unit.name)
			ms -= n * unit.millis
		}
	}
}

func secondsToDuration(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}
