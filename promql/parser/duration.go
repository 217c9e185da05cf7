package parser

import (
	"errors"
	"fmt"
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
	if ms := math.Round(seconds * 1000); ms/1000 == seconds {
		return time.Duration(ms) * time.Millisecond
	}
	return time.Duration(math.Round(seconds * 1e9))
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

// DurationContext is what the value of a duration depends on.
type DurationContext struct {
	// Range is the time from a query's start to its end, Step the distance of its evaluations; both are zero for an
	// instant query.
	Range, Step time.Duration
	// AllowNegative admits zero and negative values, as offsets may have.
	AllowNegative bool
}

// Resolve calculates the duration. It is an error, which begins with the position as start:end in bytes, when the value
// is not a number, does not fit, or is zero or less where the context does not allow that.
func (e *DurationExpr) Resolve(c DurationContext) (time.Duration, error) {
	seconds, err := c.seconds(e)
	switch {
	case err != nil:
		return 0, err
	case math.IsNaN(seconds) || math.IsInf(seconds, 0):
		return 0, e.errorf("duration is NaN or infinite")
	case !durationInRange(seconds):
		return 0, e.errorf("duration is out of range")
	}
	d := secondsToDuration(seconds)
	if d <= 0 && !c.AllowNegative {
		return 0, e.errorf("duration must be greater than 0")
	}
	return d, nil
}

func (e *DurationExpr) errorf(format string, args ...any) error {
	return fmt.Errorf("%d:%d: %w", e.PosRange.Start, e.PosRange.End, fmt.Errorf(format, args...))
}

// seconds returns the value of a number or calculation.
func (c DurationContext) seconds(e Expr) (float64, error) {
	d, ok := e.(*DurationExpr)
	if !ok {
		return e.(*NumberLiteral).Val, nil
	}
	var lhs, rhs float64
	var err error
	if d.LHS != nil {
		if lhs, err = c.seconds(d.LHS); err != nil {
			return 0, err
		}
	}
	if d.RHS != nil {
		if rhs, err = c.seconds(d.RHS); err != nil {
			return 0, err
		}
	}
	switch d.Op {
	case DurationPlain:
		return rhs, nil
	case DurationAdd:
		return lhs + rhs, nil
	case DurationSub:
		return lhs - rhs, nil
	case DurationMul:
		return lhs * rhs, nil
	case DurationDiv:
		if rhs == 0 {
			return 0, d.errorf("%w", errDivisionByZero)
		}
		return lhs / rhs, nil
	case DurationMod:
		if rhs == 0 {
			return 0, d.errorf("%w", errModuloByZero)
		}
		return math.Mod(lhs, rhs), nil
	case DurationPow:
		return math.Pow(lhs, rhs), nil
	case DurationStep:
		return c.Step.Seconds(), nil
	case DurationRange:
		return c.Range.Seconds(), nil
	case DurationMinOf:
		return min(lhs, rhs), nil
	default:
		return max(lhs, rhs), nil
	}
}

var (
	errDurationRange  = errors.New("duration out of range")
	errDivisionByZero = errors.New("division by zero")
	errModuloByZero   = errors.New("modulo by zero")
)

// durationInRange reports whether a time.Duration can hold that many seconds.
func durationInRange(seconds float64) bool {
	return math.Abs(seconds) < math.MaxInt64/1e9
}
