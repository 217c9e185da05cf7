package influx

import "strings"

// reserved starts the names of labels that are not the target's to set.
const reserved = "__"

// labelName returns the name of the label that a tag or a field becomes.
func (r *run) labelName(key []byte) string {
	if name, known := r.names[string(key)]; known {
		return name
	}
	name := string(key)
	if !r.config.UTF8 {
		name = underscored(name, false)
	}
	if strings.HasPrefix(name, reserved) {
		name = "tag" + name
	}
	r.names[string(key)] = name
	return name
}

// metricName returns the name of the metric of a field, in quotes if it needs them.
func (r *run) metricName(l *line, key span) string {
	from := len(l.text)
	l.text = append(append(append(l.text, l.text[l.name.from:l.name.to]...), 0), l.text[key.from:key.to]...)
	both := l.text[from:]
	if name, known := r.metrics[string(both)]; known {
		return name
	}
	name := r.config.Prefix + string(l.text[l.name.from:l.name.to])
	if field := string(l.text[key.from:key.to]); field != r.config.ValueField {
		name += r.config.Separator + field
	}
	if old := underscored(name, true); !r.config.UTF8 || old == name {
		name = old
	} else {
		name = string(appendQuoted(nil, name))
	}
	r.metrics[string(both)] = name
	return name
}

// appendSeries appends a field's name and the line's labels to the keys, as they stand in an exposition.
func (r *run) appendSeries(l *line, key span) {
	name := r.metricName(l, key)
	quoted := name[0] == '"'
	switch {
	case !quoted && len(l.tail) == 0:
		r.keys = append(r.keys, name...)
		return
	case !quoted:
		r.keys = append(append(r.keys, name...), '{')
	case len(l.tail) == 0:
		r.keys = append(append(r.keys, '{'), name...)
	default:
		r.keys = append(append(append(r.keys, '{'), name...), ',')
	}
	r.keys = append(append(r.keys, l.tail...), '}')
}

// writeLabels makes the line's tail its labels.
func (r *run) writeLabels(l *line) {
	l.tail = l.tail[:0]
	for i, lb := range l.labels {
		if i > 0 {
			l.tail = append(l.tail, ',')
		}
		if r.config.UTF8 && underscored(lb.name, false) != lb.name {
			l.tail = appendQuoted(l.tail, lb.name)
		} else {
			l.tail = append(l.tail, lb.name...)
		}
		l.tail = appendQuoted(append(l.tail, '='), l.text[lb.value.from:lb.value.to])
	}
}

// appendQuoted appends text, which is UTF-8, in quotes.
func appendQuoted[T string | []byte](b []byte, text T) []byte {
	b = append(b, '"')
	for i := range len(text) {
		switch c := text[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
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
