// Package template expands the texts of alerts: their labels and annotations.
//
// Start with [Parse] and [Text.Expand]. The language is that of text/template with Prometheus's functions, in
// functions.go. A text is parsed once and expanded for each alert; what differs from one expansion to the next is the
// [Data], the time and how queries are answered.
package template

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/narthex-io/narthex/promql"
)

// Data is what a text can refer to.
type Data struct {
	// Labels are those of the series that the alert was made from.
	Labels map[string]string
	// ExternalLabels and ExternalURL are the server's.
	ExternalLabels map[string]string
	ExternalURL    string
	// Value is a float64 or a histogram.
	Value any
}

// QueryFunc answers a query at one time.
type QueryFunc func(ctx context.Context, query string, at time.Time) (promql.Vector, error)

// definitions give the fields of [Data] the names that texts know them by.
const definitions = `{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}`

// Text is a parsed text. It is safe for use by several goroutines.
type Text struct {
	// literal is the text itself where there is nothing to expand; parsed is nil then.
	literal string
	parsed  *template.Template
	// queries and tells say that the functions query and now may be called.
	queries, tells bool
}

// Parse parses a text. The name shows in errors; external is the server's URL.
func Parse(name, text string, external *url.URL) (*Text, error) {
	if !strings.Contains(text, "{{") {
		return &Text{literal: text}, nil // Fast path: most texts are plain.
	}
	t, err := template.New(name).Funcs(functions(external)).Option("missingkey=zero").Parse(definitions + text)
	if err != nil {
		return nil, err
	}
	return &Text{parsed: t, queries: calls(t, "query"), tells: calls(t, "now")}, nil
}

// Literal reports whether expanding does nothing.
func (t *Text) Literal() bool { return t.parsed == nil }

// Queries reports whether the text may ask queries.
func (t *Text) Queries() bool { return t.queries }

// calls reports whether a function's name occurs in the text, be it in a string.
func calls(t *template.Template, name string) bool {
	for _, part := range t.Templates() {
		if part.Tree != nil && strings.Contains(part.Root.String(), name) {
			return true
		}
	}
	return false
}

// Expand expands the text. The error says what is wrong with it; it is also what a panic ends in.
func (t *Text) Expand(ctx context.Context, data Data, at time.Time, query QueryFunc) (text string, err error) {
	if t.parsed == nil {
		return t.literal, nil
	}
	name := t.parsed.Name()
	defer func() {
		if p := recover(); p != nil {
			text, err = "", fmt.Errorf("panic expanding template %v: %v", name, p)
		}
	}()
	own := t.parsed
	if t.queries || t.tells {
		if own, err = t.parsed.Clone(); err != nil {
			return "", fmt.Errorf("error cloning template %v: %w", name, err)
		}
		own.Funcs(template.FuncMap{
			"query": func(q string) (vector, error) { return answer(ctx, q, at, query) },
			"now":   func() float64 { return float64(at.UnixMilli()) / 1000 },
		})
	}
	var b bytes.Buffer
	if err := own.Execute(&b, data); err != nil {
		return "", fmt.Errorf("error executing template %v: %w", name, err)
	}
	return b.String(), nil
}

// sample is an element of a query's answer as texts see it.
type sample struct {
	Labels map[string]string
	// Value is a float64 or a histogram.
	Value any
}

// vector is a query's answer as texts see it.
type vector []*sample

func answer(ctx context.Context, q string, at time.Time, query QueryFunc) (vector, error) {
	found, err := query(ctx, q, at)
	if err != nil {
		return nil, err
	}
	v := make(vector, len(found))
	for i, s := range found {
		v[i] = &sample{Labels: s.Labels.Map(), Value: s.F}
		if s.H != nil {
			v[i].Value = s.H
		}
	}
	return v, nil
}

// Functions returns the names of the functions that alerts' texts can call, in order.
func Functions() []string { return slices.Sorted(maps.Keys(functions(nil))) }

// functions returns all functions; query and now are given their meaning with each expansion.
func functions(external *url.URL) template.FuncMap {
	if external == nil {
		external = &url.URL{}
	}
	all := template.FuncMap{
		"query":       func(string) (vector, error) { return nil, nil },
		"now":         func() float64 { return 0 },
		"pathPrefix":  func() string { return external.Path },
		"externalURL": external.String,
	}
	for _, more := range []template.FuncMap{vectorFunctions(), textFunctions(), numberFunctions()} {
		maps.Copy(all, more)
	}
	return all
}
