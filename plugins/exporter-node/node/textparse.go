//go:build linux

package node

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// textFamily is a metric with its samples as a text file has them.
type textFamily struct {
	name, help, kind string
	hasHelp, typed   bool
	lines            []string        // The samples, written again in one way: with sorted labels.
	series           map[string]bool // The names and labels of the lines.
}

// parseTextfile parses the text format 0.0.4 as strictly as node_exporter does. Samples with a time are refused: they
// would be stale by the time they are scraped.
func parseTextfile(text string) ([]*textFamily, error) {
	p := textParser{byName: make(map[string]*textFamily)}
	if text != "" && !strings.HasSuffix(text, "\n") {
		return nil, errors.New("the last line does not end, so that the file may be half written")
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		if err := p.line(strings.Trim(line, " \t\r\n")); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return p.families, nil
}

type textParser struct {
	families []*textFamily
	byName   map[string]*textFamily
}

func (p *textParser) line(line string) error {
	switch {
	case line == "":
		return nil
	case line[0] != '#':
		return p.sample(line)
	}
	keyword, rest, _ := strings.Cut(strings.TrimLeft(line[1:], " \t"), " ")
	name, text, _ := strings.Cut(strings.TrimLeft(rest, " \t"), " ")
	text = strings.TrimLeft(text, " \t")
	switch keyword {
	case "HELP":
		return p.help(name, text)
	case "TYPE":
		return p.typed(name, text)
	default:
		return nil // A comment.
	}
}

func (p *textParser) help(name, text string) error {
	if !isMetricName(name) {
		return fmt.Errorf("HELP of %q, which is no metric's name", name)
	}
	f := p.family(name)
	if f.hasHelp {
		return fmt.Errorf("a second HELP of %s", name)
	}
	f.hasHelp = true
	f.help = strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(text)
	return nil
}

func (p *textParser) typed(name, kind string) error {
	if !isMetricName(name) {
		return fmt.Errorf("TYPE of %q, which is no metric's name", name)
	}
	f := p.family(name)
	kind = strings.ToLower(kind)
	switch {
	case f.typed:
		return fmt.Errorf("a second TYPE of %s", name)
	case len(f.lines) > 0:
		return fmt.Errorf("TYPE of %s after its samples", name)
	case !slices.Contains([]string{"counter", "gauge", "histogram", "summary", "untyped"}, kind):
		return fmt.Errorf("%s is of the unknown type %q", name, kind)
	}
	f.kind, f.typed = kind, true
	return nil
}

func (p *textParser) family(name string) *textFamily {
	f, ok := p.byName[name]
	if !ok {
		f = &textFamily{name: name, kind: "untyped", series: make(map[string]bool)}
		p.byName[name] = f
		p.families = append(p.families, f)
	}
	return f
}

// of finds the family that a sample's name belongs to: histograms and summaries have several.
func (p *textParser) of(name string) *textFamily {
	for _, suffix := range [...]string{"_bucket", "_sum", "_count"} {
		base, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		f, ok := p.byName[base]
		if ok && (f.kind == "histogram" || f.kind == "summary" && suffix != "_bucket") {
			return f
		}
	}
	return p.family(name)
}

func (p *textParser) sample(line string) error {
	end := strings.IndexAny(line, "{ \t")
	if end < 0 || !isMetricName(line[:end]) {
		return fmt.Errorf("%q is not a metric's name and a value", line)
	}
	name := line[:end]
	f := p.of(name)
	labels, rest, err := parseLabels(strings.TrimLeft(line[end:], " \t"))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if labels, err = f.normal(name, labels); err != nil {
		return err
	}
	fields := strings.Fields(rest)
	switch {
	case len(fields) == 2:
		return fmt.Errorf("%s has a time, which text files cannot have", name)
	case len(fields) != 1:
		return fmt.Errorf("%s: %q is not a value", name, rest)
	}
	value, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var x exposition
	x.untyped(name, "", value, labels...)
	text := string(x.text)
	series := text[:strings.LastIndexByte(text, ' ')]
	if f.series[series] {
		return fmt.Errorf("a second %s", series)
	}
	f.series[series] = true
	f.lines = append(f.lines, text)
	return nil
}

// normal sorts the labels and writes the bounds of a histogram's buckets and a summary's quantiles in one way.
func (f *textFamily) normal(name string, labels []label) ([]label, error) {
	slices.SortFunc(labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	bound := map[string]string{"histogram": "le", "summary": "quantile"}[f.kind]
	for i, l := range labels {
		if i > 0 && labels[i-1].name == l.name {
			return nil, fmt.Errorf("%s has the label %s twice", name, l.name)
		}
		if l.name != bound || bound == "" {
			continue
		}
		v, err := strconv.ParseFloat(l.value, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: label %s: %w", name, bound, err)
		}
		labels[i].value = strconv.FormatFloat(v, 'g', -1, 64)
	}
	if f.kind == "histogram" && name == f.name {
		return nil, fmt.Errorf("%s is a histogram, which has no sample without a suffix", name)
	}
	return labels, nil
}

// parseLabels parses {name="value",…}, if text begins with it, and returns what follows.
func parseLabels(text string) (labels []label, rest string, err error) {
	if !strings.HasPrefix(text, "{") {
		return nil, text, nil
	}
	text = text[1:]
	for {
		text = strings.TrimLeft(text, " \t")
		if strings.HasPrefix(text, "}") {
			return labels, text[1:], nil
		}
		name, after, ok := strings.Cut(text, "=")
		name = strings.TrimRight(name, " \t")
		if !ok || !isLabelName(name) {
			return nil, "", fmt.Errorf("%q is not a label", text)
		}
		value, after, err := parseQuoted(strings.TrimLeft(after, " \t"))
		if err != nil {
			return nil, "", fmt.Errorf("label %s: %w", name, err)
		}
		labels = append(labels, label{name, value})
		text = strings.TrimLeft(after, " \t")
		switch {
		case strings.HasPrefix(text, ","):
			text = text[1:]
		case !strings.HasPrefix(text, "}"):
			return nil, "", fmt.Errorf("neither a comma nor a brace after the label %s", name)
		}
	}
}

// parseQuoted parses a label's value, in which \\, \" and \n are escaped.
func parseQuoted(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", errors.New("its value has no quotes")
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], nil
		case '\\':
			i++
			if i == len(text) {
				break
			}
			switch text[i] {
			case '\\', '"':
				b.WriteByte(text[i])
			case 'n':
				b.WriteByte('\n')
			default:
				return "", "", fmt.Errorf(`\%c is no escape`, text[i])
			}
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", errors.New("its value does not end")
}

func isLabelName(s string) bool {
	return isMetricName(s) && !strings.Contains(s, ":") && s != "__name__"
}

func isMetricName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
