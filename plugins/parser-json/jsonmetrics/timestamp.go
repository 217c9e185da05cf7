package jsonmetrics

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// timeUnit is the length of a number's unit in milliseconds; zero means times as text.
type timeUnit float64

func parseTimeUnit(text string) (timeUnit, error) {
	switch text {
	case "", "unix":
		return 1e3, nil
	case "unix_ms":
		return 1, nil
	case "unix_us":
		return 1e-3, nil
	case "unix_ns":
		return 1e-6, nil
	case "rfc3339":
		return 0, nil
	}
	return 0, fmt.Errorf("%q is none of unix, unix_ms, unix_us, unix_ns and rfc3339", text)
}

// time returns a space and the milliseconds of the node's time, or nothing if it has none.
func (r *Rule) time(document, node any) (string, error) {
	if r.Timestamp == nil {
		return "", nil
	}
	value, err := r.Timestamp.one(document, node)
	if err != nil || value == nil {
		return "", err
	}
	text, ok := scalar(value)
	if _, isBool := value.(bool); !ok || isBool {
		return "", fmt.Errorf("%s: %w", r.Timestamp.text, errTime)
	}
	ms, ok := r.unit.millis(text, value)
	if !ok {
		return "", fmt.Errorf("%s: %.60q: %w", r.Timestamp.text, text, errTime)
	}
	return " " + strconv.FormatInt(ms, 10), nil
}

func (u timeUnit) millis(text string, value any) (int64, bool) {
	if u == 0 {
		if _, number := value.(json.Number); number {
			return 0, false
		}
		t, err := time.Parse(time.RFC3339, text)
		return t.UnixMilli(), err == nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && u < 1 {
		return n / int64(math.Round(1/float64(u))), true // A float would lose digits.
	}
	f, err := strconv.ParseFloat(text, 64)
	ms := math.Round(f * float64(u))
	return int64(ms), err == nil && math.Abs(ms) < math.MaxInt64/2
}
