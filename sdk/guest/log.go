package guest

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// newLogger returns a logger that writes lines of the form level=INFO msg="…" key=value, which the host parses.
func newLogger(lines func([]byte)) *slog.Logger { return slog.New(&handler{lines: lines}) }

// handler is a small slog.Handler: the one in the standard library needs encoding/json.
type handler struct {
	lines  func([]byte)
	attrs  []byte // as they go into the line
	prefix string // of open groups
}

// Enabled implements slog.Handler: the host filters.
func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	b := append([]byte("level="), r.Level.String()...)
	b = append(b, " msg="...)
	b = strconv.AppendQuote(b, r.Message)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.prefix, a)
		return true
	})
	h.lines(append(b, '\n'))
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append([]byte(nil), h.attrs...)
	for _, a := range attrs {
		c.attrs = appendAttr(c.attrs, h.prefix, a)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.prefix += name + "."
	}
	return &c
}

func appendAttr(b []byte, prefix string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			b = appendAttr(b, prefix, inner)
		}
		return b
	}
	if a.Equal(slog.Attr{}) {
		return b
	}
	b = append(b, ' ')
	b = append(b, strings.Map(keyRune, prefix+a.Key)...)
	b = append(b, '=')
	return strconv.AppendQuote(b, text(v))
}

func keyRune(r rune) rune {
	if r <= ' ' || r == '=' || r == '"' {
		return '_'
	}
	return r
}

func text(v slog.Value) string {
	if v.Kind() == slog.KindTime {
		return v.Time().Format(time.RFC3339Nano)
	}
	if err, ok := v.Any().(error); ok {
		return err.Error()
	}
	return v.String()
}
