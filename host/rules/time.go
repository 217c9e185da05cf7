package rules

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// ParseTime reads a time in Unix seconds, with a fraction if need be, or in RFC 3339.
func ParseTime(text string) (time.Time, error) {
	if t, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(t) && math.Abs(t) < math.MaxInt64/1000 {
		whole, fraction := math.Modf(t)
		return time.Unix(int64(whole), int64(math.Round(fraction*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: write Unix seconds or 2006-01-02T15:04:05Z", text)
}
