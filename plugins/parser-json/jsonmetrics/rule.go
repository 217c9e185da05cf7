package jsonmetrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// exposition is what is written.
type exposition struct {
	text        []byte
	skipInvalid bool
	// described are the metrics that have their HELP and TYPE.
	described map[string]bool
	// labels is the text of the labels of the node at hand, in memory that is used again.
	labels []byte
}

// stopEvery is how many nodes are read between two looks at the clock.
const stopEvery = 256

// collect makes the rule's samples.
func (r *Rule) collect(ctx context.Context, document any, e *exposition) error {
	if err := stopped(ctx); err != nil {
		return err
	}
	nodes := r.Path.all(document)
	if len(nodes) == 0 && r.Required {
		return fmt.Errorf("%s selects nothing, and it is required", r.Path.text)
	}
	for i := range nodes {
		if i%stopEvery == stopEvery-1 {
			if err := stopped(ctx); err != nil {
				return err
			}
		}
		n := &nodes[i]
		if err := r.add(document, n, e); err != nil && !e.skipInvalid {
			return fmt.Errorf("%s: %w", n.at, err)
		}
	}
	return nil
}

// add makes the samples of a node, all or none.
func (r *Rule) add(document any, n *located, e *exposition) error {
	if err := r.appendLabels(document, n, e); err != nil {
		return err
	}
	at, err := r.time(document, n.value)
	if err != nil {
		return err
	}
	before := len(e.text)
	for i := range r.Values {
		v := &r.Values[i]
		number, err := r.number(v, document, n.value)
		if err == nil && number == "" && r.Required {
			err = fmt.Errorf("%s selects nothing, and it is required", v.Path.text)
		}
		if err != nil {
			e.text = e.text[:before]
			return err
		}
		if number == "" {
			continue
		}
		name := r.Name + v.Suffix
		e.describe(name, r)
		e.text = append(append(e.text, name...), e.labels...)
		e.text = append(append(e.text, ' '), number...)
		e.text = append(append(e.text, at...), '\n')
	}
	return nil
}

func (e *exposition) describe(name string, r *Rule) {
	if e.described[name] {
		return
	}
	e.described[name] = true
	if r.Help != "" {
		e.text = fmt.Appendf(e.text, "# HELP %s %s\n", name, strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(r.Help))
	}
	e.text = fmt.Appendf(e.text, "# TYPE %s %s\n", name, r.Type)
}

// appendLabels makes e.labels those of the node.
func (r *Rule) appendLabels(document any, n *located, e *exposition) error {
	e.labels = e.labels[:0]
	for i := range r.Labels {
		l := &r.Labels[i]
		text, err := l.value(document, n)
		if err != nil {
			return fmt.Errorf("label %s: %w", l.Name, err)
		}
		if text == "" {
			continue
		}
		separator := byte(',')
		if len(e.labels) == 0 {
			separator = '{'
		}
		e.labels = append(append(e.labels, separator), l.Name...)
		e.labels = append(e.labels, '=', '"')
		for i := range len(text) {
			switch c := text[i]; c {
			case '\\', '"':
				e.labels = append(e.labels, '\\', c)
			case '\n':
				e.labels = append(e.labels, '\\', 'n')
			default:
				e.labels = append(e.labels, c)
			}
		}
		e.labels = append(e.labels, '"')
	}
	if len(e.labels) > 0 {
		e.labels = append(e.labels, '}')
	}
	return nil
}

func (l *Label) value(document any, n *located) (string, error) {
	switch {
	case l.isKey:
		return n.key(l.up)
	case l.Path == nil:
		return l.Text, nil
	}
	value, err := l.Path.one(document, n.value)
	if err != nil || value == nil {
		return "", err
	}
	text, ok := scalar(value)
	if !ok {
		return "", fmt.Errorf("%s selects %s, not a text or a number", l.Path.text, kindOf(value))
	}
	return text, nil
}

// number returns a value as it is written in an exposition; empty if there is none.
func (r *Rule) number(v *Value, document, node any) (string, error) {
	if v.Path == nil {
		return v.Constant, nil
	}
	value, err := v.Path.one(document, node)
	if err != nil {
		return "", err
	}
	text, ok := scalar(value)
	if !ok {
		return "", fmt.Errorf("%s selects %s, not a number", v.Path.text, kindOf(value))
	}
	if mapped, ok := r.Mapping[text]; ok {
		return mapped.String(), nil
	}
	switch value := value.(type) {
	case nil:
		return "", nil
	case bool:
		return map[bool]string{true: "1", false: "0"}[value], nil
	case json.Number:
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return "", fmt.Errorf("%s selects %.40s, which is too large", v.Path.text, text)
		}
		return text, nil
	}
	if f, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
		return strconv.FormatFloat(f, 'g', -1, 64), nil
	}
	if other, ok := r.Mapping["*"]; ok {
		return other.String(), nil
	}
	return "", fmt.Errorf("%s selects the text %.60q, which is no number: add it to mapping", v.Path.text, text)
}

// scalar returns a text, a number, a boolean or null as text.
func scalar(value any) (string, bool) {
	switch value := value.(type) {
	case nil:
		return "null", true
	case string:
		return value, true
	case json.Number:
		return value.String(), true
	case bool:
		return strconv.FormatBool(value), true
	}
	return "", false
}

func kindOf(value any) string {
	if _, ok := value.([]any); ok {
		return "a list"
	}
	return "an object"
}

// errTime is the error for what cannot be read as a time.
var errTime = errors.New("not a time in the rule's timestamp_format")
