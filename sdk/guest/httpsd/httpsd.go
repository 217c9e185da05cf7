// Package httpsd reads the ecosystem's own format of target groups, a list of {"targets": [...], "labels": {...}}, as
// strictly as Prometheus does. Start with [Parse].
package httpsd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"unicode/utf8"

	"github.com/narthex-io/narthex/sdk"
)

// Entry is one element of a list.
type Entry struct {
	Targets []string          `json:"targets" yaml:"targets"`
	Labels  map[string]string `json:"labels"  yaml:"labels"`
}

// Parse decodes a list in JSON. Unknown fields, null entries and labels that are not valid are errors.
func Parse(text []byte) ([]*Entry, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var entries []*Entry
	if err := d.Decode(&entries); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode JSON: more text after the list")
	}
	return entries, Check(entries)
}

// Check returns the first mistake in entries that were decoded from elsewhere.
func Check(entries []*Entry) error {
	for i, e := range entries {
		if e == nil {
			return fmt.Errorf("entry %d is null", i)
		}
		for name, value := range e.Labels {
			if name == "" || !utf8.ValidString(name) || !utf8.ValidString(value) {
				return fmt.Errorf("entry %d: %q: %q is not a valid label", i, name, value)
			}
		}
	}
	return nil
}

// Group returns e as a group of source, with one more label.
func (e *Entry) Group(source, label, value string) sdk.Group {
	labels := make(map[string]string, len(e.Labels)+1)
	maps.Copy(labels, e.Labels)
	labels[label] = value
	return sdk.Group{Source: source, Targets: e.Targets, Labels: labels}
}
