// Package section decodes the part of the config file that an operator wrote for a plugin, as strictly as the server
// decodes the rest: an unknown field, a wrong type or a bad duration is an error that names the field.
//
// Start with [Decode] and, for fields such as refresh_interval, [Interval].
package section

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Decode decodes text into the struct that into points at, whose fields carry json tags. Fields that text lacks keep
// their values, which are the defaults. No text is an empty section.
func Decode(text sdk.Config, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Errorf("%s: a %s is not what belongs here", wrong.Field, wrong.Value)
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("%s: unknown field; there are %s", strings.Trim(field, `"`), fields(into))
	}
	return err
}

// fields lists the fields of the struct that v points at, those of embedded structs included.
func fields(v any) string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v).Elem()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

var durationPattern = regexp.MustCompile(`^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$`)

// Interval returns the pause that an optional field names, or otherwise, if the operator left it out. Text is a duration
// as Prometheus writes it: 30s, 1h30m, 2w. Errors name the field; a pause is longer than 0.
func Interval(field string, text *string, otherwise time.Duration) (time.Duration, error) {
	if text == nil {
		return otherwise, nil
	}
	d, err := parseDuration(*text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	if d <= 0 {
		return 0, fmt.Errorf("%s: %s is no time above zero", field, *text)
	}
	return d, nil
}

func parseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	parts := durationPattern.FindStringSubmatch(s)
	if parts == nil || s == "" {
		return 0, fmt.Errorf("%q is not a duration such as 30s or 1h30m", s)
	}
	const day = 24 * time.Hour
	var total time.Duration
	for i, unit := range []time.Duration{365 * day, 7 * day, day, time.Hour, time.Minute, time.Second, time.Millisecond} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(parts[i+1], 10, 64)
		if err != nil || n > int64((math.MaxInt64-total)/unit) {
			return 0, fmt.Errorf("%q is too long", s)
		}
		total += time.Duration(n) * unit
	}
	return total, nil
}
