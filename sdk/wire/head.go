package wire

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// maxFields bounds how many fields the decoder takes, so that a small frame cannot become a large slice.
const maxFields = 4096

// Field is one line of a [Head] after the first. Names may repeat.
type Field struct{ Name, Value string }

// Head is the text at the start of a payload: a line, then "name: value" lines, then an empty line; what follows is
// the body. Lines end with a single line feed, which no part of a line can hold.
type Head struct {
	Line   string
	Fields []Field
}

// Append appends h and the empty line to dst. A part that holds a line break, and a field without a name or with a
// colon in it, is an error.
func (h Head) Append(dst []byte) ([]byte, error) {
	if strings.ContainsAny(h.Line, "\r\n") {
		return nil, errors.New("head line " + strconv.Quote(h.Line) + " holds a line break")
	}
	dst = append(dst, h.Line...)
	dst = append(dst, '\n')
	for _, f := range h.Fields {
		if f.Name == "" || strings.ContainsAny(f.Name, ":\r\n") || strings.ContainsAny(f.Value, "\r\n") {
			return nil, errors.New("field " + strconv.Quote(f.Name) + ": not a valid name, or a line break in its value")
		}
		dst = append(dst, f.Name...)
		dst = append(dst, ':', ' ')
		dst = append(dst, f.Value...)
		dst = append(dst, '\n')
	}
	return append(dst, '\n'), nil
}

// ParseHead splits payload into its head and its body, which aliases payload.
func ParseHead(payload []byte) (Head, []byte, error) {
	line, rest, ok := bytes.Cut(payload, []byte{'\n'})
	if !ok {
		return Head{}, nil, errors.New("head has no end of line")
	}
	if bytes.IndexByte(line, '\r') >= 0 {
		return Head{}, nil, errors.New("head holds a carriage return")
	}
	h := Head{Line: string(line)}
	for {
		line, rest, ok = bytes.Cut(rest, []byte{'\n'})
		if !ok {
			return Head{}, nil, errors.New("head has no empty line at its end")
		}
		if len(line) == 0 {
			return h, rest, nil
		}
		if bytes.IndexByte(line, '\r') >= 0 {
			return Head{}, nil, errors.New("head holds a carriage return")
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok || name == "" {
			return Head{}, nil, errors.New("head field " + strconv.Quote(string(line)) + " is not name: value")
		}
		if len(h.Fields) == maxFields {
			return Head{}, nil, errors.New("head has more than " + strconv.Itoa(maxFields) + " fields")
		}
		h.Fields = append(h.Fields, Field{Name: name, Value: strings.TrimPrefix(value, " ")})
	}
}

// Get returns the value of the first field called name, or "".
func (h Head) Get(name string) string {
	for _, f := range h.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Uint returns the value of the first field called name as a number, or fallback where it is absent or not one.
func (h Head) Uint(name string, fallback uint32) uint32 {
	n, err := strconv.ParseUint(h.Get(name), 10, 32)
	if err != nil {
		return fallback
	}
	return uint32(n)
}

// AddUint appends a field with a number.
func (h *Head) AddUint(name string, n uint64) {
	h.Fields = append(h.Fields, Field{Name: name, Value: strconv.FormatUint(n, 10)})
}
