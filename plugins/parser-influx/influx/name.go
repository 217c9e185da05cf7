package influx

import (
	"strings"
	"unicode/utf8"
)

// reserved starts the names of labels that are not the target's to set.
const reserved = "__"

// labelName returns the name of the label that a tag or a field becomes.
func (r *run) labelName(key []byte) string {
	name := strings.ToValidUTF8(string(key), "_")
	if !r.config.UTF8 {
		name = underscored(name, false)
	}
	if strings.HasPrefix(name, reserved) {
		name = "tag" + name
	}
	return name
}

// appendSeries appends name and labels to the keys, as they stand in an exposition.
func (r *run) appendSeries(l *line, key span) {
	name := r.config.Prefix + string(l.text[l.name.from:l.name.to])
	if field := string(l.text[key.from:key.to]); field != r.config.ValueField {
		name += r.config.Separator + field
	}
	name = strings.ToValidUTF8(name, "_")
	quoted := r.config.UTF8 && underscored(name, true) != name
	switch {
	case quoted:
		r.keys = append(r.keys, '{')
		r.appendQuoted(name)
	case len(l.labels) > 0:
		r.keys = append(append(r.keys, underscored(name, true)...), '{')
	default:
		r.keys = append(r.keys, underscored(name, true)...)
		return
	}
	for i, lb := range l.labels {
		if i > 0 || quoted {
			r.keys = append(r.keys, ',')
		}
		if r.config.UTF8 && underscored(lb.name, false) != lb.name {
			r.appendQuoted(lb.name)
		} else {
			r.keys = append(r.keys, lb.name...)
		}
		r.keys = append(r.keys, '=')
		r.appendQuoted(lb.value)
	}
	r.keys = append(r.keys, '}')
}

func (r *run) appendQuoted(text string) {
	r.keys = append(r.keys, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			r.keys = append(r.keys, '\\', c)
		case c == '\n':
			r.keys = append(r.keys, '\\', 'n')
		case c < utf8.RuneSelf:
			r.keys = append(r.keys, c)
		default:
			char, size := utf8.DecodeRuneInString(text[i:])
			r.keys = utf8.AppendRune(r.keys, char) // A byte that is no UTF-8 becomes U+FFFD.
			i += size
			continue
		}
		i++
	}
	r.keys = append(r.keys, '"')
}

// underscored replaces what old names of metrics, or of labels, cannot hold.
func underscored(name string, metric bool) string {
	good := func(i int, c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9' && i > 0 || metric && c == ':'
	}
	for i := range len(name) {
		if good(i, name[i]) {
			continue
		}
		b := []byte(name)
		for j := i; j < len(b); j++ {
			if !good(j, b[j]) {
				b[j] = '_'
			}
		}
		return string(b)
	}
	if name == "" {
		return "_"
	}
	return name
}
