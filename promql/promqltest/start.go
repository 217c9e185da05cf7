package promqltest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/model/labels"
)

// startOffset is where the start timestamp of a sample lies, counted from the sample's time; missing means none.
type startOffset struct {
	offset  time.Duration
	missing bool
}

var startForm = regexp.MustCompile(`^(.*[}\w:])@st(?:\s+(.*))?$`)

// isStartLine reports whether a line gives start timestamps, as in m{a="b"}@st -1mx5.
func isStartLine(line string) bool { return startForm.MatchString(line) }

func parseStartLine(line string) (labels.Labels, []startOffset, error) {
	m := startForm.FindStringSubmatch(line)
	ls, _, err := parseSeries(m[1] + " _")
	if err != nil {
		return labels.EmptyLabels(), nil, err
	}
	var offsets []startOffset
	for item := range strings.FieldsSeq(m[2]) {
		more, err := parseStartItem(item)
		if err != nil {
			return labels.EmptyLabels(), nil, err
		}
		offsets = append(offsets, more...)
	}
	return ls, offsets, nil
}

var startItemForm = regexp.MustCompile(`^(?:(_)|([+-]?[\dywdhms.]+?)([+-][\dywdhms.]+?)?)(?:x(\d+))?$`)

// parseStartItem parses _, _xN, D, DxN or D+DxN. As with values, N counts the repetitions after the first, but for
// gaps.
func parseStartItem(item string) ([]startOffset, error) {
	m := startItemForm.FindStringSubmatch(item)
	if m == nil {
		return nil, fmt.Errorf("start timestamp %q makes no sense", item)
	}
	n := 0
	if m[4] != "" {
		var err error
		if n, err = strconv.Atoi(m[4]); err != nil {
			return nil, err
		}
	}
	if m[1] != "" {
		all := make([]startOffset, max(n, 1))
		for i := range all {
			all[i].missing = true
		}
		return all, nil
	}
	at, err := signedDuration(m[2])
	if err != nil {
		return nil, err
	}
	var step time.Duration
	if m[3] != "" {
		if step, err = signedDuration(m[3]); err != nil {
			return nil, err
		}
	}
	var all []startOffset
	for range n + 1 {
		all = append(all, startOffset{offset: at})
		at += step
	}
	return all, nil
}

func signedDuration(text string) (time.Duration, error) {
	return duration(strings.TrimPrefix(text, "+"))
}
