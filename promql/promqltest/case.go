package promqltest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

const (
	matrixPrefix = "expect range vector"
	stringPrefix = "expect string"
)

var (
	instantForm = regexp.MustCompile(`^eval(?:_(fail|warn|info|ordered))?\s+instant\s+at\s+(\S+)\s+(.+)$`)
	rangeForm   = regexp.MustCompile(`^eval(?:_(fail|warn|info))?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)$`)
	matrixForm  = regexp.MustCompile(`^` + matrixPrefix + `\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)$`)
	expectForm  = regexp.MustCompile(`^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$`)
)

// eval parses a case. The first word can hold an old-fashioned expectation, as in eval_fail.
func (p *scriptParser) eval(line string) error {
	c := &Case{Line: p.at}
	var old string
	if m := instantForm.FindStringSubmatch(line); m != nil {
		old, c.Query = m[1], m[3]
		if err := durations(m[2:3], &c.start); err != nil {
			return fmt.Errorf("time of %s: %w", c.Query, err)
		}
		c.end = c.start
	} else if m := rangeForm.FindStringSubmatch(line); m != nil {
		old, c.Query, c.ranged = m[1], m[5], true
		if err := times(m[2:5], &c.start, &c.end, &c.step); err != nil {
			return fmt.Errorf("times of %s: %w", c.Query, err)
		}
	} else {
		return fmt.Errorf("want eval instant at T QUERY or eval range from A to B step S QUERY: %s", line)
	}
	if _, err := parser.New(scriptParserOptions()).ParseExpr(c.Query); err != nil {
		return fmt.Errorf("%s: %w", c.Query, err)
	}
	everything := []pattern{{any: true, old: true}}
	switch old {
	case "fail":
		c.expect.fail = everything
	case "warn":
		c.expect.warn = everything
	case "info":
		c.expect.info = everything
	case "ordered":
		c.expect.ordered = true
	}
	for {
		line, ok := p.body()
		if !ok {
			break
		}
		last, err := c.expectLine(line, old == "fail")
		if err != nil {
			return fmt.Errorf("expectation of %s: %w", c.Query, err)
		}
		if last {
			break
		}
	}
	p.script.commands = append(p.script.commands, c)
	return nil
}

// times parses start, end and step.
func times(texts []string, start, end, step *time.Duration) error {
	if err := durations(texts, start, end, step); err != nil {
		return err
	}
	if *end < *start {
		return fmt.Errorf("end %s is before start %s", texts[1], texts[0])
	}
	return nil
}

// expectLine parses one line of an expectation, and reports whether it is the last. The failing cases of old have messages
// of their own.
func (c *Case) expectLine(line string, oldFail bool) (last bool, err error) {
	if oldFail {
		if text, ok := strings.CutPrefix(line, "expected_fail_message"); ok {
			text = strings.TrimSpace(text)
			c.expect.fail = []pattern{{text: text, any: text == ""}}
			return true, nil
		}
		if text, ok := strings.CutPrefix(line, "expected_fail_regexp"); ok {
			re, err := regexp.Compile(strings.TrimSpace(text))
			c.expect.fail = []pattern{{re: re}}
			return true, err
		}
	}
	word, _, _ := strings.Cut(line, " ")
	if word == "expect" && !strings.HasPrefix(line, matrixPrefix) && !strings.HasPrefix(line, stringPrefix) {
		return false, c.expectation(line)
	}
	c.expect.lines++
	if strings.HasPrefix(line, matrixPrefix) {
		return false, c.expectMatrix(line)
	}
	if text, ok := strings.CutPrefix(line, stringPrefix); ok {
		s, err := strconv.Unquote(strings.TrimPrefix(text, " "))
		if err != nil {
			return false, fmt.Errorf("want a quoted string behind %q: %s", stringPrefix, line)
		}
		c.expect.str = &s
		return false, nil
	}
	if f, err := number(line); err == nil {
		c.expect.scalar = &f
		return true, nil
	}
	return false, c.expectSeries(line)
}

func (c *Case) expectSeries(line string) error {
	ls, values, err := parseSeries(line)
	if err != nil {
		return err
	}
	if len(values) > 1 && !c.ranged && c.expect.matrix == nil {
		return fmt.Errorf("an instant query has one value, the script gives %d: say %q before", len(values), matrixPrefix)
	}
	// The last of several lines for a series counts.
	e := &c.expect
	e.series = slices.DeleteFunc(e.series, func(s expectedSeries) bool { return labels.Equal(s.ls, ls) })
	e.series = append(e.series, expectedSeries{ls: ls, values: values, pos: e.lines})
	return nil
}

// expectMatrix parses the times at which there are values. They are also those of the query, and its time the last of them.
func (c *Case) expectMatrix(line string) error {
	m := matrixForm.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("want %s from A to B step S: %s", matrixPrefix, line)
	}
	g := &grid{}
	if err := times(m[1:4], &g.start, &g.end, &g.step); err != nil {
		return err
	}
	c.expect.matrix = g
	c.start, c.end, c.step = g.start, g.end, g.step
	if !c.ranged {
		c.start, c.step = g.end, 0
	}
	return nil
}

// expectation parses what failures, annotations and the order have to be.
func (c *Case) expectation(line string) error {
	m := expectForm.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("want expect WHAT, expect WHAT msg: TEXT or expect WHAT regex: PATTERN: %s", line)
	}
	e, p := &c.expect, pattern{any: m[2] == "", text: strings.TrimSpace(m[3])}
	if m[2] == "regex" {
		re, err := regexp.Compile(p.text)
		if err != nil {
			return err
		}
		p.re = re
	}
	switch m[1] {
	case "ordered":
		e.ordered = true
	case "fail":
		if e.saidFail {
			return errors.New("only one line can say how a query fails")
		}
		e.saidFail, e.fail = true, append(e.fail, p)
	case "warn":
		e.warn = another(e.warn, p)
	case "info":
		e.info = another(e.info, p)
	case "no_warn":
		e.noWarn = true
	case "no_info":
		e.noInfo = true
	}
	if e.noWarn && len(e.warn) > 0 || e.noInfo && len(e.info) > 0 {
		return errors.New("expects annotations of a kind, and none of it")
	}
	return nil
}

// another adds a pattern to those that annotations have to match. What matches everything says only that there are some,
// as each of them does.
func another(all []pattern, p pattern) []pattern {
	if !p.any {
		all = slices.DeleteFunc(all, func(p pattern) bool { return p.old })
	}
	return append(all, p)
}

// number parses a float as the language writes it.
func number(text string) (float64, error) {
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return float64(n), nil
	}
	return strconv.ParseFloat(text, 64)
}
