package backfill

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// partBytes is how much text is looked at at once, maxLine the length of a line that is too long for labels.
	partBytes = 1 << 20
	maxLine   = 16 << 20
)

// lines reads whole lines.
type lines struct {
	in io.Reader
	// buf holds what was read; up to given it was handed out, up to end it is text.
	buf        []byte
	given, end int
	eof        bool
}

func newLines(in io.Reader) *lines { return &lines{in: in, buf: make([]byte, partBytes)} }

// next returns as many lines as there are at hand, at least one; the last one of the input may lack its end. They are good
// until the next call. [io.EOF] means that nothing is left.
func (l *lines) next() ([]byte, error) {
	l.end = copy(l.buf, l.buf[l.given:l.end])
	l.given = 0
	for from := 0; ; {
		if !l.eof && l.end < len(l.buf) {
			n, err := l.in.Read(l.buf[l.end:])
			l.end += n
			switch {
			case errors.Is(err, io.EOF):
				l.eof = true
			case err != nil:
				return nil, fmt.Errorf("read input: %w", err)
			case l.end < len(l.buf):
				continue
			}
		}
		if l.eof {
			if l.end == 0 {
				return nil, io.EOF
			}
			l.given = l.end
			return l.buf[:l.end], nil
		}
		if at := bytes.LastIndexByte(l.buf[from:l.end], '\n'); at >= 0 {
			l.given = from + at + 1
			return l.buf[:l.given], nil
		}
		if from = l.end; len(l.buf) >= maxLine {
			return nil, errLongLine
		}
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
}

var errLongLine = fmt.Errorf("a line is longer than %d MiB", maxLine>>20)
