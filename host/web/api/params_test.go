package api

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	check := func(text string, want time.Time) {
		t.Helper()
		got, err := parseTime(text)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	check("1435781430", time.Unix(1435781430, 0))
	check("1435781430.781", time.Unix(1435781430, 781e6))
	check("-1.5", time.Unix(-2, 500e6))
	check("2015-06-03T13:21:58.555Z", time.Date(2015, 6, 3, 13, 21, 58, 555e6, time.UTC))
	check(minTime.Format(time.RFC3339Nano), minTime)
	check(maxTime.Format(time.RFC3339Nano), maxTime)
	for _, bad := range []string{"", "NaN", "Inf", "1e30", "yesterday", "2015-06-03"} {
		if got, err := parseTime(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	check := func(text string, want time.Duration) {
		t.Helper()
		got, err := parseDuration(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	check("15", 15*time.Second)
	check("0.5", 500*time.Millisecond)
	check("1h30m", 90*time.Minute)
	check("1d", 24*time.Hour)
	for _, bad := range []string{"", "1e12", "NaN", "5x"} {
		if got, err := parseDuration(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}
