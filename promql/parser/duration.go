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

// duration prints d, which is not negative: in units where it is whole milliseconds, else as a number of seconds.
func (p *printer) duration(d time.Duration) {
	ms := d.Milliseconds()
	if d%time.Millisecond != 0 {
		p.buf = strconv.AppendFloat(p.buf, d.Seconds(), 'f', -1, 64)
		return
	}
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

// secondsToDuration converts seconds that are in range. Milliseconds come out whole where they were, although a float
// cannot hold most of their fractions.
func secondsToDuration(seconds float64) time.Duration {
	d := time.Duration(math.Round(seconds * 1e9))
	if ms := d.Round(time.Millisecond); (ms - d).Abs() < time.Microsecond {
		return ms
	}
	return d
}

// unitIndex returns where in durationUnits the unit of that name is, or -1.
func unitIndex(name string) int {
	for i := range durationUnits {
		if durationUnits[i].name == name {
			return i
		}
	}
	return -1
}
