package promqltest

import (
	"fmt"
	"regexp"
	"slices"
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
	// start, end and step of the query; an instant query has its time as both, and no step.
	start, end, step time.Duration
	// ranged is set for a range query.
	ranged bool
	expect expectation
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
	// saidFail is set when a line of its own says how the query fails.
	saidFail bool
	// lines is the number of lines that say what to expect, but for those that start with the word.
	lines int
}

// grid is the times from start to end.
type grid struct{ start, end, step time.Duration }

// expectedSeries is the values of a series, which is said to be number pos of those that come, counted from 1.
type expectedSeries struct {
	ls     labels.Labels
	values []parser.SequenceValue
	pos    int
}

// pattern matches a message: exactly, or by a regular expression, or any.
type pattern struct {
	text string
	re   *regexp.Regexp
	any  bool
	// old is set for what comes from a word such as eval_warn.
	old bool
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

// Parse parses a script, queries included. Errors name the line.
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

var loadForm = regexp.MustCompile(`^load(_with_nhcb)?\s+(.+)$`)

func (p *scriptParser) command() error {
	line, ok := p.body()
	if !ok {
		p.at++
		return nil
	}
	word := strings.Fields(line)[0]
	switch {
	case strings.EqualFold(word, "clear"):
		p.script.commands = append(p.script.commands, &clearAll{})
		return nil
	case strings.HasPrefix(word, "load"):
		m := loadForm.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("want load STEP or load_with_nhcb STEP: %s", line)
		}
		return p.load(m[2], m[1] != "")
	case strings.HasPrefix(word, "eval"):
		return p.eval(line)
	default:
		return fmt.Errorf("unknown command %q", word)
	}
}

func (p *scriptParser) load(step string, nhcb bool) error {
	d, err := duration(step)
	if err != nil {
		return fmt.Errorf("step of load: %w", err)
	}
	l := &load{step: d, nhcb: nhcb}
	var starts *startLine
	for {
		line, ok := p.body()
		if !ok {
			break
		}
		if isStartLine(line) {
			if starts != nil {
				return errNoSamples
			}
			if starts, err = parseStartLine(line); err != nil {
				return err
			}
			continue
		}
		s := loadSeries{}
		if s.ls, s.values, err = parseSeries(line); err != nil {
			return err
		}
		if s.starts, err = starts.of(&s); err != nil {
			return err
		}
		starts = nil
		// The last of several lines for a series counts.
		l.series = slices.DeleteFunc(l.series, func(other loadSeries) bool { return labels.Equal(other.ls, s.ls) })
		l.series = append(l.series, s)
	}
	if starts != nil {
		return errNoSamples
	}
	p.script.commands = append(p.script.commands, l)
	return nil
}

func parseSeries(text string) (labels.Labels, []parser.SequenceValue, error) {
	return parser.New(scriptParserOptions()).ParseSeriesDesc(text)
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

// duration parses a duration, which is never negative.
func duration(text string) (time.Duration, error) {
	d, err := model.ParseDuration(text)
	return time.Duration(d), err
}
