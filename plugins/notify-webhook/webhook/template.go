package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Template is a JSON value with placeholders in its strings. Since it is filled in as a value, and encoded afterwards, no
// text of an alert can break the body.
//
//   - {{ name }} in a string stands for what name says of the batch, or of the alert at hand; see fieldOf and fieldOfAlert.
//     What an alert lacks is empty.
//   - A string that is one placeholder and nothing else becomes the value itself: a number, a mapping or a list.
//   - A mapping with the only key each_alert becomes a list with its value for each alert.
//   - A mapping with the key join_alerts becomes a string: that text for each alert, with the text of the key separator, a
//     line break by default, in between.
type Template struct{ root node }

// node makes a value of a batch; a is nil outside of each_alert and join_alerts.
type node func(m *sdk.Message, a *sdk.Alert) any

// ParseTemplate reads a template. Errors start with the path of what is wrong.
func ParseTemplate(text []byte) (*Template, error) {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	root, err := parse(value, false)
	if err != nil {
		return nil, err
	}
	return &Template{root}, nil
}

// Execute returns the body for a batch.
func (t *Template) Execute(m sdk.Message) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(t.root(&m, nil)); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func parse(value any, inAlert bool) (node, error) {
	switch v := value.(type) {
	case string:
		return parseString(v, inAlert)
	case []any:
		return parseList(v, inAlert)
	case map[string]any:
		if _, ok := v["each_alert"]; ok {
			return parseEach(v, inAlert)
		}
		if _, ok := v["join_alerts"]; ok {
			return parseJoin(v, inAlert)
		}
		return parseMapping(v, inAlert)
	default:
		return func(*sdk.Message, *sdk.Alert) any { return value }, nil
	}
}

func parseList(list []any, inAlert bool) (node, error) {
	items := make([]node, len(list))
	for i, v := range list {
		var err error
		if items[i], err = parse(v, inAlert); err != nil {
			return nil, fmt.Errorf("[%d]%w", i, err)
		}
	}
	return func(m *sdk.Message, a *sdk.Alert) any {
		out := make([]any, len(items))
		for i, item := range items {
			out[i] = item(m, a)
		}
		return out
	}, nil
}

func parseMapping(mapping map[string]any, inAlert bool) (node, error) {
	fields := map[string]node{}
	for _, key := range slices.Sorted(maps.Keys(mapping)) {
		field, err := parse(mapping[key], inAlert)
		if err != nil {
			return nil, fmt.Errorf(".%s%w", key, err)
		}
		fields[key] = field
	}
	return func(m *sdk.Message, a *sdk.Alert) any {
		out := make(map[string]any, len(fields))
		for key, field := range fields {
			out[key] = field(m, a)
		}
		return out
	}, nil
}

func parseEach(mapping map[string]any, inAlert bool) (node, error) {
	if len(mapping) > 1 {
		return nil, errors.New(".each_alert: it has to be the only key of its mapping")
	}
	if inAlert {
		return nil, errors.New(".each_alert: there are no alerts within an alert")
	}
	item, err := parse(mapping["each_alert"], true)
	if err != nil {
		return nil, fmt.Errorf(".each_alert%w", err)
	}
	return func(m *sdk.Message, _ *sdk.Alert) any {
		out := make([]any, len(m.Alerts))
		for i := range m.Alerts {
			out[i] = item(m, &m.Alerts[i])
		}
		return out
	}, nil
}

func parseJoin(mapping map[string]any, inAlert bool) (node, error) {
	if inAlert {
		return nil, errors.New(".join_alerts: there are no alerts within an alert")
	}
	separator := "\n"
	for _, key := range slices.Sorted(maps.Keys(mapping)) {
		text, ok := mapping[key].(string)
		if !ok || key != "join_alerts" && key != "separator" {
			return nil, fmt.Errorf(".%s: beside join_alerts there may be separator, and both are strings", key)
		}
		if key == "separator" {
			separator = text
		}
	}
	line, err := parseString(mapping["join_alerts"].(string), true)
	if err != nil {
		return nil, fmt.Errorf(".join_alerts%w", err)
	}
	return func(m *sdk.Message, _ *sdk.Alert) any {
		lines := make([]string, len(m.Alerts))
		for i := range m.Alerts {
			lines[i] = asText(line(m, &m.Alerts[i]))
		}
		return strings.Join(lines, separator)
	}, nil
}

// parseString splits a string into text and placeholders.
func parseString(text string, inAlert bool) (node, error) {
	var parts []node
	for rest := text; rest != ""; {
		before, after, ok := strings.Cut(rest, "{{")
		if before != "" {
			parts = append(parts, func(*sdk.Message, *sdk.Alert) any { return before })
		}
		if !ok {
			break
		}
		name, tail, ok := strings.Cut(after, "}}")
		if !ok {
			return nil, fmt.Errorf(": %q: {{ without }}", text)
		}
		field, err := placeholder(strings.TrimSpace(name), inAlert)
		if err != nil {
			return nil, fmt.Errorf(": %q: %w", text, err)
		}
		parts = append(parts, field)
		rest = tail
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return func(m *sdk.Message, a *sdk.Alert) any {
		var b strings.Builder
		for _, part := range parts {
			b.WriteString(asText(part(m, a)))
		}
		return b.String()
	}, nil
}

func asText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	default:
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(v) // What comes from a batch can be encoded.
		return strings.TrimSuffix(b.String(), "\n")
	}
}

// placeholder returns what a name stands for.
func placeholder(name string, inAlert bool) (node, error) {
	if rest, ok := strings.CutPrefix(name, "alert."); ok {
		if !inAlert {
			return nil, fmt.Errorf("%s stands for one alert, and belongs below each_alert or join_alerts", name)
		}
		field := fieldOfAlert(rest)
		if field == nil {
			return nil, fmt.Errorf("%s is unknown; there are alert. with status, labels, annotations, startsAt, endsAt, generatorURL and fingerprint", name)
		}
		return func(_ *sdk.Message, a *sdk.Alert) any { return field(a) }, nil
	}
	field := fieldOf(name)
	if field == nil {
		return nil, fmt.Errorf("%q is unknown; there are id, status, receiver, groupKey, groupLabels, commonLabels, commonAnnotations, "+
			"externalURL, alerts, firing, resolved and, below each_alert and join_alerts, alert", name)
	}
	return func(m *sdk.Message, _ *sdk.Alert) any { return field(m) }, nil
}

// fieldOf returns what a name says of a batch. A name such as commonLabels.severity is one of the pairs; firing and resolved
// count alerts.
func fieldOf(name string) func(*sdk.Message) any {
	first, rest, below := strings.Cut(name, ".")
	pairs := func(of func(*sdk.Message) map[string]string) func(*sdk.Message) any {
		if below {
			return func(m *sdk.Message) any { return of(m)[rest] }
		}
		return func(m *sdk.Message) any { return of(m) }
	}
	switch first {
	case "groupLabels":
		return pairs(func(m *sdk.Message) map[string]string { return m.GroupLabels })
	case "commonLabels":
		return pairs(func(m *sdk.Message) map[string]string { return m.CommonLabels })
	case "commonAnnotations":
		return pairs(func(m *sdk.Message) map[string]string { return m.CommonAnnotations })
	}
	switch name {
	case "id":
		return func(m *sdk.Message) any { return m.ID }
	case "status":
		return func(m *sdk.Message) any { return m.Status }
	case "receiver":
		return func(m *sdk.Message) any { return m.Receiver }
	case "groupKey":
		return func(m *sdk.Message) any { return m.GroupKey }
	case "externalURL":
		return func(m *sdk.Message) any { return m.ExternalURL }
	case "alerts":
		return func(m *sdk.Message) any { return m.Alerts }
	case sdk.StatusFiring, sdk.StatusResolved:
		return func(m *sdk.Message) any { return count(m, name) }
	}
	return nil
}

func count(m *sdk.Message, status string) int {
	n := 0
	for _, a := range m.Alerts {
		if a.Status == status {
			n++
		}
	}
	return n
}

// fieldOfAlert returns what a name says of an alert; a name such as labels.instance is one of the pairs.
func fieldOfAlert(name string) func(*sdk.Alert) any {
	if label, ok := strings.CutPrefix(name, "labels."); ok {
		return func(a *sdk.Alert) any { return a.Labels[label] }
	}
	if label, ok := strings.CutPrefix(name, "annotations."); ok {
		return func(a *sdk.Alert) any { return a.Annotations[label] }
	}
	switch name {
	case "status":
		return func(a *sdk.Alert) any { return a.Status }
	case "labels":
		return func(a *sdk.Alert) any { return a.Labels }
	case "annotations":
		return func(a *sdk.Alert) any { return a.Annotations }
	case "startsAt":
		return func(a *sdk.Alert) any { return a.StartsAt.Format(time.RFC3339Nano) }
	case "endsAt":
		return func(a *sdk.Alert) any { return a.EndsAt.Format(time.RFC3339Nano) }
	case "generatorURL":
		return func(a *sdk.Alert) any { return a.GeneratorURL }
	case "fingerprint":
		return func(a *sdk.Alert) any { return a.Fingerprint }
	}
	return nil
}
