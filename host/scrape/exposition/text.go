package exposition

import (
	"bytes"
	"hash/maphash"
	"strconv"
	"unicode/utf8"
)

// nextText goes to the next line of Prometheus text that is neither empty nor a comment.
func (s *Scanner) nextText(expect ID) (Kind, error) {
	for {
		i := s.pos
		for i < len(s.body) && (isBlank(s.body[i]) || s.body[i] == '\n') {
			i++
		}
		s.start = i
		if i == len(s.body) {
			s.pos = i
			return End, nil
		}
		if s.body[i] != '#' {
			return s.textSample(i, expect)
		}
		kind, err := s.textComment(i)
		if err != nil || kind != End {
			return kind, err
		}
	}
}

// textComment reads the line that starts with # at i; End stands for a comment without meaning.
func (s *Scanner) textComment(i int) (Kind, error) {
	end := s.lineEnd(i)
	line := s.body[i:end]
	s.pos = min(end+1, len(s.body))
	words := skipBlanks(line, 1)
	if words == 1 || len(line)-words < 5 || !isBlank(line[words+4]) {
		return End, nil
	}
	var kind Kind
	switch string(line[words : words+4]) {
	case "HELP":
		kind = Help
	case "TYPE":
		kind = Type
	default:
		return End, nil
	}
	at := i + skipBlanks(line, words+4)
	name, at := s.metaName(at)
	if name == nil {
		return End, s.errorf("expected a metric name")
	}
	// A quoted name may hold a line break, so that the end is looked for again.
	end = s.lineEnd(at)
	s.name, s.text = name, s.body[min(at+1, end):end]
	if skipBlanks(s.text, 0) == len(s.text) {
		s.text = s.text[:0] // Blanks alone are no text.
	}
	s.pos = min(end+1, len(s.body))
	return s.finishMeta(kind)
}

// finishMeta checks the text of a metadata line.
func (s *Scanner) finishMeta(kind Kind) (Kind, error) {
	s.created.forget()
	if kind != Unit && !bytes.Equal(s.name, s.unitName) {
		s.unit, s.unitName = nil, nil
	}
	switch {
	case kind == Type:
		return kind, s.setType()
	case !utf8.Valid(s.text):
		return End, s.errorf("text is not valid UTF-8")
	case kind == Unit:
		s.unit, s.unitName = s.text, s.name
	}
	return kind, nil
}

// metaName reads the name, quoted or not, at i, and returns where it ends; nil if there is none.
func (s *Scanner) metaName(i int) (name []byte, end int) {
	b := s.body
	if i < len(b) && b[i] == '"' {
		if end = quotedEnd(b, i); end < 0 {
			return nil, i
		}
		text := b[i+1 : end-1]
		if bytes.IndexByte(text, '\\') >= 0 {
			text = []byte(unescape(text, true))
		}
		return text, end
	}
	if end = nameEnd(b, i); end == i {
		return nil, i
	}
	return b[i:end], end
}

// textSample reads the sample line that starts at i.
func (s *Scanner) textSample(i int, expect ID) (Kind, error) {
	b := s.body
	end, ok := s.expectedEnd(i, expect)
	if !ok {
		var err error
		if end, err = s.textSeriesEnd(i); err != nil {
			return End, err
		}
	}
	s.series, s.raw, s.expected = b[i:end], b[i:end], ok
	i = skipBlanks(b, end)
	end = i
	for end < len(b) && b[end] > ' ' && b[end] != '{' || end < len(b) && b[end] < ' ' && b[end] != '\t' && b[end] != '\n' {
		end++
	}
	if end == i {
		return End, s.errorf("expected a value after the metric")
	}
	if s.value, ok = parseFloat(b[i:end]); !ok {
		return End, s.errorf("%q is not a value", b[i:end])
	}
	i = skipBlanks(b, end)
	s.hasTS, s.exemplar = false, nil
	if i < len(b) && b[i] != '\n' {
		return s.textTimestamp(i)
	}
	s.pos = min(i+1, len(b))
	return Series, nil
}

func (s *Scanner) textTimestamp(i int) (Kind, error) {
	b := s.body
	end := i
	for end < len(b) && isDigit(b[end]) {
		end++
	}
	ts, err := strconv.ParseInt(bytesAsString(b[i:end]), 10, 64)
	if err != nil {
		return End, s.errorf("expected a timestamp in milliseconds or the end of the line after the value")
	}
	s.ts, s.hasTS = ts, true
	i = skipBlanks(b, end)
	if i < len(b) && b[i] != '\n' {
		return End, s.errorf("expected the end of the line after the timestamp")
	}
	s.pos = min(i+1, len(b))
	return Series, nil
}

// textSeriesEnd finds where the bytes that name a series end. Whether the labels are well-formed is not looked at.
func (s *Scanner) textSeriesEnd(i int) (int, error) {
	end := nameEnd(s.body, i)
	brace := skipBlanks(s.body, end)
	if brace < len(s.body) && s.body[brace] == '{' {
		if end = braceEnd(s.body, brace); end < 0 {
			return 0, s.errorf("labels without a closing brace")
		}
		return end, nil
	}
	if end == i {
		return 0, s.errorf("expected a metric name")
	}
	return end, nil
}

// expectedEnd is the fast path for a caller who knows the series: if the line goes on as expected, it returns where the
// series ends without looking at its labels. BenchmarkScan shows what it is worth.
func (s *Scanner) expectedEnd(i int, expect ID) (end int, ok bool) {
	b := s.body
	end = i + expect.Size
	if expect.Size == 0 || end >= len(b) {
		return 0, false
	}
	if b[end-1] != '}' { // Then a series can only end here if it is a name without labels.
		if nameBytes[b[end]] != 0 {
			return 0, false
		}
		if next := skipBlanks(b, end); next == len(b) || b[next] == '{' {
			return 0, false
		}
	}
	return end, maphash.Bytes(s.opts.Seed, b[i:end]) == expect.Hash
}

// lineEnd returns the index of the line break at or after i, or the end of the body.
func (s *Scanner) lineEnd(i int) int {
	if n := bytes.IndexByte(s.body[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(s.body)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func skipBlanks(b []byte, i int) int {
	for i < len(b) && isBlank(b[i]) {
		i++
	}
	return i
}

// nameEnd returns the end of the unquoted metric name at i, i if there is none.
func nameEnd(b []byte, i int) int {
	if i >= len(b) || nameBytes[b[i]] != 1 {
		return i
	}
	for i < len(b) && nameBytes[b[i]] != 0 {
		i++
	}
	return i
}

// braceEnd returns the index after the brace that closes the one at i, or -1.
func braceEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '}':
			return i + 1
		case '"':
			if i = quotedEnd(b, i) - 1; i < 0 {
				return -1
			}
		case '\n':
			return -1
		}
	}
	return -1
}

// quotedEnd returns the index after the quote that closes the one at i, or -1.
func quotedEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			if i++; i < len(b) && b[i] == '\n' {
				return -1
			}
		}
	}
	return -1
}
