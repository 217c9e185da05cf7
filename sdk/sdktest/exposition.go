package sdktest

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// sampleLine is a name with labels in braces, or braces alone for a quoted name; then the value, and in OpenMetrics a
// timestamp and an exemplar.
var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*?\})?|\{.*?\})[ \t]+(\S+)(?:[ \t]+-?[0-9.]+)?(?:[ \t]+# \{.*)?$`)

// CheckExposition returns what is wrong with an exposition of the content type; "" means the text format. It looks at
// the shape of lines and for samples that occur twice; it is no complete parser.
func CheckExposition(body []byte, contentType string) error {
	text := string(body)
	if text == "" {
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		return errors.New("the exposition's last line has no end")
	}
	if strings.HasPrefix(contentType, "application/openmetrics-text") && !strings.HasSuffix(text, "# EOF\n") {
		return errors.New("the OpenMetrics exposition does not end with # EOF")
	}
	seen := map[string]int{}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("line %d is no sample: %.200q", i+1, line)
		}
		if _, err := strconv.ParseFloat(m[2], 64); err != nil {
			return fmt.Errorf("line %d: %q is no number", i+1, m[2])
		}
		if first := seen[m[1]]; first > 0 {
			return fmt.Errorf("lines %d and %d are the same series: %s", first, i+1, m[1])
		}
		seen[m[1]] = i + 1
	}
	return nil
}
