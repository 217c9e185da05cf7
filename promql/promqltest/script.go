package promqltest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// Script is a parsed test script.
type Script struct {
	Name     string
	commands []any // of *load, *clearAll, *Case
}

// Cases returns the evaluations of a script in their order.
func (s *Script) Cases() []*Case {
	var cases []*Case
	for _, c := range s.commands {
		if e, ok := c.(*Case); ok {
			cases = append(cases, e)
		}
	}
	return cases
}

// clearAll drops all samples.
type clearAll struct{}

// load stores samples.
type load struct {
	step   time.Duration
	nhcb   bool
	series []loadSeries
}

// loadSeries is the samples of a series; starts, if not empty, has an offset for the start timestamp of each.
type loadSeries struct {
	ls     labels.Labels
	values []parser.SequenceValue
	starts []startOffset
}

// Case is one evaluation with what is expected of it.
type Case struct {
	// Line is the line of the script at which the case starts.
	Line  int
	Query string
	// start, end and step of the query; step is zero for an instant query.
	start, end, step time.Duration
	expect           expectation
}

// expectation is what the result of a case must look like.
type expectation struct {
	series  []expectedSeries
	scalar  *float64
	str     *string
	ordered bool
	// matrix is set when an instant query has to return samples at these times.
	matrix *grid
	// fail, warn and info hold patterns, of which an empty one matches everything.
	fail, warn, info []pattern
	noWarn, noInfo   bool
}

// grid is the times from start to end.
type grid struct{ start, end, step time.Duration }

type expectedSeries struct {
	ls     labels.Labels
	values []parser.SequenceValue
}

// pattern matches a message: exactly, or by a regular expression, or any.
type pattern struct {
	text string
	re   *regexp.Regexp
	any  bool
}

func (p pattern) matches(s string) bool {
	switch {
	case p.any:
		return true
	case p.re != nil:
		return p.re.MatchString(s)
	default:
		return p.text == s
	}
}

// Parse parses a script. Errors name the line.
func Parse(name, text string) (*Script, error) {
	p := &scriptParser{script: &Script{Name: name}}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			line = ""
		}
		p.lines = append(p.lines, line)
	}
	for p.at < len(p.lines) {
		if err := p.command(); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.at, err)
		}
	}
	return p.script, nil
}

type scriptParser struct {
	script *Script
	lines  []string
	// at is the number of lines that were taken.
	at int
}

// body takes the next line of a command; false means that the command has ended.
func (p *scriptParser) body() (string, bool) {
	if p.at >= len(p.lines) || p.lines[p.at] == "" {
		return "", false
	}
	p.at++
	return p.lines[p.at-1], true
}

func (p *scriptParser) command() error {
	line, ok := p.body()
	if !ok {
		p.at++
		return nil
	}
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case strings.EqualFold(word, "clear"):
		p.script.commands = append(p.script.commands, &clearAll{})
		return nil
	case strings.EqualFold(word, "load"), strings.EqualFold(word, "load_with_nhcb"):
		return p.load(rest, strings.EqualFold(word, "load_with_nhcb"))
	case strings.HasPrefix(word, "eval"):
		return p.eval(word, rest)
	default:
		return fmt.Errorf("unknown command %q", word)
	}
}

func (p *scriptParser) load(step string, nhcb bool) error {
	d, err := duration(strings.TrimSpace(step))
	if err != nil {
		return err
	}
	l := &load{step: d, nhcb: nhcb}
	starts := map[string][]startOffset{}
	for {
		line, ok := p.body()
		if !ok {
			break
		}
		if isStartLine(line) {
			ls, offsets, err := parseStartLine(line)
			if err != nil {
				return err
			}
			starts[ls.String()] = offsets
			continue
		}
		ls, values, err := parseSeries(line)
		if err != nil {
			return err
		}
		// The last of several lines for a series counts.
		l.series = slices.DeleteFunc(l.series, func(s loadSeries) bool { return labels.Equal(s.ls, ls) })
		l.series = append(l.series, loadSeries{ls: ls, values: values, starts: starts[ls.String()]})
	}
	p.script.commands = append(p.script.commands, l)
	return nil
}

var (
	instantForm = regexp.MustCompile(`^instant\s+(?:at\s+(\S+)\s+)?(.+)$`)
	rangeForm   = regexp.MustCompile(`^range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+?)\s+(.+)$`)
	matrixForm  = regexp.MustCompile(`^expect\s+range\s+vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)$`)
	expectForm  = regexp.MustCompile(`^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):\s*(.+))?$`)
)

// eval parses a case. The word can hold an old-fashioned expectation, as in eval_fail.
func (p *scriptParser) eval(word, rest string) error {
	c := &Case{Line: p.at}
	if m := instantForm.FindStringSubmatch(rest); m != nil {
		c.Query = m[2]
		if m[1] != "" {
			at, err := duration(m[1])
			if err != nil {
				return err
			}
			c.start, c.end = at, at
		}
	} else if m := rangeForm.FindStringSubmatch(rest); m != nil {
		c.Query = m[4]
		if err := durations(m[1:4], &c.start, &c.end, &c.step); err != nil {
			return err
		}
	} else {
		return fmt.Errorf("neither an instant nor a range query: %s", rest)
	}
	switch word {
	case "eval":
	case "eval_fail":
		c.expect.fail = []pattern{{any: true}}
	case "eval_warn":
		c.expect.warn = []pattern{{any: true}}
	case "eval_info":
		c.expect.info = []pattern{{any: true}}
	case "eval_ordered":
		c.expect.ordered = true
	default:
		return fmt.Errorf("unknown command %q", word)
	}
	for {
		line, ok := p.body()
		if !ok {
			break
		}
		if err := c.expectLine(line); err != nil {
			return err
		}
	}
	p.script.commands = append(p.script.commands, c)
	return nil
}

// expectLine parses one line of an expectation.
func (c *Case) expectLine(line string) error {
	if m := matrixForm.FindStringSubmatch(line); m != nil {
		c.expect.matrix = &grid{}
		return durations(m[1:4], &c.expect.matrix.start, &c.expect.matrix.end, &c.expect.matrix.step)
	}
	if text, ok := strings.CutPrefix(line, "expect string "); ok {
		s, err := unquote(strings.TrimSpace(text))
		c.expect.str = &s
		return err
	}
	if m := expectForm.FindStringSubmatch(line); m != nil {
		return c.expectation(m[1], m[2], m[3])
	}
	if text, ok := strings.CutPrefix(line, "expected_fail_message "); ok {
		c.expect.fail = []pattern{{text: text}}
		return nil
	}
	if text, ok := strings.CutPrefix(line, "expected_fail_regexp "); ok {
		re, err := regexp.Compile(text)
		c.expect.fail = []pattern{{re: re}}
		return err
	}
	if f, err := number(line); err == nil {
		c.expect.scalar = &f
		return nil
	}
	ls, values, err := parseSeries(line)
	c.expect.series = append(c.expect.series, expectedSeries{ls, values})
	return err
}

func (c *Case) expectation(what, kind, text string) error {
	p := pattern{any: kind == "", text: text}
	if kind == "regex" {
		re, err := regexp.Compile(text)
		if err != nil {
			return err
		}
		p.re = re
	}
	switch what {
	case "ordered":
		c.expect.ordered = true
	case "fail":
		c.expect.fail = append(c.expect.fail, p)
	case "warn":
		c.expect.warn = append(c.expect.warn, p)
	case "info":
		c.expect.info = append(c.expect.info, p)
	case "no_warn":
		c.expect.noWarn = true
	case "no_info":
		c.expect.noInfo = true
	}
	return nil
}

// unquote returns the value of a string literal.
func unquote(text string) (string, error) {
	expr, err := parser.New(parser.Options{}).ParseExpr(text)
	if err != nil {
		return "", err
	}
	s, ok := expr.(*parser.StringLiteral)
	if !ok {
		return "", fmt.Errorf("%s is no string", text)
	}
	return s.Val, nil
}

func parseSeries(text string) (labels.Labels, []parser.SequenceValue, error) {
	return parser.New(parser.Options{}).ParseSeriesDesc(text)
}

func durations(texts []string, to ...*time.Duration) error {
	for i, text := range texts {
		d, err := duration(text)
		if err != nil {
			return err
		}
		*to[i] = d
	}
	return nil
}

func duration(text string) (time.Duration, error) {
	negative := strings.HasPrefix(text, "-")
	d, err := model.ParseDuration(strings.TrimPrefix(text, "-"))
	if negative {
		d = -d
	}
	return time.Duration(d), err
}

// number parses a float as the language writes it.
func number(text string) (float64, error) {
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return float64(n), nil
	}
	return strconv.ParseFloat(text, 64)
}
