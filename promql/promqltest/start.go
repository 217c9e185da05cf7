package promqltest

import (
	"errors"
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

// startLine gives the start timestamps of the series in the line below it, as in m{a="b"}@st -1mx5.
type startLine struct {
	ls      labels.Labels
	offsets []startOffset
}

var errNoSamples = errors.New("start timestamps must stand right above the samples of their series")

// isStartLine reports whether a line gives start timestamps.
func isStartLine(line string) bool {
	end := strings.IndexAny(line, " \t")
	return end >= 0 && strings.HasSuffix(line[:end], "@st")
}

func parseStartLine(line string) (*startLine, error) {
	items := strings.Fields(line)
	ls, _, err := parseSeries(strings.TrimSuffix(items[0], "@st") + " _")
	if err != nil {
		return nil, err
	}
	l := &startLine{ls: ls}
	for _, item := range items[1:] {
		more, err := parseStartItem(item)
		if err != nil {
			return nil, fmt.Errorf("start timestamp %q: %w", item, err)
		}
		l.offsets = append(l.offsets, more...)
	}
	return l, nil
}

// of returns the offsets for a series, which must be that of the line; nil means that there is no such line.
func (l *startLine) of(s *loadSeries) ([]startOffset, error) {
	switch {
	case l == nil:
		return nil, nil
	case !labels.Equal(l.ls, s.ls):
		return nil, errNoSamples
	case len(l.offsets) != len(s.values):
		return nil, fmt.Errorf("%d start timestamps for %d values", len(l.offsets), len(s.values))
	}
	return l.offsets, nil
}

var startItemForm = regexp.MustCompile(`^(?:(_)|([+-]?\d+[a-z]*?)(?:([+-])([+-]?\d+[a-z]*?))?)(?:x(\d+))?$`)

// parseStartItem parses _, _xN, D, DxN, D+DxN or D-DxN. As with values, N counts the repetitions after the first, but
// for gaps.
func parseStartItem(item string) ([]startOffset, error) {
	m := startItemForm.FindStringSubmatch(item)
	if m == nil {
		return nil, errors.New("want _, _xN, D, DxN, D+DxN or D-DxN, where durations D have one unit")
	}
	n, repeated := 0, m[5] != ""
	if repeated {
		var err error
		if n, err = strconv.Atoi(m[5]); err != nil {
			return nil, err
		}
	}
	if m[1] != "" {
		if repeated && n == 0 {
			return nil, errors.New("no repetitions")
		}
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
		if !repeated {
			return nil, errors.New("a step without repetitions")
		}
		if step, err = signedDuration(m[4]); err != nil {
			return nil, err
		}
		if m[3] == "-" {
			step = -step
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
	if negative, ok := strings.CutPrefix(text, "-"); ok {
		d, err := duration(negative)
		return -d, err
	}
	return duration(strings.TrimPrefix(text, "+"))
}
