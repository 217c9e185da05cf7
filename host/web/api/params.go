package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/model/labels"
)

// The range that stands for "all time": the widest that time.Time can name, as upstream writes it in its formats.
var (
	minTime = time.Unix(math.MinInt64/1000+62135596801, 0).UTC()         //nolint:gochecknoglobals // constant
	maxTime = time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC() //nolint:gochecknoglobals // constant
)

// parseTime reads Unix seconds, with a fraction if need be, or RFC 3339.
func parseTime(s string) (time.Time, error) {
	if t, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(t) && math.Abs(t) < math.MaxInt64/1000 {
		whole, fraction := math.Modf(t)
		return time.Unix(int64(whole), int64(math.Round(fraction*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	switch s {
	case minTime.Format(time.RFC3339Nano):
		return minTime, nil
	case maxTime.Format(time.RFC3339Nano):
		return maxTime, nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
}

// parseDuration reads seconds, with a fraction if need be, or Prometheus's notation.
func parseDuration(s string) (time.Duration, error) {
	if d, err := strconv.ParseFloat(s, 64); err == nil {
		nanos := d * float64(time.Second)
		if nanos > math.MaxInt64 || nanos < math.MinInt64 || math.IsNaN(nanos) {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
		}
		return time.Duration(nanos), nil
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
}

// blame says how an error about a parameter names it. Upstream is not consistent in that, and clients show the text.
type blame func(parameter string, err error) error

// byText leaves the naming of the parameter to the error's own text.
func byText(_ string, err error) error { return &apiError{typeBadData, err} }

// timeParam returns the time in a parameter, or fallback if it is missing.
func timeParam(r *http.Request, name string, fallback time.Time, by blame) (time.Time, error) {
	text := r.FormValue(name)
	if text == "" {
		return fallback, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return time.Time{}, by(name, fmt.Errorf("invalid time value for '%s': %w", name, err))
	}
	return t, nil
}

// rangeParams returns the range of a question about labels; it is all time without parameters.
func rangeParams(r *http.Request, by blame) (start, end time.Time, err error) {
	if start, err = timeParam(r, "start", minTime, by); err != nil {
		return start, end, err
	}
	end, err = timeParam(r, "end", maxTime, by)
	return start, end, err
}

// limitParam returns the number of answers wanted; zero means all.
func limitParam(r *http.Request) (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, invalid("limit", err)
	}
	if n < 0 {
		return 0, invalid("limit", errors.New("limit must be non-negative"))
	}
	return n, nil
}

// matcherParams returns the selectors in match[], of which a series must satisfy one.
func (a *api) matcherParams(r *http.Request, by blame) ([][]*labels.Matcher, error) {
	var sets [][]*labels.Matcher
	selectors := a.Parser.Unless(r.Context().Err)
	for _, text := range r.Form["match[]"] {
		ms, err := selectors.ParseMetricSelector(text)
		if err != nil {
			return nil, by("match[]", err)
		}
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return nil, by("match[]", errors.New("match[] must contain at least one non-empty matcher"))
		}
		sets = append(sets, ms)
	}
	return sets, nil
}
